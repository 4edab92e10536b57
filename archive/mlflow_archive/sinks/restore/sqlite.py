"""Restore into SQLite: a new database is built in a file beside its place and renamed at the end."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from sqlalchemy import create_engine

from mlflow_archive.backend.uris import DatabaseUri
from mlflow_archive.errors import TargetError
from mlflow_archive.sinks.restore.database import BULK, TargetSchema, holds_nothing
from mlflow_archive.sinks.restore.schema import check_revision, make_schema, target_schema

_SLICE: Final = 50_000
# Nothing is lost when the machine fails: what is built is not yet the database.
_BUILDING: Final = ("journal_mode = OFF", "synchronous = OFF", "locking_mode = EXCLUSIVE", "cache_size = -65536")


class SqliteDatabase:
    """The file that a URI names; made if it is not there or empty."""

    dialect = "sqlite"

    def __init__(self, uri: DatabaseUri) -> None:
        if uri.path is None:
            raise TargetError(f"{uri.shown} names no file")
        self.shown = uri.shown
        self._path = uri.path.absolute()
        self._building: Path | None = None
        self._connection: sqlite3.Connection | None = None
        self._schema: TargetSchema = {}
        self._indexes: list[str] = []
        self._fresh = False

    @property
    def schema(self) -> TargetSchema:
        return self._schema

    @property
    def fresh(self) -> bool:
        return self._fresh

    @property
    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            message = "open() comes first"
            raise RuntimeError(message)
        return self._connection

    def open(self) -> None:
        try:
            self._open_file()
        except (OSError, sqlite3.Error) as error:
            raise TargetError(f"{self.shown} cannot be opened: {error}") from error

    def _open_file(self) -> None:
        place = self._path
        if not self._path.exists() or not self._path.stat().st_size:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(prefix=f".{self._path.name}.", suffix=".restore", dir=self._path.parent)
            os.close(descriptor)
            place = self._building = Path(name)
        engine = create_engine(f"sqlite:///{place}")
        try:
            if self._building:
                make_schema(engine)
            else:
                check_revision(engine, self.shown)
            self._schema = target_schema(engine)
        finally:
            engine.dispose()
        self._connection = sqlite3.connect(place, isolation_level=None, check_same_thread=False, timeout=60)
        self._fresh = self._building is not None or holds_nothing(self)

    def rows(self, table: str, columns: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
        names = ", ".join(f'"{column}"' for column in columns)
        yield from self._open.execute(f'SELECT {names} FROM "{table}"')  # noqa: S608 - names of MLflow's schema

    def begin(self) -> None:
        connection = self._open
        if self._building is not None:
            for pragma in _BUILDING:
                connection.execute(f"PRAGMA {pragma}").fetchall()
            marks = ", ".join("?" for _ in BULK)
            found = connection.execute(
                "SELECT name, sql FROM sqlite_master "  # noqa: S608 - only marks are put in
                f"WHERE type = 'index' AND sql IS NOT NULL AND tbl_name IN ({marks})",
                BULK,
            ).fetchall()
            for name, statement in found:
                connection.execute(f'DROP INDEX "{name}"')
                self._indexes.append(statement)
        self.run("BEGIN IMMEDIATE")

    def run(self, statement: str, values: tuple[Any, ...] = ()) -> None:
        try:
            self._open.execute(statement, values)
        except sqlite3.Error as error:
            raise TargetError(f"{self.shown} refused {statement.split(maxsplit=3)[:3]}: {error}") from error

    def insert(self, table: str, rows: pa.Table) -> None:
        names = ", ".join(f'"{name}"' for name in rows.column_names)
        marks = ", ".join("?" for _ in rows.column_names)
        statement = f'INSERT INTO "{table}" ({names}) VALUES ({marks})'  # noqa: S608 - names of MLflow's schema
        try:
            for batch in rows.to_batches(_SLICE):
                self._open.executemany(statement, zip(*(column.to_pylist() for column in batch.columns), strict=True))
        except (sqlite3.Error, OverflowError) as error:
            raise TargetError(f"{self.shown} refused rows of {table}: {error}") from error

    def commit(self) -> None:
        for statement in self._indexes:
            self.run(statement)
        self.run("COMMIT")
        self._open.close()
        if self._building is not None:
            try:
                _force(self._building)
                self._building.chmod(0o644)
                self._building.replace(self._path)
                _force(self._path.parent)
            except OSError as error:
                raise TargetError(f"{self.shown} cannot be put in place: {error}") from error
            self._building = None
        self._connection = None

    def rollback(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.rollback()
            self._connection.close()
            self._connection = None
        if self._building is not None:
            for suffix in ("", "-journal", "-wal", "-shm"):
                self._building.with_name(self._building.name + suffix).unlink(missing_ok=True)
            self._building = None


def _force(path: Path) -> None:
    """Force a file or folder to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
