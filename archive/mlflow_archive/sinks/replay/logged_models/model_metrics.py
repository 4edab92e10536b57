"""The metrics of logged models: MLflow takes them only as points of the run that logged them, with the model's id.

Such a point goes to the run as well, where it exists already and changes nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

from mlflow_archive.errors import ServerError
from mlflow_archive.format import refusals
from mlflow_archive.kinds import LOGGED_MODEL, RUN
from mlflow_archive.sinks.replay.context import ReplayContext
from mlflow_archive.sinks.replay.logged_models.planned_model import LoggedModelRows, PlannedModel, TargetModel
from mlflow_archive.sinks.replay.target.target import MAX_METRICS, json_number
from mlflow_archive.sinks.replay.writing.failures import check_one_item
from mlflow_archive.sinks.replay.writing.fitting import key_is_taken
from mlflow_archive.sinks.replay.writing.point_changes import PointChanges
from mlflow_archive.sinks.replay.writing.rows import Row

_API: Final = "/api/2.0/mlflow/"


class ModelMetrics:
    """Writes the points of logged models. Usable by several threads."""

    def __init__(self, context: ReplayContext) -> None:
        self._context = context

    def missing(self, rows: LoggedModelRows, target: TargetModel | None) -> dict[str, list[Row]]:
        """Return the points that the target lacks by its run id.

        What it cannot take is refused; points of runs that are not there are counted.
        """
        refused: Counter[tuple[str, str]] = Counter()
        missing: dict[str, list[Row]] = {}
        existing = target.points if target is not None else frozenset()
        changes = PointChanges(self._context.receipt, "logged_model_metrics", {"model_id": rows.model_id})
        for row in rows.metrics:
            run_id = self._run(row, rows.info)
            if run_id is None and row["run_id"]:
                self._context.receipt.changed("model_points_without_run")
                continue
            reason = _untakable(row, run_id)
            if reason:
                refused[row["key"], reason] += 1
                continue
            changes.add(row["key"], row["value"], row["timestamp"])
            time = max(0, row["timestamp"])
            if run_id and (row["key"], time, row["step"], run_id) not in existing:
                missing.setdefault(run_id, []).append({**row, "timestamp": time})
        changes.report()
        for (key, reason), points in sorted(refused.items()):
            self._refuse(rows.model_id, key, f"{points} points: {reason}")
        return missing

    def write(self, plan: PlannedModel, model_id: str, points: dict[str, list[Row]]) -> None:
        """Log points by run."""
        for run_id, rows in points.items():
            experiment_id = rows[0]["experiment_id"] or plan.experiment_id
            self._context.runs.make_writable(self._context.experiment(experiment_id), run_id)
            zeros_of_nan = self._nan_in_run(run_id, rows)
            metrics = [_metric(row, model_id, zeros_of_nan) for row in rows]
            halves = sum((row["dataset_name"] is None) != (row["dataset_digest"] is None) for row in rows)
            self._context.receipt.changed("points_without_their_dataset", halves)
            for start in range(0, len(metrics), MAX_METRICS):
                self._log(plan, run_id, metrics[start : start + MAX_METRICS])

    def _run(self, row: Row, info: Row) -> str | None:
        """Return the target's run of a point: "" where a dry run would create it, None where it is not there."""
        if not row["run_id"]:
            return None
        ids = self._context.receipt.ids(RUN)
        if row["run_id"] in ids:
            return ids[row["run_id"]] or ""
        return self._context.find_run(row["run_id"], row["experiment_id"] or info["experiment_id"])

    def _nan_in_run(self, run_id: str, rows: Iterable[Row]) -> set[tuple[str, int, int]]:
        """Return where the run has NaN and no 0: a SQL source shows a model's NaN as 0, which the run must not get."""
        places: set[tuple[str, int, int]] = set()
        for key in {row["key"] for row in rows if row["value"] == 0}:
            history = self._context.api.get(_API + "metrics/get-history", {"run_id": run_id, "metric_key": key})
            values: dict[tuple[int, int], list[float]] = {}
            for point in history.get("metrics", []):
                place = (int(point.get("timestamp", 0)), int(point.get("step", 0)))
                values.setdefault(place, []).append(float(point.get("value", 0.0)))
            places |= {
                (key, *place) for place, numbers in values.items() if any(map(math.isnan, numbers)) and 0 not in numbers
            }
        return places

    def _log(self, plan: PlannedModel, run_id: str, metrics: Sequence[dict[str, Any]]) -> None:
        try:
            self._context.api.post(_API + "runs/log-batch", {"run_id": run_id, "metrics": list(metrics)})
        except ServerError as exc:
            check_one_item(exc)
            if len(metrics) == 1:
                self._refuse(plan.source_id, metrics[0]["key"], f"1 points: {exc}")
                return
            middle = len(metrics) // 2
            self._log(plan, run_id, metrics[:middle])
            self._log(plan, run_id, metrics[middle:])

    def _refuse(self, source_id: str, key: str, reason: str) -> None:
        self._context.receipt.refuse(LOGGED_MODEL, source_id, key, refusals.METRIC_REFUSED, reason)


def _untakable(row: Row, run_id: str | None) -> str | None:
    if run_id is None:
        return "no run has them"
    if not key_is_taken(row["key"]):
        return f"MLflow takes no metric named {row['key']!r}"
    return "they have no value" if row["value"] is None else None


def _metric(row: Row, model_id: str, zeros_of_nan: set[tuple[str, int, int]]) -> dict[str, Any]:
    """Return a point as log-batch takes it: with name and digest of its dataset, or without both."""
    place = (row["key"], row["timestamp"], row["step"])
    of_dataset = row["dataset_name"] is not None and row["dataset_digest"] is not None
    value = math.nan if row["value"] == 0 and place in zeros_of_nan else row["value"]
    metric = {
        "key": row["key"],
        "value": json_number(value),
        "timestamp": row["timestamp"],
        "step": row["step"],
        "model_id": model_id,
        "dataset_name": row["dataset_name"] if of_dataset else None,
        "dataset_digest": row["dataset_digest"] if of_dataset else None,
    }
    return {name: value for name, value in metric.items() if value is not None}
