"""``--trace-filter`` on a database takes the traces that MLflow's own search takes on the same database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final

import mlflow
import pytest
import requests

from mlflow_archive.errors import SelectionError
from mlflow_archive.flow.report import Quiet
from mlflow_archive.kinds import TRACE
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.database.planning import IdBlock
from mlflow_archive.sources.locate import locate_source
from tests.support.databases import PostgresServer
from tests.support.filling.http import Http
from tests.support.mlflow_server import MlflowServer, running_server
from tests.support.restoring import export, restore
from tests.support.tracking_uri import tracking_to

SESSION: Final = "mlflow.trace.session"
Judged = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A server on a database, and names of the traces in it."""

    server: MlflowServer
    names: dict[str, str]
    ids: dict[str, str]

    def fill_in(self, condition: str) -> str:
        """Put ids in the place of ``{run}`` and the like."""
        for name, value in self.ids.items():
            condition = condition.replace(f"{{{name}}}", value)
        return condition

    def of_server(self, condition: str) -> set[str] | None:
        """Return what MLflow's search finds in all experiments, None where it refuses the filter."""
        http = Http(uri=self.server.uri)
        experiments = http.post("2.0/mlflow/experiments/search", max_results=100)["experiments"]
        locations = [
            {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": one["experiment_id"]}}
            for one in experiments
        ]
        body = {"locations": locations, "filter": condition, "max_results": 500}
        answer = requests.post(f"{self.server.uri}/api/3.0/mlflow/traces/search", json=body, timeout=60)
        if answer.status_code == 400:
            return None
        assert answer.ok, answer.text
        return {self.names[trace["trace_id"]] for trace in answer.json().get("traces", [])}

    def of_database(self, condition: str, *patterns: str) -> set[str] | None:
        selection = Selection(
            trace_filter=condition, kinds=(TRACE,), artifacts=False, deleted=False, experiments=patterns
        )
        with closing(locate_source(self.server.backend)) as source:
            source.facts()
            try:
                shards = list(source.plan(selection, Quiet()))
            except SelectionError:
                return None
        blocks = [shard.payload for shard in shards if isinstance(shard.payload, IdBlock) and shard.kind == TRACE]
        return {self.names[trace_id] for block in blocks for trace_id in block.ids}


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    with running_server(tmp_path_factory.mktemp("searched")) as server:
        with tracking_to(server.uri):
            filled = _fill(Http(uri=server.uri))
        yield Asked(server=server, **filled)


@pytest.fixture(scope="module")
def postgresql(sqlite: Asked, postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    folder, uri = tmp_path_factory.mktemp("searched"), postgres.new_database()
    restore(export(sqlite.server.backend, folder / "all.mlfa"), uri)
    backend = uri.replace("postgresql:", "postgresql+psycopg2:")
    with running_server(folder / "server", backend=backend) as server:
        yield Asked(server=server, names=sqlite.names, ids=sqlite.ids)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def asked(request: pytest.FixtureRequest) -> Asked:
    found: Asked = request.getfixturevalue(request.param)
    return found


def _fill(http: Http) -> dict[str, Any]:
    """Make traces with spans in the database, with assessments of one trace and of whole sessions, and links."""
    main = mlflow.set_experiment("main").experiment_id
    run_id = http.post("2.0/mlflow/runs/create", experiment_id=main, run_name="r")["run"]["info"]["run_id"]
    names = {
        _traced("agent ü", {"question": "What is 100%?"}, {"model": "gpt-4o", "n": 3}, session="s1"): "agent",
        _traced("plain", "x_y\\z", {"model": "claude"}, session="s1"): "plain",
        _traced("Plain", "Ünï", {"model": "GPT"}, session="s2"): "Plain",
        _traced("broken", "none", {}, error=True): "broken",
    }
    other = mlflow.set_experiment("other").experiment_id
    names[_traced("elsewhere", "x", {"n": "3"}, session="s2")] = "elsewhere"
    names[_started(http, other, metadata={"mlflow.sourceRun": run_id}, tags={"team": "a%b", "ü": "Ü"})] = "of run"
    names[_started(http, main, state="IN_PROGRESS", metadata={SESSION: "s3"}, tags={"team": "A\nb"})] = "running"
    ids = {name: trace_id for trace_id, name in names.items()}
    values: dict[str, list[tuple[str, Any]]] = {
        "agent": [("score", 0.75), ("ok", True), ("verdict", "yes"), ("list", [1, "a"])],
        "plain": [("score", 3), ("ok", False), ("verdict", "no ü")],
        "Plain": [("score", "0.9"), ("verdict", "yes")],
        "broken": [("score", 1e-9)],
    }
    for name, given in values.items():
        for key, value in given:
            _assess(http, ids[name], key, feedback={"value": value})
    _assess(http, ids["plain"], "expected", expectation={"value": "42"})
    _assess(http, ids["agent"], "tone", feedback={"value": "kind"}, metadata={SESSION: "s1"})
    _assess(http, ids["elsewhere"], "tone", feedback={"value": 5}, metadata={SESSION: "s2"})
    issue = http.post("3.0/mlflow/issues", experiment_id=main, name="Slow", description="d")["issue"]["issue_id"]
    _assess(http, ids["broken"], issue, issue={"issue_name": "Slow"})
    http.post("2.0/mlflow/traces/link-to-run", run_id=run_id, trace_ids=[ids["plain"]])
    mlflow.genai.register_prompt("greet", "Hello {{name}}")
    mlflow.MlflowClient().link_prompt_versions_to_trace([mlflow.genai.load_prompt("prompts:/greet/1")], ids["agent"])
    return {"names": names, "ids": {**ids, "run": run_id, "issue": issue}}


def _traced(
    name: str, inputs: Any, attributes: dict[str, Any], *, session: str | None = None, error: bool = False
) -> str:
    root = mlflow.start_span_no_context(name, "AGENT", inputs=inputs, start_time_ns=1_700_000_000_000_000_000)
    child = mlflow.start_span_no_context(
        "child", "TOOL" if error else "LLM", parent_span=root, start_time_ns=1_700_000_000_000_000_001
    )
    child.set_attributes(attributes)
    child.end(status="ERROR" if error else "OK", end_time_ns=1_700_000_001_000_000_000)
    root.end(end_time_ns=1_700_000_002_000_000_000)
    mlflow.flush_trace_async_logging()
    if session:
        client = mlflow.MlflowClient()
        info = client.get_trace(root.trace_id).info.to_dict()
        info["trace_metadata"][SESSION] = session
        Http(uri=mlflow.get_tracking_uri()).post(
            "3.0/mlflow/traces", trace={"trace_info": {**info, "tags": {}, "assessments": []}}
        )
    return str(root.trace_id)


def _started(http: Http, experiment_id: str, *, state: str = "OK", **given: Any) -> str:
    trace_id = f"tr-{len(state):032x}"
    place = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment_id}}
    info = {"trace_id": trace_id, "trace_location": place, "request_time": "2023-11-14T22:13:20.500Z", "state": state}
    info |= {"trace_metadata": given.get("metadata", {}), "tags": given.get("tags", {})}
    http.post("3.0/mlflow/traces", trace={"trace_info": info})
    return trace_id


def _assess(http: Http, trace_id: str, name: str, **fields: Any) -> None:
    source = {"source_type": "HUMAN", "source_id": "ada"}
    body = {"assessment_name": name, "trace_id": trace_id, "source": source, **fields}
    http.post(f"3.0/mlflow/traces/{trace_id}/assessments", assessment=body)


ANSWERS: Final[dict[str, set[str] | None]] = {
    "feedback.score > 0.5": {"agent", "plain"},
    "feedback.verdict = 'yes'": {"agent", "Plain"},
    "feedback.tone = 'kind'": {"agent", "plain"},
    "feedback.tone >= 5": {"Plain", "elsewhere"},
    "span.name = 'plain'": {"plain"},
    "span.type = 'AGENT' AND span.name = 'child'": set(),
    "trace.text ILIKE '%WHAT IS 100%'": {"agent"},
    "span.attributes.model LIKE '%gpt%'": {"agent"},
    "issue.id = '{issue}'": {"broken"},
    "prompt = 'greet/1'": {"agent"},
    "run_id = '{run}'": {"plain", "of run"},
    "tags.team RLIKE 'b$'": {"of run", "running"},
}
"""Filters whose answers are written down, so that a search of both that finds nothing is seen."""

FILTERS: Final = (
    "feedback.score < 0.75 AND feedback.ok = 'false'",
    "feedback.score <= 3",
    "feedback.score = '3'",
    "feedback.score = '0.9'",
    "feedback.score != '3.0'",
    "feedback.ok = 'true'",
    "feedback.ok != 'true'",
    "feedback.ok >= 0",
    "feedback.verdict LIKE 'yes'",
    "feedback.verdict LIKE '%yes%'",
    "feedback.verdict ILIKE '%YES%'",
    "feedback.verdict ILIKE '%Ü%'",
    "feedback.verdict RLIKE '^.no'",
    "feedback.list LIKE '%a%'",
    "feedback.score IS NOT NULL",
    "feedback.score IS NULL",
    "feedback.tone IS NULL",
    "feedback.tone IS NOT NULL",
    "feedback.tone != 'kind'",
    "feedback.none IS NULL",
    "feedback.expected = '42'",
    "expectation.expected = '42'",
    "expectation.expected IS NULL AND feedback.ok IS NOT NULL",
    "feedback.`score` > 0.7 AND span.type = 'LLM'",
    "feedback.score > '0.5'",
    "feedback.ok = 1",
    "span.name IN ('plain', 'broken')",
    "span.name NOT IN ('plain', 'child')",
    "span.name != 'child'",
    "span.name LIKE 'P%'",
    "span.name ILIKE 'P%'",
    "span.name ILIKE '% Ü'",
    "span.name RLIKE '^[a-z]+$'",
    "span.name RLIKE '['",
    "span.type = 'TOOL' AND span.status = 'ERROR'",
    "span.status = 'ERROR' AND span.type = 'AGENT'",
    "span.name = 'child' AND timestamp_ms > 0",
    "span.name = 'child' AND timestamp_ms >= 1700000000000",
    "span.name = 'child' AND timestamp_ms > 1700000005000 AND timestamp_ms < 9700000005000",
    "span.content LIKE '%child%'",
    "span.content ILIKE '%CLAUDE%'",
    "span.content = 'x'",
    "span.model = 'x'",
    "trace.text LIKE '%x_y%'",
    "trace.text LIKE '%Ünï%'",
    "trace.text ILIKE '%ünÏ%'",
    "trace.text LIKE '%'",
    "trace.text RLIKE 'x'",
    "span.attributes.model = 'gpt-4o'",
    "span.attributes.model != 'gpt-4o'",
    "span.attributes.model ILIKE '%gpt%'",
    "span.attributes.model RLIKE '^gpt'",
    "span.attributes.model RLIKE 'aude$'",
    "span.attributes.model RLIKE '^claude$'",
    "span.attributes.`n` LIKE '%3%'",
    "span.attributes. LIKE 'x'",
    "issue.id = 'iss-none'",
    "issue.id != 'x'",
    "issue.name = 'Slow'",
    "status = 'ERROR'",
    "status != 'OK'",
    "status IN ('OK', 'ERROR') AND name NOT LIKE 'x'",
    "name = 'Plain'",
    "name LIKE 'plain'",
    "name ILIKE 'plain'",
    "name ILIKE 'AGENT Ü'",
    "name RLIKE '^p'",
    "name IN ('plain')",
    "tags.`mlflow.traceName` IS NULL",
    "tags.`mlflow.traceName` IS NOT NULL",
    "tags.team IS NULL",
    "tags.team != 'x'",
    "tags.team LIKE 'A_b'",
    "tags.team LIKE 'A%b'",
    "tags.team ILIKE 'a%'",
    "tags.team = 'a%b'",
    "tags.ü ILIKE 'ü'",
    "tags.team > 'a'",
    f"metadata.`{SESSION}` = 's1'",
    f"metadata.`{SESSION}` != 's1'",
    f"metadata.`{SESSION}` IS NULL",
    f"metadata.`{SESSION}` LIKE 's_'",
    "metadata.`mlflow.trace.sizeStats` IS NOT NULL",
    "metadata.`mlflow.trace.tokenUsage` IS NULL",
    "metadata.`mlflow.sourceRun` IS NOT NULL",
    "metadata.`mlflow.sourceRun` LIKE '%'",
    "run_id != '{run}'",
    "prompt = 'greet'",
    "prompt LIKE 'greet/1'",
    "prompt = 'other/1'",
    "request_id = '{agent}'",
    "request_id IN ('{agent}', '{running}')",
    "client_request_id = 'x'",
    "timestamp_ms > 1700000000400",
    "timestamp <= 1700000000000.5",
    "execution_time_ms >= 2000",
    "execution_time < 1",
    "end_time_ms > 1700000000500",
    "end_time >= 1700000000500 AND status = 'IN_PROGRESS'",
    "timestamp_ms LIKE '1%'",
    "nonsense",
    "nonsense.x = 'y'",
    "status = 'OK' OR status = 'ERROR'",
)


@pytest.mark.parametrize("condition", [*ANSWERS, *FILTERS])
def test_the_answer_is_that_of_mlflows_search(condition: str, asked: Asked) -> None:
    filled = asked.fill_in(condition)
    found = asked.of_database(filled, "*")  # by a pattern, so that nothing is looked for that belongs to nothing
    assert found == asked.of_server(filled)
    if condition in ANSWERS:
        assert found == asked.of_database(filled) == ANSWERS[condition]


def test_most_filters_tell_traces_apart(sqlite: Asked) -> None:
    """Else the test above would prove little."""
    answers = [sqlite.of_database(sqlite.fill_in(condition), "*") for condition in FILTERS]
    telling = [answer for answer in answers if answer and len(answer) < len(sqlite.names)]
    assert len(telling) > len(FILTERS) / 2


def test_sessions_are_those_of_the_selected_experiments(sqlite: Asked) -> None:
    """MLflow's search looks for assessments of sessions where it looks for traces."""
    assert sqlite.of_database("feedback.tone IS NOT NULL", "main") == {"agent", "plain"}
    assert sqlite.of_database("feedback.tone IS NOT NULL", "other") == {"elsewhere"}


def test_several_texts_for_an_attribute_of_spans_are_refused(sqlite: Asked) -> None:
    """MLflow's server fails with an error of its own there."""
    assert sqlite.of_database("span.attributes.model IN ('a', 'b')") is None
