"""A SQLite database, read as it is at one moment, with as many connections as wanted (see ``sqlite_file``).

The source is never opened for writing, and never by MLflow, which would migrate it.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from pathlib import Path
from threading import Lock, local
from typing import Any, Final

import adbc_driver_sqlite
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect

from mlflow_archive.errors import StoreError
from mlflow_archive.mlflow_database.adbc import ArrowConnection, ArrowError
from mlflow_archive.sources.database.snapshot import Batch, Query, Schema, UnevenColumnError, without_first
from mlflow_archive.sources.database.sqlite_file import HeldFile, LentFile, SettledFile
from mlflow_archive.storage.private_folder import PrivateFolder

_BATCH: Final = 50_000
_WIDE_BATCH: Final = 1_000
_BATCH_ROWS: Final = "adbc.sqlite.query.batch_rows"
_SHARED: Final = "source.db"
_DIALECT: Final = sqlite_dialect(paramstyle="named")


class SqliteSnapshot:
    """A database file at one moment; ``close`` removes what was copied of it. Raises StoreError.

    With ``copy``, the place that another snapshot of it shares, the moment of that one is read: from the copy, or where
    there is none yet, from the file.
    """

    def __init__(self, path: Path, copy: str | None = None) -> None:
        self._path = str(path)
        self._folder = PrivateFolder()
        self._closed = False
        self._lock = Lock()
        self._local = local()
        self._connections: list[Any] = []
        self._copy = self._folder.path / "copy.db" if copy is None else Path(copy)
        self._file: HeldFile | LentFile | SettledFile | None = None
        try:
            if copy is None:
                self._file = HeldFile(path, self._copy)
            else:
                self._file = SettledFile(self._copy) if self._copy.exists() else LentFile(path, self._copy)
            with self._file.reading() as uri:
                self._connection(uri).execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.DatabaseError as error:
            self.close()
            raise StoreError(f"{path} is damaged: SQLite says {error}. Restore it from a backup first") from error
        except BaseException:
            self.close()
            raise
        self._held_file = self._file

    has_moment = True
    joins_lists = True

    def share(self, folder: Path | None = None) -> str:
        assert isinstance(self._file, HeldFile)  # noqa: S101 - for the type checker: who borrows does not lend
        if folder is None:
            self._file.lend()
            return str(self._copy)
        self._file.want_copy()
        with self._held_file.reading():  # raises where it could not be copied
            shared = folder / _SHARED
            if not shared.exists():
                shutil.copyfile(self._copy, shared)
            return str(shared)

    @cached_property
    def schema(self) -> Schema:
        """The tables of the file, with their columns."""
        with self._held_file.reading() as uri:
            connection = self._connection(uri)
            names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            about = {name: connection.execute(f"PRAGMA table_info({_quoted(name)})").fetchall() for name in names}
            indexed = {name: frozenset(_first_columns(connection, name)) for name in names}
        return Schema(
            columns={name: frozenset(row[1] for row in rows) for name, rows in about.items()},
            indexed=indexed,
            required={name: frozenset(row[1] for row in rows if row[3]) for name, rows in about.items()},
        )

    def fetch(self, statement: Query, *, wide: bool = False) -> Iterator[Batch]:
        """Yield rows as Python objects, each of the type SQLite holds; text that is not UTF-8 comes as bytes."""
        compiled = statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
        size = _WIDE_BATCH if wide else _BATCH
        return self._batches(partial(self._rows, str(compiled), compiled.params, size))

    def fetch_fast(self, statement: Query) -> Iterator[Batch]:
        """Yield rows as Arrow. ADBC takes each column's type from the first rows and gives up where one differs."""
        sql = str(statement.compile(dialect=_DIALECT, compile_kwargs={"literal_binds": True}))
        if "\x00" in sql:
            raise UnevenColumnError
        return self._batches(partial(self._arrow_rows, sql))

    def _batches(self, query: Callable[[str], Iterator[Batch]]) -> Iterator[Batch]:
        """Yield the rows of a query; if the file gives way to its copy meanwhile, the rest comes from there.

        Both are the same byte for byte, so they give the rows in one order.
        """
        row_count, current = 0, ""
        batches: Iterator[Batch] = iter(())
        while True:
            with self._held_file.reading() as uri:
                if uri != current:
                    current, batches = uri, without_first(row_count, query(uri))
                batch = next(batches, None)
            if batch is None:
                return
            yield batch
            row_count += len(next(iter(batch.values())))

    def _rows(self, sql: str, values: Any, size: int, uri: str) -> Iterator[Batch]:
        cursor = self._connection(uri).cursor()
        try:
            cursor.execute(sql, values)
            names = [column[0] for column in cursor.description]
            while rows := cursor.fetchmany(size):
                yield {name: list(values) for name, values in zip(names, zip(*rows, strict=True), strict=True)}
        except sqlite3.Error as error:
            raise StoreError(f"{self._path} cannot be read: {error}") from error
        finally:
            cursor.close()

    def _arrow_rows(self, sql: str, uri: str) -> Iterator[Batch]:
        try:
            yield from self._arrow_connection(uri).batches(sql, {_BATCH_ROWS: str(_BATCH)})
        except ArrowError as error:
            raise UnevenColumnError from error

    def _connection(self, uri: str) -> sqlite3.Connection:
        """Return this thread's connection to the file or its copy."""
        connection: sqlite3.Connection | None = getattr(self._local, "rows", {}).get(uri)
        if connection is None:
            connection = sqlite3.connect(uri, check_same_thread=False, uri=True)
            connection.text_factory = _text
            self._keep("rows", uri, connection)
        return connection

    def _arrow_connection(self, uri: str) -> ArrowConnection:
        connection: ArrowConnection | None = getattr(self._local, "arrow", {}).get(uri)
        if connection is None:
            connection = ArrowConnection(adbc_driver_sqlite.connect(uri))
            self._keep("arrow", uri, connection)
        return connection

    def _keep(self, kind: str, uri: str, connection: Any) -> None:
        setattr(self._local, kind, {**getattr(self._local, kind, {}), uri: connection})
        with self._lock:
            self._connections.append(connection)

    def close(self) -> None:
        """Close the connections, release the file and remove its copy."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        if self._file is not None:
            self._file.close()
        for connection in self._connections:
            connection.close()
        self._folder.cleanup()


def _text(raw: bytes) -> str | bytes:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _first_columns(connection: sqlite3.Connection, table: str) -> Iterator[str]:
    for row in connection.execute(f"PRAGMA index_list({_quoted(table)})").fetchall():
        for position, _, column in connection.execute(f"PRAGMA index_info({_quoted(row[1])})").fetchall():
            if position == 0 and column is not None:
                yield column
