"""Metric points on their way: as parallel columns, and of each metric the latest."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

from mlflow_archive.format.fingerprint import LatestMetric, point_order

Dataset = tuple[str, str]
"""Name and digest."""


@dataclass(slots=True)
class Points:
    """Points as parallel columns; times in milliseconds, ``datasets`` holds (name, digest) or None."""

    keys: list[str] = field(default_factory=list)
    steps: array[int] = field(default_factory=lambda: array("q"))
    times: array[int] = field(default_factory=lambda: array("q"))
    values: array[float] = field(default_factory=lambda: array("d"))
    datasets: list[Dataset | None] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.keys)

    def extend(self, points: Points) -> None:
        """Add points at the end."""
        self.keys.extend(points.keys)
        self.steps.extend(points.steps)
        self.times.extend(points.times)
        self.values.extend(points.values)
        self.datasets.extend(points.datasets)


@dataclass(slots=True)
class Latest:
    """The latest point of each metric: highest (step, time, value), a NaN counting as 0 as in MLflow's databases.

    ``counts`` are the numbers of points.
    """

    points: dict[str, LatestMetric] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, key: str, step: int, time: int, value: float) -> None:
        """Take a point into account."""
        self.counts[key] = self.counts.get(key, 0) + 1
        latest = self.points.get(key)
        if (
            latest is None
            or step > latest[1]  # nearly every line, and the cheapest to see
            or (step == latest[1] and point_order((key, step, time, value)) > point_order(latest))
        ):
            self.points[key] = (key, step, time, value)
