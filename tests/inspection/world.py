"""An archive with what people look for: runs with histories, models with versions, traces, files, gaps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mlflow_archive.flow.copy import copy
from mlflow_archive.reader.archive import Archive, open_archive
from mlflow_archive.writer.export import ArchiveSink
from tests.support.chunks import ChunkSource, artifact, chunk, experiment, pairs, points, run

A, B, AB = "a" * 32, "b" * 32, "ab" + "0" * 30
MODEL, OLDER, GONE = (f"m-{letter * 32}" for letter in "123")
RAN = {B: {"status": "FAILED"}, AB: {"status": "FINISHED"}}
FILES = (
    *((A, "x/y", "run"), (A, "model/own", "run"), (MODEL, "MLmodel", "logged_model"), (MODEL, "own", "logged_model")),
    *((OLDER, "MLmodel", "logged_model"), (OLDER, "older", "logged_model"), ("churn", "4/file", "registered_model")),
    ("tr-2", "x", "trace"),
)
SPANS = {"spans": [{"span_id": "0x02", "name": "late", "start_time": 2}, {"span_id": "0x01", "name": "early"}]}


def version(name: str, number: int, **columns: Any) -> dict[str, Any]:
    return {"name": name, "workspace": "default", "version": number, **columns}


def logged_model(model_id: str, created: int, **columns: Any) -> dict[str, Any]:
    fields = {"experiment_id": "1", "name": "model", "status": "READY", "source_run_id": A, "model_type": "T"}
    return {"model_id": model_id, **fields, "creation_timestamp": created, "lifecycle_stage": "active", **columns}


def source() -> ChunkSource:
    first = chunk(
        experiments=[experiment("1", "one"), experiment("2", "two"), experiment("3", "two")],
        experiment_tags=[{"experiment_id": "1", "key": "team", "value": "t"}],
        datasets=[{"experiment_id": "1", "name": "iris", "digest": "d", "source_type": "s", "source": "there"}],
    )
    trace = {"experiment_id": "1", "request_time": 1, "state": "OK"}
    span = {"trace_id": "tr-1", "span_id": "s", "name": "n", "status": "OK", "content": '{"attributes": {"a": "1"}}'}
    rest = chunk(
        [
            *(artifact(owner, path, path.encode(), kind=kind) for owner, path, kind in FILES),
            artifact("tr-2", "traces.json", json.dumps(SPANS).encode(), kind="trace"),
            artifact("tr-3", "traces.json", b"[]", kind="trace"),
        ],
        runs=[run(A, "1", run_name="first"), *(run(each, "1", run_name="twin", **RAN[each]) for each in RAN)],
        params=pairs(A, {"lr": "1"}),
        tags=pairs(A, {"k": None}),
        metrics=[*points(A, "loss", [2.0, 1.0]), *points(A, "acc", [0.5])],
        dataset_inputs=[{"run_id": A, "dataset_name": name, "dataset_digest": "d"} for name in ("gone", "iris")],
        dataset_input_tags=[{"run_id": A, "dataset_name": "iris", "dataset_digest": "d", "key": "k", "value": "v"}],
        logged_models=[
            *(logged_model(MODEL, 2), logged_model(OLDER, 1)),
            logged_model(GONE, 3, lifecycle_stage="deleted"),
        ],
        gaps=[
            {"owner_id": A, "owner_kind": "run", "path": "p", "code": "G102", "reason": "why"},
            {"owner_id": "1", "owner_kind": "experiment", "path": "", "code": "G301", "reason": "because"},
            {"owner_id": "1", "owner_kind": "trace", "path": "", "code": "G403", "reason": "of another kind"},
        ],
        registered_models=[
            {"name": "churn", "workspace": "default", "description": "d"},
            {"name": "a/b", "workspace": "team"},
        ],
        registered_model_tags=[{"name": "churn", "workspace": "default", "key": "k", "value": "v"}],
        registered_model_aliases=[{"name": "churn", "workspace": "default", "alias": "live", "version": 2}],
        model_versions=[
            version("churn", 1, source=f"runs:/{A}/x", current_stage="Production"),
            version("churn", 2, source=f"models:/{MODEL}"),
            version("churn", 3, source="models:/churn/2"),
            version("churn", 4, source="file:/elsewhere"),
            version("churn", 5, source="file:/elsewhere", current_stage="None"),
            version("churn", 10, source=None, storage_location=f"models:/{OLDER}/sub", current_stage="Production"),
            version("churn", 11, current_stage="Deleted_Internal"),
            {**version("a/b", 1), "workspace": "team", "source": f"runs:/{A}"},
        ],
        model_version_tags=[
            {"name": "churn", "workspace": "default", "version": number, "key": "k", "value": str(number)}
            for number in (1, 2)
        ],
        traces=[{"trace_id": f"tr-{number}", **trace} for number in (1, 2, 3, 4)],
        spans=[{**span, "start_time_unix_nano": 1}],
    )
    return ChunkSource((0, [first]), (1, [rest]))


def written(path: Path) -> Archive:
    """Write the archive and open it."""
    copy(source(), ArchiveSink(path, tool="test", clock_ms=lambda: 7), jobs=1)
    return open_archive(path)
