"""A PostgreSQL database, read in one exported snapshot that all connections share, as Arrow by ADBC."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from threading import Lock, local
from typing import Final

from sqlalchemy.dialects.postgresql.base import PGDialect

from mlflow_archive.errors import ServerError, StoreError
from mlflow_archive.mlflow_database.adbc import ArrowConnection, ArrowError
from mlflow_archive.mlflow_database.uris import DatabaseUri
from mlflow_archive.optional import needing
from mlflow_archive.sources.database.snapshot import Batch, Query, Schema

_COLUMNS: Final = """
SELECT c.relname::text AS name, a.attname::text AS col
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped AND pg_table_is_visible(c.oid)
  AND c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
"""
_INDEXED: Final = """
SELECT c.relname::text AS name, a.attname::text AS col
FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
WHERE pg_table_is_visible(c.oid)
"""
_UNREADABLE: Final = """
SELECT c.relname::text AS name FROM pg_class c
WHERE c.relkind IN ('r', 'p') AND pg_table_is_visible(c.oid) AND NOT has_table_privilege(c.oid, 'SELECT')
  AND c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
"""


def _dialect() -> PGDialect:
    dialect = PGDialect(paramstyle="named")  # type: ignore[no-untyped-call]
    # Literals are written into the statement; with standard_conforming_strings, on since 2010, a backslash is itself.
    dialect._backslash_escapes = False  # what SQLAlchemy sets after it asked a server
    return dialect


_DIALECT: Final = _dialect()


class PostgresqlSnapshot:
    """All connections see the database as it was when this was made. Raises ServerError, StoreError.

    Or as it was at ``moment``, the name of a snapshot that another process has exported and still holds.
    """

    def __init__(self, uri: DatabaseUri, moment: str | None = None) -> None:
        self._uri = uri
        self._lock = Lock()
        self._local = local()
        self._connections: list[ArrowConnection] = []
        self._closed = False
        self._first = self._connect()
        try:
            self._begin(self._first)
            self._id = self._export() if moment is None else self._take(self._first, moment)
        except BaseException:
            self.close()
            raise
        self._local.connection = self._first

    def _export(self) -> str:
        exported = next(self._batches(self._first, "SELECT pg_export_snapshot()::text AS id"))
        return str(exported["id"][0])

    def _take(self, connection: ArrowConnection, moment: str) -> str:
        self._run(connection, f"SET TRANSACTION SNAPSHOT '{moment}'")
        return moment

    has_moment = True
    joins_lists = False

    def share(self, folder: Path | None = None) -> str:
        return self._id

    @cached_property
    def schema(self) -> Schema:
        unreadable = frozenset(str(name) for batch in self._batches(self._first, _UNREADABLE) for name in batch["name"])
        return Schema(columns=self._pairs(_COLUMNS), indexed=self._pairs(_INDEXED), unreadable=unreadable)

    def _pairs(self, sql: str) -> dict[str, frozenset[str]]:
        columns_of: dict[str, set[str]] = {}
        for batch in self._batches(self._first, sql):
            for name, column in zip(batch["name"], batch["col"], strict=True):
                columns_of.setdefault(str(name), set()).add(str(column))
        return {name: frozenset(columns) for name, columns in columns_of.items()}

    def fetch(self, statement: Query, *, wide: bool = False) -> Iterator[Batch]:
        """Yield rows as Arrow, typed as the database's columns; the driver cuts batches by their bytes."""
        sql = str(statement.compile(dialect=_DIALECT, compile_kwargs={"literal_binds": True}))
        return self._batches(self._connection(), sql)

    fetch_fast = fetch

    def _batches(self, connection: ArrowConnection, sql: str) -> Iterator[Batch]:
        try:
            yield from connection.batches(sql)
        except ArrowError as error:
            raise StoreError(f"{self._uri.shown} cannot be read: {_said(error)}") from error

    def _begin(self, connection: ArrowConnection) -> None:
        self._run(connection, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        # Each shard asks for some owners of many. A table that was filled a moment ago has no statistics yet, and the
        # planner would read all of it for every shard.
        self._run(connection, "SET LOCAL enable_seqscan = off")

    def _run(self, connection: ArrowConnection, sql: str) -> None:
        try:
            connection.run(sql)
        except ArrowError as error:
            raise StoreError(f"{self._uri.shown} refused {sql!r}: {_said(error)}") from error

    def _connection(self) -> ArrowConnection:
        connection: ArrowConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._connect()
            self._begin(connection)
            self._take(connection, self._id)
        return connection

    def _connect(self) -> ArrowConnection:
        with needing("postgresql", "reading PostgreSQL"):
            import adbc_driver_postgresql  # noqa: PLC0415
        try:
            connection = ArrowConnection(adbc_driver_postgresql.connect(self._uri.libpq), autocommit=False)
        except ArrowError as error:
            raise ServerError(f"{self._uri.shown} cannot be reached: {_said(error)}") from error
        with self._lock:
            self._connections.append(connection)
        return connection

    def close(self) -> None:
        with self._lock:
            if not self._closed:
                self._closed = True
                for connection in self._connections:
                    connection.close()


def _said(error: Exception) -> str:
    """Return what the server said, in one line; the library adds its own file and line numbers."""
    text = str(error).split("\n[")[0].replace("\n", " ").strip()
    return text.rpartition("[libpq] ")[2]
