"""A connection of ADBC without its DB-API: that imports pyarrow.dataset, and with it pandas: a third of the start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import adbc_driver_manager
import pyarrow as pa

ArrowError = (adbc_driver_manager.Error, pa.ArrowException, OSError)
"""What connecting, reading and writing may raise."""


class ArrowConnection:
    """One connection to a database that a driver has made; used by one thread at a time. Methods raise ArrowError."""

    def __init__(self, database: Any, *, autocommit: bool = True) -> None:
        self._database = database
        self._connection = adbc_driver_manager.AdbcConnection(database)
        if not autocommit:
            self.begin()

    def batches(self, sql: str, options: Mapping[str, str] | None = None) -> Iterator[dict[str, pa.ChunkedArray]]:
        """Yield the rows of a query as they come."""
        with adbc_driver_manager.AdbcStatement(self._connection) as statement:
            if options:
                statement.set_options(**options)
            statement.set_sql_query(sql)
            stream, _ = statement.execute_query()
            with pa.RecordBatchReader.from_stream(stream) as reader:
                for batch in reader:
                    yield {name: pa.chunked_array([batch.column(name)]) for name in batch.schema.names}

    def run(self, sql: str, values: tuple[Any, ...] = ()) -> None:
        """Run a statement that returns no rows, with values for its placeholders."""
        with adbc_driver_manager.AdbcStatement(self._connection) as statement:
            statement.set_sql_query(sql)
            if values:
                statement.bind(
                    pa.record_batch([pa.array([value]) for value in values], list(map(str, range(len(values)))))
                )
            statement.execute_update()

    def insert(self, table: str, rows: pa.Table) -> None:
        """Add rows to a table that has columns of their names."""
        with adbc_driver_manager.AdbcStatement(self._connection) as statement:
            options = adbc_driver_manager.StatementOptions
            target, mode = options.INGEST_TARGET_TABLE.value, options.INGEST_MODE.value
            statement.set_options(**{target: table, mode: "adbc.ingest.mode.append"})
            statement.bind_stream(rows.to_reader())
            statement.execute_update()

    def run_for_each(self, sql: str, rows: pa.Table) -> None:
        """Run a statement for each of some rows, whose columns are the values of its placeholders."""
        with adbc_driver_manager.AdbcStatement(self._connection) as statement:
            statement.set_sql_query(sql)
            statement.bind_stream(rows.to_reader())
            statement.execute_update()

    def begin(self) -> None:
        """Begin a transaction; from now on each ends with ``commit`` or ``rollback``."""
        self._connection.set_autocommit(False)

    def commit(self) -> None:
        """Keep what was done."""
        self._connection.commit()

    def rollback(self) -> None:
        """Drop what was done since the last commit."""
        self._connection.rollback()

    def close(self) -> None:
        """Close it; what was not committed is dropped."""
        self._connection.close()
        self._database.close()
