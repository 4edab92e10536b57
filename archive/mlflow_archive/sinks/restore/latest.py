"""The newest point of each metric of a run, as MLflow keeps it beside the history."""

from __future__ import annotations

from threading import Lock
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from mlflow_archive.kinds import TIMESTAMP
from mlflow_archive.reader.adjacent import last_of_each
from mlflow_archive.sinks.restore.inverting import storable_value

_BY: Final = ("run_uuid", "key")


class LatestMetrics:
    """Finds the newest points; a run's history may come in several pieces."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._unfinished: pa.Table | None = None

    def add(self, metrics: pa.Table, *, complete: bool) -> pa.Table | None:
        """Take points of some runs and return, once these are complete, the rows of ``latest_metrics``.

        The newest is that with the greatest (step, timestamp, value), NaN counting as 0, as in MLflow's own store.
        Called by one thread for the chunks of a shard at a time.
        """
        rows = pa.table(
            {
                "run_uuid": metrics["run_id"],
                "key": metrics["key"],
                "step": metrics["step"],
                "timestamp": metrics["timestamp"].cast(pa.int64())
                if metrics["timestamp"].type == TIMESTAMP
                else metrics["timestamp"],
                "value": storable_value(metrics["value"]),
                "is_nan": pc.is_nan(metrics["value"]),
            }
        )
        newest = _newest(rows if self._unfinished is None else pa.concat_tables([self._unfinished, rows]))
        self._unfinished = None if complete else newest
        return newest if complete else None


def _newest(rows: pa.Table) -> pa.Table:
    rows = rows.sort_by([(name, "ascending") for name in (*_BY, "step", "timestamp", "value")])
    return last_of_each(rows, _BY)
