"""What the replay tests bring in, a look at what came of it, and a target that dies on the way."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any, cast

from mlflow_archive.flow.report import Report
from mlflow_archive.sinks.replay import Target
from tests.sinks.conftest import Place
from tests.support.chunks import ChunkSource, artifact, chunk, experiment, pairs, points, run

P = "mlflow_export_import."
A, B, C, D = ("a" * 32, "b" * 32, "c" * 32, "d" * 32)
HISTORY = json.dumps([{"run_id": A, "artifact_path": "model", "flavors": {}}])
MLMODEL = b"artifact_path: model\r\nrun_id: " + A.encode() + b"\r\nutc: 'x'\r\n"


def whole(name: str) -> ChunkSource:
    """Return a parent, its child, a deleted run and one that still runs, with one of everything."""
    first = chunk(
        experiments=[experiment("5", name)],
        experiment_tags=[{"experiment_id": "5", "key": "mlflow.note.content", "value": "about"}],
        datasets=[
            {
                "experiment_id": "5",
                "name": "data",
                "digest": "abc",
                "source_type": "local",
                "source": '{"uri": "x"}',
                "schema": None,
                "profile": '{"rows": 1}',
            }
        ],
    )
    parents = chunk(
        [
            artifact(A, "model/MLmodel", MLMODEL),
            artifact(A, "a b/ü 100%.txt", b"\x00odd"),
            artifact(A, "empty", b""),
            artifact(D, "log.txt", b"so far"),
        ],
        runs=[
            run(A, "5", run_name="parent"),
            run(C, "5", run_name="deleted", lifecycle_stage="deleted", status="FAILED"),
            run(D, "5", run_name="running", status="RUNNING", end_time=None, user_id=""),
        ],
        params=pairs(A, {"p": "1", "ünï/ço": "ü", "empty": ""}),
        tags=[
            *pairs(A, {"mlflow.runName": "parent", "mlflow.user": "ada", "mlflow.log-model.history": HISTORY}),
            *pairs(A, {"odd$key": "kept", "null": None}),
        ],
        metrics=[
            *points(A, "loss", [0.5, math.nan, 0.30000000000000004]),
            {"run_id": A, "key": "neg", "step": -3, "timestamp": 0, "value": -1e-300},
            *points(C, "m", [1.0]),
        ],
        dataset_inputs=[{"run_id": A, "dataset_name": "data", "dataset_digest": "abc"}],
        dataset_input_tags=[
            {"run_id": A, "dataset_name": "data", "dataset_digest": "abc", "key": "mlflow.data.context", "value": "t"}
        ],
    )
    child = chunk(
        runs=[run(B, "5", run_name="child")], tags=pairs(B, {"mlflow.parentRunId": A, "mlflow.runName": "child"})
    )
    return ChunkSource((0, [first]), (1, [parents]), (2, [child]))


def one_run(
    name: str, run_id: str = A, *, artifacts: Any = (), experiment_columns: Any = (), **tables: Any
) -> ChunkSource:
    """Return an experiment with one run; ``tables`` adds to it."""
    first = chunk(experiments=[experiment("5", name, **dict(experiment_columns))])
    rows = {"runs": [run(run_id, "5", run_name="only")], **tables}
    return ChunkSource((0, [first]), (1, [chunk(artifacts, **rows)]))


def counts(report: Report) -> tuple[Any, Any, Any]:
    return tuple(report.details[what] for what in ("created", "updated", "skipped"))  # type: ignore[return-value]


def state(place: Place, name: str | None = None) -> dict[str, Any]:
    """Return all that a second import could change."""
    client = place.client()
    found = {}
    for run_name, one in place.runs(name).items():
        histories = {
            key: sorted((m.step, m.timestamp, repr(m.value)) for m in client.get_metric_history(one.info.run_id, key))
            for key in one.data.metrics
        }
        found[run_name] = (dict(one.info), dict(one.data.params), dict(one.data.tags), histories, place.files(one))
    return found


def deleted(name: str, experiment_id: str = "5") -> dict[str, Any]:
    return experiment(experiment_id, name, lifecycle_stage="deleted")


class Cut(Exception):  # noqa: N818 - stands for a kill
    pass


class CutTarget:
    """A target that dies before or after its n-th request, artifacts included, and stays dead."""

    def __init__(self, target: Target, after: int, *, executed: bool, error: Callable[[], Exception] = Cut) -> None:
        self._target = target
        self._left = after
        self._executed = executed
        self._error = error

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if name in ("artifacts", "place"):
            return lambda *where: CutPlace(found(*where), self.call)
        if name == "api":
            return CutApi(found, self.call)
        if not callable(found) or name in ("close", "check"):
            return found
        return lambda *args, **kwargs: self.call(found, *args, **kwargs)

    def call(self, request: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self._left -= 1
        if self._left > 0:
            return request(*args, **kwargs)
        if self._left == 0 and self._executed:
            request(*args, **kwargs)
        raise self._error()


def dying(after: int, *, executed: bool) -> Callable[[Target], Target]:
    """Return what puts a target that dies at any of its requests around another."""
    return lambda target: cast("Target", CutTarget(target, after, executed=executed))


class CutApi:
    """The API of a target that dies."""

    def __init__(self, api: Any, call: Callable[..., Any]) -> None:
        self._api = api
        self._call = call

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._api, name)
        return lambda *args, **kwargs: self._call(found, *args, **kwargs)


class CutPlace:
    """The artifacts of a run of a target that dies."""

    def __init__(self, place: Any, call: Callable[..., Any]) -> None:
        self._place = place
        self._call = call

    def sizes(self) -> Any:
        return self._call(self._place.sizes)

    def put(self, *args: Any) -> None:
        self._call(self._place.put, *args)
