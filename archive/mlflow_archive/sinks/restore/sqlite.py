"""Restore into SQLite: a new database is built in a file beside its place and renamed at the end."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from sqlalchemy import URL, create_engine
from sqlalchemy.exc import SQLAlchemyError

from mlflow_archive.errors import TargetError
from mlflow_archive.mlflow_database.mlflow_schema import check_revision, make_schema
from mlflow_archive.mlflow_database.uris import DatabaseUri
from mlflow_archive.sinks.restore.database import BULK, CommitUncertainError, TargetSchema, holds_nothing
from mlflow_archive.sinks.restore.schema import target_schema
from mlflow_archive.sinks.restore.sqlite_writing import NewFile, SharedFile, SqliteWriting, WriteError
from mlflow_archive.sinks.restore.unfinished import Unfinished, left_behind

_NEW: Final = "new.db"


class SqliteDatabase:
    """The file that a URI names; made if it does not exist or is empty, where a symbolic link leads if it is one."""

    dialect = "sqlite"

    def __init__(self, uri: DatabaseUri) -> None:
        if uri.path is None:
            raise TargetError(f"{uri.shown} names no file")
        self.address = uri.shown
        self._path = Path(os.path.realpath(uri.path))
        self._folder: Unfinished | None = None
        self._new_parents: list[Path] = []
        self._writing: SqliteWriting | None = None
        self.schema: TargetSchema = {}
        self.others: TargetSchema = {}
        self.fresh = False

    @property
    def _open(self) -> SqliteWriting:
        if self._writing is None:
            message = "open() comes first"
            raise RuntimeError(message)
        return self._writing

    def open(self) -> None:
        try:
            self._open_file()
        except (SQLAlchemyError, *WriteError) as error:
            cause = getattr(error, "orig", None) or error
            raise TargetError(f"{self.address} cannot be opened: {cause}") from error

    def _open_file(self) -> None:
        place = self._path
        if not self._path.exists() or not self._path.stat().st_size:
            self._new_parents = [folder for folder in self._path.parents if not folder.exists()]
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._check_beside()
            for folder in left_behind(self._path.parent, self._path.name):
                shutil.rmtree(folder)
            self._folder = Unfinished(self._path.parent, self._path.name)
            place = self._folder.path / _NEW
        engine = create_engine(URL.create("sqlite", database=str(place)))
        try:
            if self._folder:
                make_schema(engine.url)
            else:
                check_revision(engine, self.address)
            self.schema, self.others = target_schema(engine)
        finally:
            engine.dispose()
        self._writing = SharedFile(place) if self._folder is None else NewFile(place)
        self.fresh = self._folder is not None or holds_nothing(self)

    def _check_beside(self) -> None:
        """Raise TargetError for the log of a database that is gone: SQLite would play it into the new one."""
        for suffix in ("-journal", "-wal"):
            log = self._path.with_name(self._path.name + suffix)
            if log.exists() and log.stat().st_size:
                raise TargetError(
                    f"{self.address} is not there, but {log.name} of an earlier database is; move that away, or SQLite "
                    "would write it into the new one"
                )

    def rows(self, table: str, columns: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
        yield from self._open.rows(table, columns)

    def begin(self) -> None:
        try:
            self._open.begin(BULK)
        except WriteError as error:
            raise TargetError(f"{self.address} cannot be written: {error}") from error

    def run(self, statement: str, values: tuple[Any, ...] = ()) -> None:
        try:
            self._open.run(statement, values)
        except WriteError as error:
            raise TargetError(f"{self.address} refused {statement.split(maxsplit=3)[:3]}: {error}") from error

    def prepared(self, rows: pa.Table) -> pa.Table:
        return rows

    def insert(self, table: str, prepared: pa.Table) -> None:
        try:
            self._open.insert(table, prepared)
        except WriteError as error:
            raise TargetError(f"{self.address} refused rows of {table}: {error}") from error

    def insert_new(self, table: str, prepared: pa.Table) -> int:
        try:
            return self._open.insert_new(table, prepared)
        except WriteError as error:
            raise TargetError(f"{self.address} refused rows of {table}: {error}") from error

    def commit(self) -> None:
        try:
            self._open.commit()
            self._writing = None
            if self._folder is not None:
                _force(self._folder.path / _NEW)
                self._put_in_place(self._folder.path / _NEW)
        except WriteError as error:
            raise TargetError(f"{self.address} cannot be put in place: {error}") from error
        if self._folder is not None:
            self._settle()

    def _put_in_place(self, built: Path) -> None:
        """Give the new file its name. Raises TargetError where somebody made a database there meanwhile."""
        try:
            self._path.hardlink_to(built)  # never over another file, as a renaming is
        except FileExistsError:
            if self._path.stat().st_size:
                message = f"{self.address} was made by another process during this restore; nothing was written to it"
                raise TargetError(message) from None
            built.replace(self._path)
        except OSError:  # a file system without links
            built.replace(self._path)

    def _settle(self) -> None:
        """Force the new name to disk. The database is in its place: nothing that it names may be taken back."""
        try:
            _force(self._path.parent)
        except OSError as error:
            message = f"{self.address} is in its place, but that could not be forced to disk: {error}"
            raise CommitUncertainError(message) from error
        self.rollback()

    def rollback(self) -> None:
        if self._writing is not None:
            self._writing.close()
            self._writing = None
        if self._folder is not None:
            self._folder.remove()
            self._folder = None
        with suppress(OSError):  # one that holds the database, or what others put there
            while self._new_parents:
                self._new_parents.pop(0).rmdir()


def _force(path: Path) -> None:
    """Force a file or folder to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
