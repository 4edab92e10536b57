"""Metric points that a target cannot hold as they are, and how many of each metric."""

from __future__ import annotations

import math
from collections.abc import Mapping

from mlflow_archive.sinks.replay.writing.receipt import Receipt

BEFORE_1970 = "points_before_1970"
"""MLflow takes no times before; such points get the time 0."""
INFINITE = "infinite_points"
"""MLflow's databases hold the largest number instead."""
NEGATIVE_ZERO = "negative_zero_points"
"""SQLite and MariaDB drop the sign."""


class PointChanges:
    """Collects such points of one object; ``owner`` is what names it in rows of ``table``."""

    def __init__(self, receipt: Receipt, table: str, owner: Mapping[str, str]) -> None:
        self._receipt, self._table, self._owner = receipt, table, owner
        self._times: dict[str, list[int]] = {}
        self._values: dict[tuple[str, str], int] = {}

    def add(self, key: str, value: float, time_ms: int) -> None:
        """Look at a point as it is at the source."""
        if time_ms < 0:
            self._times.setdefault(key, []).append(time_ms)
        if math.isinf(value) or (value == 0 and math.copysign(1, value) < 0):
            self._values[key, repr(value)] = self._values.get((key, repr(value)), 0) + 1

    def report(self) -> None:
        """Put into the receipt what there was: an entry for each metric and original, with the number of points."""
        for key, times in self._times.items():
            self._receipt.changed(BEFORE_1970, len(times))
            originals = {"points": len(times), "first_ms": min(times), "last_ms": max(times)}
            self._rewritten(key, "timestamp", **originals)
        for (key, original), points in self._values.items():
            self._receipt.changed(NEGATIVE_ZERO if original == "-0.0" else INFINITE, points)
            self._rewritten(key, "value", points=points, original=original)

    def _rewritten(self, key: str, column: str, **originals: object) -> None:
        entry = {"table": self._table, "key": {**self._owner, "key": key}, "column": column, **originals}
        self._receipt.rewritten(entry)
