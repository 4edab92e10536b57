"""The REST source before answers of odd shape, servers that lack an endpoint, and histories of many parts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric

from mlflow_archive.errors import ServerError
from mlflow_archive.format import gaps
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.rest.runs import histories
from tests.sources.test_rest import Read
from tests.support.bad_network import bad_network
from tests.support.mlflow_server import MlflowServer

Json = dict[str, Any]


@pytest.fixture(scope="module")
def three(shared_server: MlflowServer) -> tuple[str, list[str]]:
    """(experiment, its three runs), each with 40 points of ``a`` and 40 of ``b``."""
    client = MlflowClient(shared_server.uri)
    experiment = client.create_experiment("three runs with histories")
    runs = [client.create_run(experiment, start_time=1000 + n).info.run_id for n in range(3)]
    for run_id in runs:
        client.log_batch(run_id, [Metric(key, n / 3, 2000 + n, n) for n in range(40) for key in "ab"])
    return experiment, runs


def _read(server: MlflowServer, experiment: str, path: str, change: Callable[[Json], Any]) -> Read:
    """Read an experiment, runs ``change`` having rewritten the server's answers at a path."""

    def rewrite(asked: str, content: bytes) -> bytes:
        return json.dumps(change(json.loads(content))).encode() if path in asked else content

    with bad_network(server.uri) as network:
        network.change = rewrite
        return Read(network.uri, Selection(experiments=(experiment,), artifacts=False))


def _set(place: tuple[str | int, ...], value: Any) -> Callable[[Json], Json]:
    def change(answer: Json) -> Json:
        target: Any = answer
        for name in place[:-1]:
            target = target[name]
        target[place[-1]] = value
        return answer

    return change


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("data", "metrics", 0, "step"), "soon"),
        (("data", "metrics", 0), None),
        (("data",), []),
        (("data", "params"), [{"value": "no key"}]),
        (("info", "start_time"), "yesterday"),
        (("info", "experiment_id"), None),
        (("inputs",), {"dataset_inputs": [{}]}),
    ],
)
def test_a_malformed_run_is_a_gap(
    shared_server: MlflowServer, three: tuple[str, list[str]], place: tuple[str | int, ...], value: Any
) -> None:
    experiment, runs = three
    change = _set(("runs", 1, *place), value)
    read = _read(shared_server, experiment, "runs/search", lambda a: change(a) if len(a.get("runs", [])) > 1 else a)
    found = read.run_ids()
    lost = [(row["owner_id"], row["code"]) for row in read.rows("gaps")]
    assert found == [runs[0], runs[2]]
    assert lost == [(runs[1], gaps.RUN_UNREADABLE)]


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("runs/search", _set(("runs", 0), {"data": {}})),
        ("runs/search", _set(("runs", 0), "a run")),
        ("runs/search", _set(("runs",), {})),
        ("runs/search", lambda answer: [answer]),
        ("experiments/search", _set(("experiments", 0), {"name": "no id"})),
    ],
)
def test_what_is_no_list_of_runs_is_refused(
    shared_server: MlflowServer, three: tuple[str, list[str]], path: str, change: Callable[[Json], Any]
) -> None:
    with pytest.raises(ServerError, match="is it an MLflow server"):
        _read(shared_server, three[0], path, change)


@pytest.mark.parametrize("change", [_set(("metrics", 3, "step"), "x"), _set(("metrics",), {}), lambda _: []])
def test_malformed_histories_are_asked_for_alone(
    shared_server: MlflowServer, three: tuple[str, list[str]], change: Callable[[Json], Any]
) -> None:
    experiment, _ = three
    good = Read(shared_server.uri, Selection(experiments=(experiment,), artifacts=False))
    read = _read(shared_server, experiment, "get-history-bulk", change)
    assert sorted(map(repr, read.rows("metrics"))) == sorted(map(repr, good.rows("metrics")))
    assert read.rows("gaps") == []


@pytest.mark.parametrize(("name", "value"), [("timestamp", None), ("step", 1.5), ("value", "much")])
def test_a_history_malformed_everywhere_is_a_gap(
    shared_server: MlflowServer, three: tuple[str, list[str]], name: str, value: Any
) -> None:
    experiment, runs = three
    read = _read(shared_server, experiment, "get-history", _set(("metrics", 0, name), value))
    assert sorted((row["owner_id"], row["path"], row["code"]) for row in read.rows("gaps")) == sorted(
        (run_id, key, gaps.METRIC_UNREADABLE) for run_id in runs for key in "ab"
    )
    assert Counter(row["step"] for row in read.rows("metrics")) == {39: 6}


def test_a_server_without_the_bulk_endpoint_is_asked_once(
    shared_server: MlflowServer, three: tuple[str, list[str]]
) -> None:
    selection = Selection(experiments=(three[0],), artifacts=False)
    good = Read(shared_server.uri, selection).rows("metrics")
    with bad_network(shared_server.uri) as network:
        network.faults = {"get-history-bulk": ["no page"] * 99}
        read = Read(network.uri, selection)
        asked = [path for _, path, _ in network.seen if "get-history-bulk" in path]
    assert sorted(map(repr, read.rows("metrics"))) == sorted(map(repr, good))
    assert len(good) == 240
    assert read.rows("gaps") == []
    assert len(asked) == 1


@pytest.mark.parametrize("most", [1, 39, 50, 90, 200])
def test_histories_in_many_parts(
    shared_server: MlflowServer, three: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """However few points a part may hold, each point comes once and each run ends once, after its points."""
    experiment, runs = three
    monkeypatch.setattr(histories, "MOST_POINTS", most)
    read = Read(shared_server.uri, Selection(experiments=(experiment,), artifacts=False))
    points = Counter((row["run_id"], row["key"], row["step"]) for row in read.rows("metrics"))
    assert points == Counter({(run_id, key, n): 1 for run_id in runs for key in "ab" for n in range(40)})
    assert sorted(read.run_ids()) == sorted(runs)
    ended: set[str] = set()
    parts = 0
    for chunk in read.chunks:
        if "metrics" in chunk.tables:
            parts += 1
            assert not ended & set(chunk.tables["metrics"]["run_id"].to_pylist())
        if chunk.complete and "runs" in chunk.tables:
            ended |= set(chunk.tables["runs"]["run_id"].to_pylist())
    assert parts >= 240 // (2 * max(most, 80))


def test_passwords_in_locations_stay_at_home(shared_server: MlflowServer) -> None:
    client = MlflowClient(shared_server.uri)
    experiment = client.create_experiment("secret place", artifact_location="s3://joe:secret@host/x")
    run_id = client.create_run(experiment).info.run_id
    read = Read(shared_server.uri, Selection(experiments=(experiment,), artifacts=False))
    assert [row["artifact_location"] for row in read.rows("experiments")] == ["s3://host/x"]
    [uri] = [row["artifact_uri"] for row in read.rows("runs")]
    assert uri.startswith("s3://host/x")
    assert run_id in uri
