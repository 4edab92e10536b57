"""A little of everything, as chunks: one run, logged models, a registered model with gaps, a prompt."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from mlflow_archive.flow.chunk import ArtifactFile
from tests.support.chunks import ChunkSource, artifact, chunk, experiment, points, run

RUN: Final = "a" * 32
MODEL: Final = "m-" + "b" * 32
LOST: Final = "m-" + "c" * 32


def owned(kind: str, owner: str, path: str, data: bytes) -> ArtifactFile:
    """Return an artifact of an object that is no run."""
    return replace(artifact(owner, path, data), owner_kind=kind)


def logged_model(model_id: str, name: str, **columns: Any) -> dict[str, Any]:
    """Return a row of ``logged_models`` in the experiment 5."""
    return {
        "model_id": model_id,
        "experiment_id": "5",
        "name": name,
        "creation_timestamp": 1,
        "last_updated_timestamp": 2,
        "status": "READY",
        "lifecycle_stage": "active",
        "source_run_id": RUN,
        **columns,
    }


def registered(name: str, **columns: Any) -> dict[str, Any]:
    """Return a row of a table of registered models."""
    return {"name": name, "workspace": "default", "creation_time": 1, "last_updated_time": 2, **columns}


def version(name: str, number: int, **columns: Any) -> dict[str, Any]:
    """Return a row of ``model_versions``."""
    row = registered(name, current_stage="None", status="READY", source="s3://bucket/x")
    return {**row, "version": number, **columns}


def point(model_id: str = MODEL, **columns: Any) -> dict[str, Any]:
    """Return a row of ``logged_model_metrics``."""
    return {"model_id": model_id, "key": "m", "timestamp": 5, "step": 1, "run_id": RUN, "value": 0.5, **columns}


def small() -> ChunkSource:
    """Return the source; versions 2 and 5 of ``model`` are deleted, 3 has files of its own."""
    runs = chunk(
        [artifact(RUN, "model/MLmodel", f"run_id: {RUN}\nmodel_id: {MODEL}\n".encode())],
        runs=[run(RUN, "5", run_name="only")],
        metrics=points(RUN, "m", [0.5]),
        model_outputs=[{"run_id": RUN, "model_id": MODEL, "step": 4}, {"run_id": RUN, "model_id": LOST, "step": 0}],
        model_inputs=[{"run_id": RUN, "model_id": MODEL, "step": 0}],
    )
    models = chunk(
        [owned("logged_model", MODEL, "MLmodel", f"run_id: {RUN}\nmodel_id: {MODEL}\n".encode())],
        logged_models=[logged_model(MODEL, "kept"), logged_model(LOST, "lost", lifecycle_stage="deleted")],
        logged_model_params=[{"model_id": MODEL, "key": "p", "value": "1"}],
        logged_model_tags=[{"model_id": MODEL, "key": "t", "value": "1"}],
        logged_model_metrics=[point()],
    )
    registry = chunk(
        [owned("registered_model", "model", "3/MLmodel", f"run_id: {RUN}\n".encode())],
        registered_models=[registered("model", description="Mine."), registered("prompt")],
        registered_model_tags=[registered("prompt", key="mlflow.prompt.is_prompt", value="true")],
        registered_model_aliases=[registered("model", alias="best", version=3)],
        model_versions=[
            version("model", 1, source=f"models:/{MODEL}", run_id=RUN, current_stage="Production"),
            version("model", 2, current_stage="Deleted_Internal", source="REDACTED-SOURCE-PATH"),
            version("model", 3, source="/somewhere", description="Third."),
            version("model", 4, source="/nowhere"),
            version("model", 5, current_stage="Deleted_Internal", source="REDACTED-SOURCE-PATH"),
            version("prompt", 2, source="dummy-source"),
        ],
        model_version_tags=[
            {**version("prompt", 2), "key": "mlflow.prompt.is_prompt", "value": "true"},
            {**version("prompt", 2), "key": "mlflow.prompt.text", "value": "Hello"},
        ],
    )
    first = chunk(experiments=[experiment("5", "main")])
    return ChunkSource((0, [first]), (1, [runs]), (2, [models]), (3, [registry]))
