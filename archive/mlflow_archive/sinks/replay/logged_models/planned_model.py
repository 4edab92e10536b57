"""What one logged model will be in the target, and how that differs from the model of the target."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from mlflow_archive.flow.chunk import ArtifactFile, Chunk
from mlflow_archive.format.source_tags import beyond_the_export, object_source_tags
from mlflow_archive.kinds import LOGGED_MODEL, RUN
from mlflow_archive.sinks.replay.context import ReplayContext
from mlflow_archive.sinks.replay.places.experiments import STATE, Bound
from mlflow_archive.sinks.replay.target.target import pairs_of
from mlflow_archive.sinks.replay.writing.earlier_imports import MODEL_IDENTITY, tags_of
from mlflow_archive.sinks.replay.writing.fitting import Fitter, plain_tags
from mlflow_archive.sinks.replay.writing.references import remap_linked_prompts
from mlflow_archive.sinks.replay.writing.rows import Row, rows_of

MODEL_VERSIONS: Final = "mlflow.modelVersions"
"""A tag that the server itself writes on a logged model of which a version is made."""
_NOT_IN_NAMES: Final = re.compile(r"""[/:.%"']""")
_STATUS: Final = {"PENDING": 1, "READY": 2, "FAILED": 3}
_STATUS_OF_API: Final = {
    "LOGGED_MODEL_PENDING": "PENDING",
    "LOGGED_MODEL_READY": "READY",
    "LOGGED_MODEL_UPLOAD_FAILED": "FAILED",
}
_LONGEST_TEXT: Final = 1 << 30


@dataclass(slots=True, kw_only=True)
class LoggedModelRows:
    """What a chunk holds of one logged model."""

    model_id: str
    info: Row
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str | None] = field(default_factory=dict)
    metrics: list[Row] = field(default_factory=list)
    artifacts: list[ArtifactFile] = field(default_factory=list)


def logged_models_of(chunk: Chunk) -> list[LoggedModelRows]:
    """Return the rows of a chunk by logged model."""
    models = {
        row["model_id"]: LoggedModelRows(model_id=row["model_id"], info=row) for row in rows_of(chunk, "logged_models")
    }
    for row in rows_of(chunk, "logged_model_params"):
        models[row["model_id"]].params[row["key"]] = row["value"]
    for row in rows_of(chunk, "logged_model_tags"):
        models[row["model_id"]].tags[row["key"]] = row["value"]
    for row in rows_of(chunk, "logged_model_metrics"):
        models[row["model_id"]].metrics.append(row)
    for artifact in chunk.artifacts:
        if artifact.owner_kind == LOGGED_MODEL and artifact.owner_id in models:
            models[artifact.owner_id].artifacts.append(artifact)
    return list(models.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedModel:
    """A logged model as it will be.

    ``experiment_id`` is the source's, ``run_id`` the target's, ``status`` a number of MLflow's API.
    """

    source_id: str
    experiment_id: str
    bound: Bound
    name: str
    model_type: str | None
    run_id: str | None
    status: int | None
    deleted: bool
    params: Mapping[str, str]
    tags: Mapping[str, str]


def plan_model(rows: LoggedModelRows, bound: Bound, run_id: str | None, context: ReplayContext) -> PlannedModel:
    """Fit a logged model; ``run_id`` is the target's id of the run that made it, None where none or not there."""
    info, receipt, limits = rows.info, context.receipt, context.options.limits
    fitter = Fitter(limits, receipt, rows.model_id)
    name = _NOT_IN_NAMES.sub("_", info["name"]) or rows.model_id
    receipt.changed("logged_model_name", int(name != info["name"]))
    missing = info["source_run_id"] and run_id is None and info["source_run_id"] not in receipt.ids(RUN)
    receipt.changed("logged_model_without_its_run", int(bool(missing)))
    status = _STATUS.get(info["status"])
    receipt.changed("logged_model_status", int(status is None))
    receipt.changed("logged_model_status_message", int(bool(info["status_message"])))
    plain = remap_linked_prompts(plain_tags(rows.tags), lambda name: context.model_name(name, info["experiment_id"]))
    plain.pop(MODEL_VERSIONS, None)
    tags = fitter.tags("tag", plain, _LONGEST_TEXT)
    if context.options.source_tags:
        experiment = context.experiments.rows[info["experiment_id"]]["name"]
        source_tags = object_source_tags(
            "logged_model", info, rows.tags, export=context.export_of(info), experiment_name=experiment
        )
        tags.update(fitter.tags("source tag", source_tags, _LONGEST_TEXT))
    else:
        tags[MODEL_IDENTITY] = rows.model_id
    return PlannedModel(
        source_id=rows.model_id,
        experiment_id=info["experiment_id"],
        bound=bound,
        name=fitter.text("logged model name", "name", name, limits.logged_model_name),
        model_type=fitter.text("logged model type", "model_type", info["model_type"] or "", limits.logged_model_type)
        or None,
        run_id=run_id,
        status=status,
        deleted=info["lifecycle_stage"] == "deleted",
        params={fitter.key("param", key, limits.key): value for key, value in rows.params.items()},
        tags=tags,
    )


PointKey = tuple[str, int, int, str]
"""(key, timestamp in ms, step, run id in the target)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetModel:
    """A logged model of the target."""

    model_id: str
    artifact_uri: str
    status: int | None
    params: Mapping[str, str]
    tags: Mapping[str, str]
    points: frozenset[PointKey]

    @classmethod
    def parse(cls, model: Mapping[str, Any]) -> TargetModel:
        """Read a model of MLflow's API."""
        info, data = model["info"], model.get("data", {})
        return cls(
            model_id=info["model_id"],
            artifact_uri=info.get("artifact_uri", ""),
            status=_STATUS.get(_STATUS_OF_API.get(info.get("status", ""), "")),
            params=pairs_of(data.get("params", [])),
            tags=tags_of(model),
            points=frozenset(
                (point["key"], int(point.get("timestamp", 0)), int(point.get("step", 0)), point.get("run_id", ""))
                for point in data.get("metrics", [])
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDifference:
    """What a logged model of the target lacks of a plan. ``conflicting`` params hold another value there."""

    incomplete: bool
    tags: Mapping[str, str]
    params: Mapping[str, str]
    conflicting: Sequence[str]
    status: bool

    def __bool__(self) -> bool:
        return bool(self.incomplete or self.tags or self.params or self.status)


def compare_model(plan: PlannedModel, model: TargetModel) -> ModelDifference:
    """Compare a plan with the model of the target; what that has beyond the plan is not a difference."""
    return ModelDifference(
        incomplete=STATE in model.tags,
        tags=beyond_the_export(
            {key: value for key, value in plan.tags.items() if model.tags.get(key) != value}, model.tags
        ),
        params={key: value for key, value in plan.params.items() if key not in model.params},
        conflicting=[key for key, value in plan.params.items() if model.params.get(key, value) != value],
        status=plan.status is not None and plan.status != model.status,
    )
