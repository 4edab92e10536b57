"""Restore into SQLite: a new database is built in a file beside its place and renamed at the end."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from sqlalchemy import create_engine

from mlflow_archive.backend.uris import DatabaseUri
from mlflow_archive.errors import TargetError
from mlflow_archive.sinks.restore.database import BULK, TargetSchema, holds_nothing
from mlflow_archive.sinks.restore.mlflow_schema import make_schema
from mlflow_archive.sinks.restore.schema import check_revision, target_schema
from mlflow_archive.sinks.restore.sqlite_writing import NewFile, SharedFile, SqliteWriting, WriteError


class SqliteDatabase:
    """The file that a URI names; made if it is not there or empty."""

    dialect = "sqlite"

    def __init__(self, uri: DatabaseUri) -> None:
        if uri.path is None:
            raise TargetError(f"{uri.shown} names no file")
        self.shown = uri.shown
        self._path = uri.path.absolute()
        self._building: Path | None = None
        self._writing: SqliteWriting | None = None
        self._schema: TargetSchema = {}
        self._fresh = False

    @property
    def schema(self) -> TargetSchema:
        return self._schema

    @property
    def fresh(self) -> bool:
        return self._fresh

    @property
    def _open(self) -> SqliteWriting:
        if self._writing is None:
            message = "open() comes first"
            raise RuntimeError(message)
        return self._writing

    def open(self) -> None:
        try:
            self._open_file()
        except WriteError as error:
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
                make_schema(engine.url)
            else:
                check_revision(engine, self.shown)
            self._schema = target_schema(engine)
        finally:
            engine.dispose()
        self._writing = SharedFile(place) if self._building is None else NewFile(place)
        self._fresh = self._building is not None or holds_nothing(self)

    def rows(self, table: str, columns: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
        yield from self._open.rows(table, columns)

    def begin(self) -> None:
        try:
            self._open.begin(BULK)
        except WriteError as error:
            raise TargetError(f"{self.shown} cannot be written: {error}") from error

    def run(self, statement: str, values: tuple[Any, ...] = ()) -> None:
        try:
            self._open.run(statement, values)
        except WriteError as error:
            raise TargetError(f"{self.shown} refused {statement.split(maxsplit=3)[:3]}: {error}") from error

    def prepared(self, rows: pa.Table) -> pa.Table:
        return rows

    def insert(self, table: str, prepared: pa.Table) -> None:
        try:
            self._open.insert(table, prepared)
        except WriteError as error:
            raise TargetError(f"{self.shown} refused rows of {table}: {error}") from error

    def commit(self) -> None:
        try:
            self._open.commit()
            self._writing = None
            if self._building is not None:
                _force(self._building)
                self._building.chmod(0o644)
                self._building.replace(self._path)
                self._building = None
                _force(self._path.parent)
        except WriteError as error:
            raise TargetError(f"{self.shown} cannot be put in place: {error}") from error

    def rollback(self) -> None:
        if self._writing is not None:
            self._writing.close()
            self._writing = None
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
