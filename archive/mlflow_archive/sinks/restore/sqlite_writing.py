"""The two ways to write a SQLite file: one that others may use in a transaction, a new one as fast as can be."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final, Protocol

import adbc_driver_sqlite
import pyarrow as pa

from mlflow_archive.mlflow_database.adbc import ArrowConnection, ArrowError
from mlflow_archive.sinks.restore.late_keys import LateKeys

WriteError: Final = (sqlite3.Error, OverflowError, *ArrowError)
"""What the methods of both ways raise."""

_SLICE: Final = 50_000
# Nothing is lost when the machine fails: what is built is not yet the database.
_BUILDING: Final = ("journal_mode = OFF", "synchronous = OFF", "locking_mode = EXCLUSIVE", "cache_size = -65536")
_INDEXING: Final = "cache_size = -32768"
"""An index is made by sorting in memory of this size: with 8 MB what was sorted of 5 million points is merged twice."""

_LISTED: Final = "SELECT type, tbl_name, name, coalesce(sql, '') AS sql FROM sqlite_master"


class SqliteWriting(Protocol):
    """One transaction on one file; used by one thread at a time."""

    def rows(self, table: str, columns: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
        """Yield some columns of all rows of a table."""

    def begin(self, bulk: tuple[str, ...]) -> None:
        """Begin the transaction; ``bulk`` are tables to which much will be added."""

    def run(self, statement: str, values: tuple[Any, ...] = ()) -> None:
        """Run one statement with ``?`` for values."""

    def insert(self, table: str, rows: pa.Table) -> None:
        """Add rows."""

    def insert_new(self, table: str, rows: pa.Table) -> int:
        """Add the rows whose keys are new; return how many."""

    def commit(self) -> None:
        """Keep what was done and close the file."""

    def close(self) -> None:
        """Leave the file as it was and close it; after ``commit`` nothing."""


class SharedFile:
    """A database that holds data and that a server may use meanwhile."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=60)

    def rows(self, table: str, columns: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
        with closing(self._connection.cursor()) as cursor:
            yield from cursor.execute(_select(table, columns))

    def begin(self, bulk: tuple[str, ...]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def run(self, statement: str, values: tuple[Any, ...] = ()) -> None:
        self._connection.execute(statement, values)

    def insert(self, table: str, rows: pa.Table) -> None:
        self._insert(_insert(table, rows), rows)

    def insert_new(self, table: str, rows: pa.Table) -> int:
        before = self._connection.total_changes
        self._insert(_insert(table, rows, "OR IGNORE"), rows)
        return self._connection.total_changes - before

    def _insert(self, statement: str, rows: pa.Table) -> None:
        for batch in rows.to_batches(_SLICE):
            values = zip(*(column.to_pylist() for column in batch.columns), strict=True)
            self._connection.executemany(statement, values)

    def commit(self) -> None:
        self._connection.execute("COMMIT")
        self._connection.close()

    def close(self) -> None:
        with suppress(sqlite3.Error):
            self._connection.rollback()
        self._connection.close()


class NewFile:
    """A database that nobody else knows yet: no journal, indexes and keys made at the end, rows as Arrow."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: ArrowConnection | None = self._connected()
        self._schema: list[tuple[str, ...]] = []
        self._indexes: list[str] = []
        self._keys = LateKeys(self._connection)

    def _connected(self) -> ArrowConnection:
        return ArrowConnection(adbc_driver_sqlite.connect(str(self._path)))

    @property
    def _open(self) -> ArrowConnection:
        if self._connection is None:
            message = "the file is closed"
            raise RuntimeError(message)
        return self._connection

    def rows(self, table: str, columns: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
        for batch in self._open.batches(_select(table, columns)):
            yield from _tuples(batch, columns)

    def begin(self, bulk: tuple[str, ...]) -> None:
        for pragma in _BUILDING:
            self._set(pragma)
        self._schema = _listed(self._open)
        self._open.begin()
        staying = defaultdict(list)
        for kind, table, name, statement in self._schema:
            if kind == "index" and statement and table in bulk:
                self._open.run(f'DROP INDEX "{name}"')
                self._indexes.append(statement)
            else:
                staying[table].append((kind, name, statement))
        for table in bulk:
            self._keys.take_off(table, staying[table])

    def _set(self, pragma: str) -> None:
        list(self._open.batches(f"PRAGMA {pragma}"))

    def run(self, statement: str, values: tuple[Any, ...] = ()) -> None:
        self._open.run(statement, values)

    def insert(self, table: str, rows: pa.Table) -> None:
        self._open.insert(table, rows)

    def insert_new(self, table: str, rows: pa.Table) -> int:
        self._keys.make(table)
        before = self._changes()
        self._open.run_for_each(_insert(table, rows, "OR IGNORE"), rows)
        return self._changes() - before

    def _changes(self) -> int:
        return sum(int(batch["n"][0].as_py()) for batch in self._open.batches("SELECT total_changes() AS n"))

    def commit(self) -> None:
        self._set(_INDEXING)
        self._keys.settle()
        for statement in self._indexes:
            self._open.run(statement)
        self._open.commit()
        self.close()
        self._check_schema()

    def _check_schema(self) -> None:
        """Raise sqlite3.Error unless the file, opened anew, has the tables, keys and indexes that it had."""
        with closing(self._connected()) as connection:
            strange = sorted({*_listed(connection)} ^ {*self._schema})
        if strange:
            message = f"its list of tables is not what it was before the rows: {strange[0]}"
            raise sqlite3.DatabaseError(message)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _listed(connection: ArrowConnection) -> list[tuple[str, ...]]:
    """Return type, table, name and text of all tables, keys and indexes; the text of a key's index is empty."""
    batches = connection.batches(_LISTED)
    return [row for batch in batches for row in _tuples(batch, ("type", "tbl_name", "name", "sql"))]


def _select(table: str, columns: tuple[str, ...]) -> str:
    names = ", ".join(f'"{column}"' for column in columns)
    return f'SELECT {names} FROM "{table}"'  # noqa: S608 - names of MLflow's schema


def _insert(table: str, rows: pa.Table, unless: str = "") -> str:
    names = ", ".join(f'"{name}"' for name in rows.column_names)
    marks = ", ".join("?" for _ in rows.column_names)
    return f'INSERT {unless} INTO "{table}" ({names}) VALUES ({marks})'  # noqa: S608 - names of MLflow's schema


def _tuples(batch: dict[str, pa.ChunkedArray], columns: tuple[str, ...]) -> list[tuple[Any, ...]]:
    return list(zip(*(batch[name].to_pylist() for name in columns), strict=True))
