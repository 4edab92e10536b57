"""The least that reading the metrics of a backend takes: one connection of ADBC, rows into Arrow and away.

    python -m bench.bare_read adbc_driver_sqlite DATABASE

prints wall seconds and CPU seconds of the reading alone, and the number of rows.
"""

from __future__ import annotations

import sys
import time
from contextlib import closing
from importlib import import_module

COLUMNS = "run_uuid, key, step, timestamp, value, is_nan"


def bare_read(driver: str, uri: str) -> tuple[float, float, int]:
    """Return wall and CPU seconds and rows of the metrics table read into Arrow by a driver of ADBC."""
    with (
        closing(import_module(f"{driver}.dbapi").connect(uri, autocommit=True)) as connection,
        closing(connection.cursor()) as cursor,
    ):
        started, processor, rows = time.perf_counter(), time.process_time(), 0
        cursor.execute(f"SELECT {COLUMNS} FROM metrics")
        for batch in cursor.fetch_record_batch():
            rows += batch.num_rows
        return time.perf_counter() - started, time.process_time() - processor, rows


if __name__ == "__main__":
    print(*bare_read(sys.argv[1], sys.argv[2]))
