"""Imports of other kinds that are cut off, or do not know whether a request was carried out: nothing is there twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any

import pytest

from mlflow_archive.errors import ServerError
from mlflow_archive.flow.copy import copy
from mlflow_archive.flow.report import Report
from mlflow_archive.sinks.replay import ReplaySink, Target, open_target
from tests.support.chunks import ChunkSource, chunk, experiment
from tests.support.cuts import every
from tests.support.racing import Raced

TIMES = {"created_by": "ada", "created_at": 1, "last_updated_by": "ada", "last_updated_at": 2}
FURTHEST = 200


def source(name: str) -> ChunkSource:
    """Return objects that need each step that a writer makes; ``name`` goes into all names that must be unique."""
    issue = {"experiment_id": "5", "name": "twin", "description": "same", "status": "resolved", "created_by": "ada"}
    scorer = {"scorer_id": "sc", "experiment_id": "5", "name": "judge"}
    texts = {number: json.dumps({"name": "judge", "n": number}) for number in (2, 4)}
    budget = {"budget_unit": "USD", "duration_unit": "DAYS", "duration_value": 1, "budget_action": "ALERT"}
    budget |= {"target_scope": "GLOBAL", "budget_amount": float(int(name[1:]) + 1), **TIMES}
    mcp = {"name": f"io.example/{name}", "workspace": "default"}
    version = {**mcp, "created_at": 1, "source": None}
    described = {"name": mcp["name"], "version": ""}
    return ChunkSource(
        (0, [chunk(experiments=[experiment("5", name)])]),
        (1, [chunk(issues=[{**issue, "issue_id": "i1"}, {**issue, "issue_id": "i2"}])]),
        (
            2,
            [
                chunk(
                    scorers=[scorer],
                    scorer_versions=[
                        {"scorer_id": "sc", "version": number, "serialized_scorer": text}
                        for number, text in texts.items()
                    ],
                    online_scoring_configs=[
                        {
                            "scorer_id": "sc",
                            "online_scoring_config_id": "oc",
                            "sample_rate": 0.5,
                            "experiment_id": "5",
                        }
                    ],
                )
            ],
        ),
        (3, [chunk(budget_policies=[{**budget, "budget_policy_id": one} for one in ("b1", "b2")])]),
        (4, [chunk(label_schemas=_schemas())]),
        (
            5,
            [
                chunk(
                    review_queues=[
                        {"queue_id": "q", "experiment_id": "5", "name": "Queue", "queue_type": "custom"},
                        {"queue_id": "u", "experiment_id": "5", "name": "ada", "queue_type": "user"},
                    ],
                    review_queue_users=[{"queue_id": "q", "user_id": "ada"}, {"queue_id": "u", "user_id": "ada"}],
                    review_queue_label_schemas=[{"queue_id": "q", "schema_id": one} for one in ("ls", "default")],
                )
            ],
        ),
        (
            6,
            [
                chunk(
                    mcp_servers=[{**mcp, "display_name": "Shown", "created_at": 1}],
                    mcp_server_tags=[{**mcp, "key": "k", "value": "v"}],
                    mcp_server_versions=[
                        {
                            **version,
                            "version": number,
                            "status": status,
                            "server_json": json.dumps({**described, "version": number}),
                        }
                        for number, status in (("1.0.0", "deprecated"), ("2.0.0", "deleted"), ("3.0.0", "active"))
                    ],
                    mcp_server_aliases=[{**mcp, "alias": "live", "version": "3.0.0"}],
                    mcp_access_endpoints=[
                        {**mcp, "id": "ae", "url": "https://x", "transport_type": "sse", "server_alias": "live"}
                    ],
                )
            ],
        ),
    )


def _schemas() -> list[dict[str, Any]]:
    common = {"experiment_id": "5", "type": "feedback", "enable_comment": False, "input_type": "text"}
    common |= {"input_config": '{"max_length": null}'}
    default = {"schema_id": "default", "name": "Feedback", "is_default": True}
    return [{**common, "schema_id": "ls", "name": "ok", "is_default": False}, {**common, **default}]


class Doubtful:
    """A target whose API fails at the n-th request, and is dead from then, or only says once that it failed."""

    def __init__(self, target: Target, at: int, *, executed: bool, once: bool) -> None:
        self._target, self._left, self._executed, self._once = target, at, executed, once
        self.failed = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._target, name)

    @property
    def api(self) -> Any:
        return self

    def get(self, *args: Any) -> Any:
        return self._call(lambda: self._target.api.get(*args), repeated=True)

    def post(self, path: str, body: Mapping[str, Any], *, idempotent: bool = True) -> Any:
        return self._call(lambda: self._target.api.post(path, body, idempotent=idempotent), repeated=idempotent)

    def patch(self, *args: Any) -> Any:
        return self._call(lambda: self._target.api.patch(*args), repeated=True)

    def put_json(self, *args: Any) -> Any:
        return self._call(lambda: self._target.api.put_json(*args), repeated=True)

    def delete(self, *args: Any) -> Any:
        return self._call(lambda: self._target.api.delete(*args), repeated=True)

    def _call(self, request: Callable[[], Any], *, repeated: bool) -> Any:
        if self._once and (repeated or self.failed):
            return request()  # a session repeats those itself
        self._left -= 1
        if self._left > 0:
            return request()
        if self._left == 0 and self._executed:
            request()
        self.failed = True
        message = "no answer came"
        raise ServerError(message, status=502 if self._once else None)


def outcomes(report: Report) -> dict[str, dict[str, int]]:
    done: Any = report.details["outcomes"]
    return {kind: {what: n for what, n in counts.items() if n} for kind, counts in done.items()}


def found(uri: str, name: str) -> dict[str, Any]:
    """Return what is in the target of what ``source(name)`` holds."""
    with closing(open_target(uri)) as target:
        (experiment_id,) = (one.experiment_id for one in target.experiments() if one.name == name)
        api = target.api
        at, mcp = {"experiment_id": experiment_id}, f"/api/3.0/mlflow/mcp-servers/io.example/{name}"
        scorers = api.get("/api/3.0/mlflow/scorers/versions", {**at, "name": "judge"})["scorers"]
        configs = api.get("/api/3.0/mlflow/scorers/online-configs", {"scorer_ids": scorers[0]["scorer_id"]})["configs"]
        schemas = api.get("/api/3.0/mlflow/label-schemas/list", at)["label_schemas"]
        queues = api.get("/api/3.0/mlflow/review-queues/list", {**at, "max_results": 9})["review_queues"]
        budgets = api.get("/api/3.0/mlflow/gateway/budgets/list")["budget_policies"]
        server = api.get(mcp)
        return {
            "issues": [
                (issue["name"], issue["status"]) for issue in api.post("/api/3.0/mlflow/issues/search", at)["issues"]
            ],
            "scorers": [scorer["scorer_version"] for scorer in scorers],
            "rates": [config["sample_rate"] for config in configs],
            "schemas": sorted(schema["name"] for schema in schemas),
            "queues": sorted((queue["name"], len(queue.get("schema_ids", ()))) for queue in queues),
            "budgets": sum(budget["budget_amount"] == int(name[1:]) + 1 for budget in budgets),
            "shown": server["display_name"],
            "tag": server["tags"]["k"],
            "aliases": server["aliases"],
            "versions": {
                version["version"]: version["status"] for version in api.get(f"{mcp}/versions")["mcp_server_versions"]
            },
            "endpoints": [one["url"] for one in api.get(f"{mcp}/endpoints")["mcp_access_endpoints"]],
        }


WHOLE = {
    "issues": [("twin", "resolved")] * 2,
    "scorers": [2, 4],
    "rates": [0.0],
    "schemas": ["Feedback", "ok"],
    "queues": [("Queue", 2), ("ada", 0)],
    "budgets": 2,
    "shown": "Shown",
    "tag": "v",
    "aliases": [{"alias": "live", "version": "3.0.0"}],
    "versions": {"1.0.0": "deprecated", "3.0.0": "active"},
    "endpoints": ["https://x"],
}


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('cut') / 'mlflow.db'}"


def replay(uri: str, name: str, wrap: Callable[[Target], Any] = lambda target: target) -> Report:
    return copy(source(name), ReplaySink(wrap(open_target(uri, artifact_root="/nowhere"))), jobs=1)


def test_all_of_it_arrives_and_twice_changes_nothing(uri: str) -> None:
    first, second = replay(uri, "a0"), replay(uri, "a0")
    assert first.gaps == second.gaps == []
    assert found(uri, "a0") == WHOLE
    assert outcomes(second) == {
        "issue": {"skipped": 2},
        "scorer": {"skipped": 1},
        "budget_policy": {"skipped": 2},
        "label_schema": {"skipped": 2},
        "review_queue": {"skipped": 2},
        "mcp_server": {"skipped": 1},
    }


def test_what_somebody_else_makes_meanwhile_stands_for_it(uri: str) -> None:
    raced: list[Raced] = []

    def wrap(target: Target) -> Raced:
        raced.append(Raced(target))
        return raced[0]

    assert replay(uri, "g8000", wrap).gaps == []
    assert found(uri, "g8000") == WHOLE
    assert raced[0].races == 6, "a label schema, a review queue, an MCP server and its versions"


@pytest.mark.parametrize("executed", [False, True], ids=["unheard", "carried-out"])
def test_one_that_is_cut_off_anywhere_is_completed_by_the_next(uri: str, executed: bool) -> None:
    for at in range(1 + 6 * executed, FURTHEST, every(24)):
        name = f"{'d' if executed else 'c'}{2000 * executed + at}"
        cut: list[Doubtful] = []

        def wrap(target: Target, at: int = at, cut: list[Doubtful] = cut) -> Doubtful:
            cut.append(Doubtful(target, at, executed=executed, once=False))
            return cut[0]

        try:
            replay(uri, name, wrap)
        except ServerError:
            assert replay(uri, name).gaps == []
            assert found(uri, name) == WHOLE, f"cut off at request {at}"
        if not cut[0].failed:
            break
    else:
        pytest.fail("the import makes more requests than this test thinks")
    assert at > 40


@pytest.mark.parametrize("executed", [False, True], ids=["unheard", "carried-out"])
def test_one_that_does_not_know_looks_first(uri: str, executed: bool) -> None:
    for at in range(1 + 2 * executed, FURTHEST, every(12)):
        name = f"{'f' if executed else 'e'}{4000 + 2000 * executed + at}"
        cut: list[Doubtful] = []

        def wrap(target: Target, at: int = at, cut: list[Doubtful] = cut) -> Doubtful:
            cut.append(Doubtful(target, at, executed=executed, once=True))
            return cut[0]

        assert replay(uri, name, wrap).gaps == []
        assert found(uri, name) == WHOLE, f"in doubt at request {at}"
        if not cut[0].failed:
            break
    assert at > 10
