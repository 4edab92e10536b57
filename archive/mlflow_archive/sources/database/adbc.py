"""A connection of ADBC without its DB-API: that imports pyarrow.dataset, and with it pandas: a third of the start."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import adbc_driver_manager
import pyarrow as pa

from mlflow_archive.sources.database.snapshot import Batch

ArrowError = (adbc_driver_manager.Error, pa.ArrowException, OSError)
"""What connecting and reading may raise."""


class ArrowConnection:
    """One connection to a database that a driver has made; used by one thread at a time."""

    def __init__(self, database: Any, *, autocommit: bool = True) -> None:
        self._database = database
        self._connection = adbc_driver_manager.AdbcConnection(database)
        if not autocommit:
            self._connection.set_autocommit(False)

    def batches(self, sql: str, **options: str) -> Iterator[Batch]:
        """Yield the rows of a query as they come."""
        with adbc_driver_manager.AdbcStatement(self._connection) as statement:
            if options:
                statement.set_options(**options)
            statement.set_sql_query(sql)
            stream, _ = statement.execute_query()
            with pa.RecordBatchReader.from_stream(stream) as reader:
                for batch in reader:
                    yield {name: pa.chunked_array([batch.column(name)]) for name in batch.schema.names}

    def run(self, sql: str) -> None:
        """Run a statement that has no rows."""
        with adbc_driver_manager.AdbcStatement(self._connection) as statement:
            statement.set_sql_query(sql)
            statement.execute_update()

    def close(self) -> None:
        """Let go of it."""
        self._connection.close()
        self._database.close()
