"""MLflow's search syntax on traces at hand: each comparator, each field, each dialect, without a server.

That MLflow's own search gives the same answers is proved by ``test_trace_filter.py``.
"""

from __future__ import annotations

from typing import Any

import pytest

from mlflow_archive.errors import SelectionError
from mlflow_archive.sources.filtering.comparing import DIALECTS, IN_FILES, Dialect, comparison
from mlflow_archive.sources.filtering.run_filter import compile_filter
from mlflow_archive.sources.filtering.trace_filter import SearchedTrace, TraceFilter, compile_trace_filter
from tests.support.searching import SearchedRun

SQLITE, POSTGRESQL = DIALECTS["sqlite"], DIALECTS["postgresql"]
SESSION = "mlflow.trace.session"
ONLY = "can be searched for these, here a filter may ask for attributes, tags and metadata"


@pytest.mark.parametrize(
    ("comparator", "operand", "dialect", "fit", "misfit"),
    [
        ("=", "a", SQLITE, ["a"], ["A", "b", None]),
        ("!=", "a", SQLITE, ["A", "b"], ["a", None]),
        ("<", 2, SQLITE, [1, 1.9], [2, 3, None]),
        ("<=", 2, SQLITE, [1, 2], [2.1, None]),
        (">", 2, SQLITE, [3, 2.1], [2, 1, None]),
        (">=", 2, SQLITE, [3, 2], [1, None]),
        ("IN", ("a", "b"), SQLITE, ["a", "b"], ["c", None]),
        ("NOT IN", ("a", "b"), SQLITE, ["c"], ["a", "b", None]),
        ("LIKE", "a_%", SQLITE, ["ab", "abc", "a\n", "ab\nc"], ["a", "A_", "xab", None]),
        ("LIKE", "a.c", SQLITE, ["a.c"], ["abc", "a.cd"]),
        ("LIKE", "", SQLITE, [""], ["a"]),
        ("LIKE", "a\\%", POSTGRESQL, ["a%"], ["a\\b", "ab"]),
        ("LIKE", "a\\\\_", POSTGRESQL, ["a\\b"], ["a_", "a\\"]),
        ("LIKE", "a\\", POSTGRESQL, ["a"], ["a\\"]),
        ("LIKE", "a\\%", SQLITE, ["a\\", "a\\b"], ["a%"]),
        ("LIKE", "a\\%", IN_FILES, ["a\\", "a\\b"], ["a%"]),
        ("ILIKE", "a%", SQLITE, ["A\nb", "a"], ["b", None]),
        ("ILIKE", "ü", SQLITE, ["ü"], ["Ü"]),
        ("ILIKE", "ü", POSTGRESQL, ["ü", "Ü"], ["u"]),
        ("ILIKE", "ü", IN_FILES, ["ü", "Ü"], ["u"]),
        ("RLIKE", "b$", SQLITE, ["ab", "b"], ["ba", "B", None]),
        ("RLIKE", "[", SQLITE, [], ["[", "a", None]),
    ],
)
def test_what_a_comparator_means(
    comparator: str, operand: Any, dialect: Dialect, fit: list[Any], misfit: list[Any]
) -> None:
    holds = comparison(comparator, operand, dialect)
    assert [value for value in fit if not holds(value)] == []
    assert [value for value in misfit if holds(value)] == []


@pytest.mark.parametrize("dialect", [POSTGRESQL, DIALECTS["mysql"], IN_FILES])
def test_a_broken_pattern_is_refused_where_the_database_refuses_it(dialect: Dialect) -> None:
    with pytest.raises(SelectionError, match=r"^'\[' is no regular expression: unterminated character set"):
        comparison("RLIKE", "[", dialect)


def trace(name: str, *, start: int = 0, took: int | None = 0, **columns: Any) -> SearchedTrace:
    info = {"trace_id": name, "request_time": start, "execution_duration_ms": took, "client_request_id": None}
    given = {key: columns.pop(key) for key in ("tags", "metadata", "links", "assessments") if key in columns}
    return SearchedTrace(info={**info, "state": "OK", **columns}, **{"tags": {}, "metadata": {}, **given})


def link(kind: str, linked_id: str) -> dict[str, str]:
    return {"destination_type": kind, "destination_id": linked_id}


def assessment(kind: str, name: str, value: str | None, *, valid: bool = True) -> dict[str, Any]:
    return {"assessment_type": kind, "name": name, "value": value, "valid": valid, "metadata": None}


TRACES = [
    trace(
        "old",
        start=1000,
        took=500,
        client_request_id="c",
        tags={"mlflow.traceName": "first", "team": "x"},
        metadata={SESSION: "s1", "mlflow.sourceRun": "r1", "mlflow.trace.tokenUsage": '{"input_tokens": 1}'},
        assessments=[assessment("feedback", "score", "0.75"), assessment("feedback", "ok", "true")],
    ),
    trace(
        "new",
        start=2000,
        took=1,
        state="ERROR",
        trace_name="second",
        session_id="s2",
        input_tokens=7,
        tags={"mlflow.traceName": "not this", "team": "y"},
        metadata={SESSION: "not this"},
        links=[link("run", "r1"), link("prompt_version", "greet/1"), link("x", "r2")],
        assessments=[
            assessment("feedback", "score", "3"),
            assessment("feedback", "gone", '"x"', valid=False),
            assessment("expectation", "score", '"yes"'),
            assessment("issue", "iss-1", None, valid=False),
        ],
    ),
    trace("open", start=2000, took=None, state="IN_PROGRESS", trace_name=None, session_id=None),
]


def picked(trace_filter: TraceFilter) -> list[str]:
    return [found.trace_id for found in trace_filter(TRACES)]


@pytest.mark.parametrize(
    ("condition", "names"),
    [
        ("request_id = 'old'", ["old"]),
        ("client_request_id = 'c'", ["old"]),
        ("status != 'OK'", ["new", "open"]),
        ("status IN ('OK', 'ERROR')", ["old", "new"]),
        ("timestamp_ms > 1000", ["new", "open"]),
        ("timestamp_ms >= 1000 AND status = 'OK'", ["old"]),
        ("execution_time_ms >= 500", ["old"]),
        ("execution_time_ms < 500", ["new"]),
        ("name = 'first'", ["old"]),
        ("name = 'second'", ["new"]),
        ("name = 'not this'", []),
        ("tags.`mlflow.traceName` IS NULL", ["open"]),
        ("tags.team IS NOT NULL", ["old", "new"]),
        ("tags.team != 'x'", ["new"]),
        (f"metadata.`{SESSION}` = 's1'", ["old"]),
        (f"metadata.`{SESSION}` LIKE 's%'", ["old", "new"]),
        (f"metadata.`{SESSION}` IS NULL", ["open"]),
        ("metadata.`mlflow.trace.tokenUsage` LIKE '{\"input_tokens\": 7}'", ["new"]),
        ("metadata.`mlflow.trace.tokenUsage` IS NOT NULL", ["old", "new"]),
        ("run_id = 'r1'", ["old", "new"]),
        ("run_id = 'r2'", []),
        ("run_id != 'r2'", ["old"]),
    ],
)
@pytest.mark.parametrize("database", [None, SQLITE])
def test_fields_of_traces_in_files_and_databases(condition: str, names: list[str], database: Dialect | None) -> None:
    trace_filter = compile_trace_filter(condition, database)
    assert picked(trace_filter) == names
    assert (trace_filter.spans, trace_filter.assessments) == (None, [])


@pytest.mark.parametrize(
    ("condition", "in_database", "in_files"),
    [
        ("end_time_ms = 1500", ["old"], ["old"]),
        ("end_time_ms >= 2000", ["new", "open"], ["new"]),
        ("end_time_ms > 2000", ["new"], ["new"]),
    ],
)
def test_a_trace_that_has_not_ended_ends_when_it_began_in_a_database(
    condition: str, in_database: list[str], in_files: list[str]
) -> None:
    assert picked(compile_trace_filter(condition, SQLITE)) == in_database
    assert picked(compile_trace_filter(condition)) == in_files


@pytest.mark.parametrize(
    ("condition", "names"),
    [
        ("prompt = 'greet/1'", ["new"]),
        ("prompt = 'r1/1'", []),
        ("feedback.score > 0.75", ["new"]),
        ("feedback.score >= 0.75", ["old", "new"]),
        ("feedback.score = '3'", ["new"]),
        ("feedback.score != '3'", ["old"]),
        ("feedback.ok = 'true'", ["old"]),
        ("feedback.ok >= 0", []),
        ("feedback.gone IS NOT NULL", []),
        ("feedback.gone IS NULL", ["old", "new", "open"]),
        ("feedback.score IS NULL", ["open"]),
        ("expectation.score = 'yes'", ["new"]),
        ("expectation.score != 'yes'", []),
        ("expectation.score LIKE '_yes_'", ["new"]),
        ("issue.id = 'iss-1'", ["new"]),
        ("issue.id = 'iss-2'", []),
    ],
)
def test_what_only_a_database_searches(condition: str, names: list[str]) -> None:
    assert picked(compile_trace_filter(condition, SQLITE)) == names


def test_an_assessment_of_the_session_counts_for_its_traces() -> None:
    trace_filter = compile_trace_filter("feedback.tone = 'kind' AND timestamp_ms > 0", SQLITE)
    [condition] = trace_filter.assessments
    of_session = {**assessment("feedback", "tone", '"kind"'), "metadata": f'{{"{SESSION}": "s1"}}'}
    assert condition.is_of_session(of_session)
    assert not condition.is_of_session(assessment("feedback", "tone", '"kind"'))
    alone = trace("t", start=1)
    assert trace_filter([alone]) == []
    covered = SearchedTrace(info=alone.info, tags={}, metadata={}, covered=[condition])
    assert trace_filter([covered]) == [covered]
    [issue] = compile_trace_filter("issue.id = 'i'", SQLITE).assessments
    assert not issue.is_of_session(of_session)
    [none] = compile_trace_filter("feedback.tone IS NULL", SQLITE).assessments
    assert not none.holds_for([], covered=True)
    assert none.holds_for([], covered=False)


def span(at_ms: int, name: str = "a", content: str = "", experiment_id: str = "1") -> dict[str, Any]:
    start = at_ms * 1_000_000
    return {"experiment_id": experiment_id, "start_time_unix_nano": start, "name": name, "content": content}


def test_one_span_fulfils_all_conditions_on_spans() -> None:
    trace_filter = compile_trace_filter("span.name = 'a' AND span.content LIKE '%x%'", SQLITE)
    assert trace_filter.spans is not None
    assert trace_filter.spans.fits(span(0, "a", "_x_"), "1")
    assert not trace_filter.spans.fits(span(0, "b", "_x_"), "1")
    assert not trace_filter.spans.fits(span(0, "a", "_y_"), "1")
    assert not trace_filter.spans.fits(span(0, "a", "_x_", "2"), "1")
    fitting = SearchedTrace(info=TRACES[0].info, tags={}, metadata={}, span_fits=True)
    assert trace_filter([fitting, *TRACES]) == [fitting]


@pytest.mark.parametrize(
    ("since", "earliest"),
    [
        ("timestamp_ms > 20000", 10_000),
        ("timestamp_ms >= 20000", 10_000),
        ("timestamp_ms > 20000 AND timestamp_ms >= 30000", 20_000),
        ("timestamp_ms < 20000", 0),
        ("execution_time_ms > 20000", 0),
    ],
)
def test_spans_that_begin_long_before_what_is_asked_for_are_left_out(since: str, earliest: int) -> None:
    trace_filter = compile_trace_filter(f"{since} AND span.name = 'a'", SQLITE)
    assert trace_filter.spans is not None
    assert trace_filter.spans.fits(span(earliest), "1")
    assert trace_filter.spans.fits(span(earliest - 1), "1") is (earliest == 0)


@pytest.mark.parametrize(
    ("condition", "fit", "misfit"),
    [
        ("span.attributes.k LIKE '%v%'", ['{"k": "v"}'], ['{"j": "v"}', '{"v": "k"}']),
        ("span.attributes.`k` LIKE '%v%'", ['{"k": "v"}'], ['{"`k`": "v"}']),
        ("span.attributes.k = 'v'", ['%"k"v%'], ['"k": "v"']),
        ("span.attributes.k RLIKE '^v$'", ['{"k": "\\"v\\""}'], ['{"k": "\\"vv\\""}', '{"k": "v"}']),
        ("span.attributes.k RLIKE '^v'", ['{"k": "\\"vw\\""}'], ['{"k": "\\"wv\\""}']),
        ("span.attributes.k RLIKE 'v$'", ['{"k": "\\"wv\\""}'], ['{"k": "\\"vw\\""}']),
        ("span.attributes.k RLIKE 'v'", ['{"k": "\\"uvw\\""}', '{"k": "\\"v"}'], ['{"k": "\\"u\\""}']),
    ],
)
def test_attributes_of_spans_are_looked_for_in_their_json(condition: str, fit: list[str], misfit: list[str]) -> None:
    spans = compile_trace_filter(condition, SQLITE).spans
    assert spans is not None
    assert [content for content in fit if not spans.fits(span(0, content=content), "1")] == []
    assert [content for content in misfit if spans.fits(span(0, content=content), "1")] == []


@pytest.mark.parametrize(
    ("condition", "database", "message"),
    [
        ("nonsense", SQLITE, "--trace-filter 'nonsense' is not in MLflow's search syntax: Invalid clause"),
        ("status > 'OK'", None, "--trace-filter \"status > 'OK'\" is not in MLflow's search syntax: "),
        ("tags.a > 'x'", None, "--trace-filter \"tags.a > 'x'\" is not in MLflow's search syntax: "),
        ("metadata.a > 'x'", None, "--trace-filter \"metadata.a > 'x'\" is not in MLflow's search syntax: "),
        ("span.name > 'x'", SQLITE, "--trace-filter \"span.name > 'x'\" is not in MLflow's search syntax: "),
        ("issue.id != 'x'", SQLITE, "--trace-filter \"issue.id != 'x'\" is not in MLflow's search syntax: "),
        (
            "span.name = 'x'",
            None,
            "--trace-filter \"span.name = 'x'\" asks for spans; only a server or its database " + ONLY,
        ),
        (
            "issue.id = 'x'",
            None,
            "--trace-filter \"issue.id = 'x'\" asks for issues; only a server or its database " + ONLY,
        ),
        ("span.attributes.k IN ('a')", SQLITE, "MLflow compares span.attributes.k with one text, not with several"),
        ("prompt LIKE 'a/1'", SQLITE, "a filter for prompts is prompt = 'name/version', not LIKE 'a/1'"),
        ("prompt = 'a'", SQLITE, "a filter for prompts is prompt = 'name/version', not = 'a'"),
        ("prompt = 'a/b/1'", SQLITE, "a filter for prompts is prompt = 'name/version', not = 'a/b/1'"),
    ],
)
def test_what_is_refused_says_why(condition: str, database: Dialect | None, message: str) -> None:
    with pytest.raises(SelectionError) as caught:
        compile_trace_filter(condition, database)
    assert str(caught.value).startswith(message)


def test_a_trace_of_rows_has_what_they_say() -> None:
    rows: dict[str, list[dict[str, Any]]] = {
        "traces": [{"trace_id": "t", "request_time": 1}],
        "trace_tags": [{"key": "a", "value": "1"}],
        "trace_metadata": [{"key": SESSION, "value": "s"}],
    }
    found = SearchedTrace.of_rows(rows)
    assert (found.trace_id, found.tags, found.metadata, found.session) == ("t", {"a": "1"}, {SESSION: "s"}, "s")
    assert SearchedTrace.of_rows({"traces": rows["traces"]}).tags == {}


@pytest.mark.parametrize(
    ("condition", "fits"),
    [
        ("params.p = '1'", True),
        ("params.p = '2'", False),
        ("tags.t = 'x'", True),
        ("metrics.m > 0.4", True),
        ("metrics.m > 0.5", False),
        ("attributes.status = 'FINISHED'", True),
        ("attributes.start_time >= 5", True),
        ("attributes.start_time > 5", False),
        ("attributes.end_time = 9", True),
        ("attributes.user_id = 'ada'", True),
        ("attributes.run_name = 'n'", True),
        ("attributes.run_id = 'r'", True),
        ("attributes.artifact_uri = 'file:/a'", True),
        ("dataset.name = 'd'", True),
        ("dataset.digest = 'e'", True),
        ("dataset.context = 'train'", True),
        ("dataset.context = 'test'", False),
    ],
)
def test_fields_of_runs(condition: str, fits: bool) -> None:
    run = SearchedRun(
        run_id="r",
        info={
            "experiment_id": "1",
            "user_id": "ada",
            "status": "FINISHED",
            "start_time": 5,
            "end_time": 9,
            "lifecycle_stage": "active",
            "artifact_uri": "file:/a",
            "run_name": "n",
        },
        params={"p": "1"},
        tags={"t": "x"},
        inputs=[
            (
                {"dataset_name": "d", "dataset_digest": "e"},
                [{"key": "mlflow.data.context", "value": "train"}],
            )
        ],
        latest=[("m", 0, 1, 0.5)],
    )
    assert compile_filter(condition)(run, run.latest) is fits


def test_a_filter_for_runs_that_mlflow_refuses_says_so() -> None:
    with pytest.raises(SelectionError, match=r"^--filter 'nonsense' is not in MLflow's search syntax: Invalid"):
        compile_filter("nonsense")
