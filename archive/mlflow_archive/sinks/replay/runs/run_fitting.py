"""Params, metrics and dataset inputs of a run, cut to what MLflow takes, with a note on everything that changes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from mlflow_archive.format import refusals
from mlflow_archive.kinds import RUN
from mlflow_archive.sinks.replay.runs.run_rows import RunRows
from mlflow_archive.sinks.replay.target.target import DatasetInput, Point
from mlflow_archive.sinks.replay.writing.fitting import Fitter, key_is_taken
from mlflow_archive.sinks.replay.writing.point_changes import PointChanges
from mlflow_archive.sinks.replay.writing.rows import Row

_LARGEST = 1.7976931348623157e308


@dataclass(frozen=True, slots=True)
class RunFitter(Fitter):
    """Cuts what a run has to the target's limits; ``owner`` is its source id."""

    def params(self, params: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        fitted = []
        for key, value in params:
            if key_is_taken(key):
                short = self.key("param", key, self.limits.key)
                fitted.append((short, self.text("param", key, value, self.limits.param)))
            else:
                reason = f"MLflow takes no param named {key!r}"
                self.receipt.refuse(RUN, self.owner, key, refusals.PARAM_REFUSED, reason)
        return fitted

    def metrics(self, rows: RunRows) -> list[Point]:
        """Fit points: those that MLflow takes, each once."""
        names: dict[str, str | None] = {}
        for key in {point[0] for point in rows.metrics}:
            names[key] = self.key("metric", key, self.limits.key) if key_is_taken(key) else None
        refused: Counter[str] = Counter()
        identities: set[tuple[object, ...]] = set()
        fitted: list[Point] = []
        changes = PointChanges(self.receipt, "metrics", {"run_id": self.owner})
        for key, value, original_time, step in rows.metrics:
            name, time = names[key], max(0, original_time)
            if name is None:
                refused[key] += 1
                continue
            identity = (name, value if value == value else None, time, step)  # noqa: PLR0124 - NaN is not itself
            if identity in identities:
                continue
            identities.add(identity)
            changes.add(key, value, original_time)
            fitted.append((name, value, time, step))
        for key, points in refused.items():
            reason = f"{points} points: MLflow takes no metric named {key!r}"
            self.receipt.refuse(RUN, self.owner, key, refusals.METRIC_REFUSED, reason)
        self.receipt.changed("repeated_points", len(rows.metrics) - len(fitted) - refused.total())
        self.receipt.changed("points_without_their_dataset", rows.points_with_dataset)
        changes.report()
        return fitted

    def dataset(self, row: Row, tags: Sequence[tuple[str, str]]) -> DatasetInput:
        """Fit one dataset input from a row of ``datasets`` and the tags of the input."""
        limits, name = self.limits, row["name"]

        def cut(column: str, limit: int) -> str | None:
            value = row[column]
            return None if value is None else self.text(f"dataset {column}", name, value, limit)

        return DatasetInput(
            name=self.text("dataset name", name, name, limits.dataset_name),
            digest=self.text("dataset digest", name, row["digest"], limits.dataset_digest),
            source_type=self.text("dataset source type", name, row["source_type"], limits.dataset_source_type),
            source=cut("source", limits.dataset_source) or "",
            schema=cut("schema", limits.dataset_schema),
            profile=cut("profile", limits.dataset_profile),
            tags=tuple(
                (
                    self.key("input tag", key, limits.input_tag_key),
                    self.text("input tag", key, value, limits.input_tag),
                )
                for key, value in tags
            ),
        )


def order(point: Point) -> tuple[int, int, float]:
    """Return what MLflow orders the points of a metric by; databases hold NaN as 0 and clamp infinities."""
    _, value, time, step = point
    return step, time, 0.0 if math.isnan(value) else max(-_LARGEST, min(_LARGEST, value))


def newest(points: Sequence[Point]) -> dict[str, Point]:
    """Return the newest point of each metric."""
    by_key: dict[str, Point] = {}
    for point in points:
        known = by_key.get(point[0])
        if known is None or order(point) > order(known):
            by_key[point[0]] = point
    return by_key
