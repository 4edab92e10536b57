"""Objects written into file stores one by one, and what the source reads of a store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.mlruns import MlrunsSource
from tests.support.mlruns import RUN_ID, one_run, write_meta
from tests.support.reading import Read, read_source

MODEL_ID = "m-" + "a" * 32
PROMPT = {"tags/mlflow.prompt.is_prompt": "true"}
TRACE_ID = "tr-" + "a" * 32


def read(root: Path, selection: Selection | None = None, **options: Any) -> Read:
    return read_source(MlrunsSource(root, **options), selection)


def one_trace(
    root: Path,
    trace_id: str = TRACE_ID,
    *,
    info: Mapping[str, Any] | None = None,
    files: Mapping[str, str] | None = None,
    **fields: Any,
) -> Path:
    """Write a trace into experiment 1; return its folder. A field that is None is left out; ``info`` replaces all."""
    if not (root / "1").exists():
        one_run(root)
    folder = root / "1" / "traces" / trace_id
    document = {
        "trace_id": trace_id,
        "trace_location": {"mlflow_experiment": {"experiment_id": "1"}, "type": "MLFLOW_EXPERIMENT"},
        "request_time": "2026-01-20T12:51:36.189Z",
        "execution_duration_ms": 17,
        "state": "OK",
        **fields,
    }
    written = document if info is None else info
    folder.mkdir(parents=True)
    write_meta(folder, {name: value for name, value in written.items() if value is not None})
    (folder / "meta.yaml").rename(folder / "trace_info.yaml")
    for path, text in (files or {}).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, "utf-8")
    return folder


def assessment(folder: Path, name: str = "a-1", **fields: Any) -> None:
    """Write a feedback of value true; a field that is None is left out."""
    document = {
        "assessment_id": name,
        "assessment_name": "good",
        "create_time": "2026-01-01T00:00:00Z",
        "last_update_time": "2026-01-01T00:00:01.5Z",
        "feedback": {"value": True},
        "source": {"source_type": "HUMAN", "source_id": "me"},
        "valid": True,
        **fields,
    }
    write_meta(folder / "assessments", {key: value for key, value in document.items() if value is not None})
    (folder / "assessments" / "meta.yaml").rename(folder / "assessments" / f"{name}.yaml")


def registered(root: Path, name: str = "m", files: Mapping[str, str] | None = None, **fields: Any) -> Path:
    """Write a registered model into a store with one run; return its folder. A field that is None is left out."""
    if not root.exists():
        one_run(root)
    folder = root / "models" / name
    document = {"name": name, "creation_timestamp": 1, "last_updated_timestamp": 2, "aliases": {}, **fields}
    write_meta(folder, {key: value for key, value in document.items() if value is not None})
    for path, text in (files or {}).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, "utf-8")
    return folder


def version(folder: Path, number: int = 1, **fields: Any) -> Path:
    """Write a version of a registered model; return its folder. A field that is None is left out."""
    document = {"name": folder.name, "version": number, "current_stage": "None", "status": "READY", **fields}
    place = folder / f"version-{number}"
    write_meta(place, {key: value for key, value in document.items() if value is not None})
    return place


def a_model(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "MLmodel").write_text("flavors: {}\n")
    (folder / "model.pkl").write_text("never loaded")
    return folder


def one_model(root: Path, model_id: str = MODEL_ID, files: Mapping[str, str] | None = None, **fields: Any) -> Path:
    """Write a logged model into experiment 1 of a store with one run; return its folder. None leaves a field out."""
    if not (root / "1").exists():
        one_run(root)
    folder = root / "1" / "models" / model_id
    document = {
        "artifact_location": f"file:///gone/mlruns/1/models/{model_id}/artifacts",
        "creation_timestamp": 1_700_000_000_000,
        "experiment_id": "1",
        "last_updated_timestamp": 1_700_000_000_001,
        "model_id": model_id,
        "name": "a model",
        "source_run_id": RUN_ID,
        "status": 2,
        **fields,
    }
    write_meta(folder, {name: value for name, value in document.items() if value is not None})
    for path, text in (files or {}).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, "utf-8")
    return folder
