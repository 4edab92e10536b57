"""What the target must hold of logged models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlflow_archive.api.proof.comparing import Excused, Expected
from mlflow_archive.api.proof.planning import RowsByTable, Share
from mlflow_archive.api.proof.rules import Rule
from mlflow_archive.api.proof.runs import expected_files
from mlflow_archive.format.source_tags import shorten_key
from mlflow_archive.kinds import LOGGED_MODEL, RUN
from mlflow_archive.sinks.replay.logged_models.planned_model import (
    LoggedModelRows,
    PlannedModel,
    logged_models_of,
    plan_model,
)
from mlflow_archive.sinks.replay.writing.fitting import key_is_taken
from mlflow_archive.sinks.replay.writing.rows import Row

_STATUS = {1: "PENDING", 2: "READY", 3: "FAILED"}


def expected_logged_models(part: Share) -> RowsByTable:
    """Return all rows of logged models."""
    ids = part.sides.ids
    names = ("logged_models", "logged_model_params", "logged_model_tags", "logged_model_metrics", "artifacts")
    tables: dict[str, list[Expected]] = {name: [] for name in names}
    originals = {row["model_id"]: row for row in part.originals("logged_models")}
    for rows in logged_models_of(part.chunk):
        target_id = ids.of(LOGGED_MODEL).get(rows.model_id)
        if target_id is not None:
            _add(part, rows, originals[target_id], tables)
    return tables


def _add(part: Share, rows: LoggedModelRows, original: Row, tables: dict[str, list[Expected]]) -> None:
    ids, target_id = part.sides.ids, original["model_id"]
    run_id = ids.of(RUN).get(rows.info["source_run_id"] or "")
    bound = part.context.experiments.bind(rows.info["experiment_id"])
    plan = plan_model(rows, bound, run_id, part.context)
    tables["logged_models"].append(Expected(_info(plan, original), original))
    in_experiment = {"model_id": target_id, "experiment_id": original["experiment_id"]}
    limit = part.context.options.limits.key
    tables["logged_model_tags"] += part.tags(
        "logged_model_tags", {"model_id": target_id}, plan.tags, str, in_experiment
    )
    tables["logged_model_params"] += part.tags(
        "logged_model_params", {"model_id": target_id}, plan.params, lambda key: shorten_key(key, limit), in_experiment
    )
    for row, source in part.pairs("logged_model_metrics"):
        if row["model_id"] == target_id:
            point = {**row, "timestamp": max(0, row["timestamp"]), "experiment_id": original["experiment_id"]}
            unseen = None if _is_taken(source, part) else Rule.LEFT_OUT
            tables["logged_model_metrics"].append(Expected(point, row, unseen=unseen))
    own = {rows.model_id: target_id, rows.info["source_run_id"]: run_id}

    def mapped(source_id: str) -> str | None:
        return own.get(source_id) or ids.of(RUN).get(source_id) or ids.of(LOGGED_MODEL).get(source_id)

    tables["artifacts"] += expected_files(part, target_id, mapped)


def _is_taken(row: Row, part: Share) -> bool:
    """Return whether MLflow takes a point of a logged model: as one of a run that is there, with a value."""
    return row["run_id"] in part.sides.ids.of(RUN) and key_is_taken(row["key"]) and row["value"] is not None


def _info(plan: PlannedModel, original: Row) -> Mapping[str, Any]:
    return {
        **original,
        "name": plan.name,
        "model_type": plan.model_type,
        "source_run_id": plan.run_id,
        "status": _STATUS[plan.status] if plan.status is not None else Excused(Rule.SET_BY_TARGET),
        "lifecycle_stage": "deleted" if plan.deleted else "active",
    }
