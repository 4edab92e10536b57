"""A MySQL or MariaDB database, read in one transaction on one connection: snapshots cannot be shared there."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from threading import RLock
from typing import Final

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import DBAPIError, NoSuchModuleError, SQLAlchemyError

from mlflow_archive.errors import ServerError, StoreError
from mlflow_archive.mlflow_database.uris import DatabaseUri
from mlflow_archive.optional import missing
from mlflow_archive.sources.database.snapshot import Batch, Query, Schema

_BATCH: Final = 20_000
_COLUMNS: Final = """
SELECT table_name AS name, column_name AS col FROM information_schema.columns WHERE table_schema = DATABASE()
"""
_INDEXED: Final = """
SELECT table_name AS name, column_name AS col FROM information_schema.statistics
WHERE table_schema = DATABASE() AND seq_in_index = 1
"""


class MysqlSnapshot:
    """The database as it was when this was made. Raises ServerError, StoreError."""

    def __init__(self, uri: DatabaseUri) -> None:
        self._uri = uri
        self._lock = RLock()  # one result set at a time
        self._connection = self._connect()
        try:
            self._connection.exec_driver_sql("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            self._connection.exec_driver_sql("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        except SQLAlchemyError as error:
            self.close()
            raise StoreError(f"{uri.shown} refused a read-only transaction: {_said(error)}") from error

    @cached_property
    def schema(self) -> Schema:
        return Schema(columns=self._pairs(_COLUMNS), indexed=self._pairs(_INDEXED))

    def _pairs(self, sql: str) -> dict[str, frozenset[str]]:
        columns_of: dict[str, set[str]] = {}
        with self._lock:
            for name, column in self._connection.execute(text(sql)):
                columns_of.setdefault(name, set()).add(column)
        return {name: frozenset(columns) for name, columns in columns_of.items()}

    has_moment = False
    joins_lists = False

    def share(self, folder: Path | None = None) -> None:
        """Return None: no other connection sees this moment."""

    def fetch(self, statement: Query, *, wide: bool = False) -> Iterator[Batch]:
        """Yield rows as Python objects, once all have come: the connection is free again then."""
        yield from list(self.fetch_fast(statement))

    def fetch_fast(self, statement: Query) -> Iterator[Batch]:
        """Yield rows as they come; meanwhile no other query is answered."""
        with self._lock:
            try:
                result = self._connection.execution_options(stream_results=True, yield_per=_BATCH).execute(statement)
                names = list(result.keys())
                for rows in result.partitions(_BATCH):
                    yield {name: list(values) for name, values in zip(names, zip(*rows, strict=True), strict=True)}
            except SQLAlchemyError as error:
                raise StoreError(f"{self._uri.shown} cannot be read: {_said(error)}") from error

    def _connect(self) -> Connection:
        url = self._uri.url
        if url.drivername in ("mysql", "mariadb"):
            url = url.set(drivername="mysql+pymysql")
        try:
            # The transaction is our own statement; SQLAlchemy begins none.
            return create_engine(url, isolation_level="AUTOCOMMIT").connect()
        except (ImportError, NoSuchModuleError) as error:
            raise missing("mysql", "reading MySQL", error) from error
        except DBAPIError as error:
            raise ServerError(f"{self._uri.shown} cannot be reached: {_said(error)}") from error

    def close(self) -> None:
        with self._lock:
            self._connection.close()
            self._connection.engine.dispose()


def _said(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).split("\n", maxsplit=1)[0]
