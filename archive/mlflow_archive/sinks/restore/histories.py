"""Histories of metrics: their newest points, which MLflow keeps beside them, and histories in several pieces.

In a very long history the order is that of the source, and so may be two equal points, in two pieces.
"""

from __future__ import annotations

from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from mlflow_archive.reader.adjacent import are_ascending, last_of_each
from mlflow_archive.sinks.restore.inverting import storable_value

_BY: Final = ("run_uuid", "key")
_ORDER: Final = (*_BY, "step", "timestamp")


class RestoredHistories:
    """Follows the histories that one thread restores, of which each may come in several pieces.

    ``complete`` says of each piece that the next one is of another history.
    """

    def __init__(self) -> None:
        self._newest: pa.Table | None = None
        self._last: tuple[Any, ...] | None = None

    def latest(self, metrics: pa.Table, *, complete: bool) -> pa.Table | None:
        """Return, once the histories of some points are complete, the rows of ``latest_metrics``.

        The newest point is the one with the greatest (step, timestamp, value), NaN counting as 0, as in MLflow's store.
        """
        rows = pa.table(
            {
                "run_uuid": metrics["run_id"],
                "key": metrics["key"],
                "step": metrics["step"],
                "timestamp": metrics["timestamp"].cast(pa.int64()),
                "value": storable_value(metrics["value"]),
                "is_nan": pc.is_nan(metrics["value"]),
            }
        )
        if self._newest is not None:
            rows = pa.concat_tables([self._newest, rows])
        if not are_ascending(rows, _ORDER):
            rows = rows.sort_by([(name, "ascending") for name in (*_ORDER, "value")])
        newest = last_of_each(rows, _BY)
        self._newest = None if complete else newest
        return newest if complete else None

    def overlaps(self, points: pa.Table | None, *, complete: bool) -> bool:
        """Return whether some points, sorted as the database holds them, may repeat points of an earlier piece."""
        overlaps = False
        if points is not None and points.num_rows:
            first, last = (tuple(points[name][at].as_py() for name in _ORDER) for at in (0, points.num_rows - 1))
            overlaps = self._last is not None and first <= self._last
            self._last = last if self._last is None else max(self._last, last)
        if complete:
            self._last = None
        return overlaps
