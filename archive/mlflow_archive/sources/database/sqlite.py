"""A SQLite database, read from a private copy of the file.

A reader that holds a lock for the whole export would make a live server fail to write. So the file is copied, in the
moment in which nobody can change it, and the copy is read with as many connections as wanted. The source is never
opened for writing, and never by MLflow, which would migrate it.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from functools import cached_property
from pathlib import Path
from threading import Lock, local
from typing import Any, Final

import adbc_driver_sqlite
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect

from mlflow_archive.errors import StoreError
from mlflow_archive.sources.database.adbc import ArrowConnection, ArrowError
from mlflow_archive.sources.database.snapshot import Batch, Query, Schema, UnevenColumnError

_MAGIC: Final = b"SQLite format 3\x00"
_HEADER: Final = 100
_WAL: Final = 2  # the read version in the header, at byte 19
_BATCH: Final = 50_000
_WIDE_BATCH: Final = 1_000
_BATCH_ROWS: Final = "adbc.sqlite.query.batch_rows"
_TRIES: Final = 5
_WAITING_S: Final = 60.0
_DIALECT: Final = sqlite_dialect(paramstyle="named")


class SqliteSnapshot:
    """A copy of a database file; removed by ``close``. Raises StoreError."""

    def __init__(self, path: Path) -> None:
        _check(path)
        self._shown = str(path)
        self._folder = tempfile.TemporaryDirectory(prefix="mlflow-archive-")
        self._closed = False
        self._lock = Lock()
        self._local = local()
        self._connections: list[Any] = []
        try:
            self._copy = Path(self._folder.name, "copy.db")
            _copy(path, self._copy)
            with closing(sqlite3.connect(self._copy)) as connection:
                connection.execute("PRAGMA journal_mode = OFF")
                connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.DatabaseError as error:
            self.close()
            raise StoreError(f"{path} is damaged: SQLite says {error}. Restore it from a backup first") from error
        except BaseException:
            self.close()
            raise

    @cached_property
    def schema(self) -> Schema:
        """Read from the copy."""
        connection = self._connection()
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        columns = {
            name: frozenset(row[1] for row in connection.execute(f"PRAGMA table_info({_quoted(name)})"))
            for name in names
        }
        return Schema(columns=columns, indexed={name: frozenset(_first_columns(connection, name)) for name in names})

    def make_index(self, table: str, column: str) -> None:
        """Make an index in the copy; old schemas lack those that reading run by run needs."""
        name = f"mlflow_archive_{table}_{column}"
        self._connection().execute(
            f"CREATE INDEX {_quoted(name)} ON {_quoted(table)} ({_quoted(column)})"
        ).connection.commit()

    def fetch(self, statement: Query, *, wide: bool = False) -> Iterator[Batch]:
        """Yield rows as Python objects, each of the type SQLite holds; text that is not UTF-8 comes as bytes."""
        compiled = statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
        cursor = self._connection().cursor()
        try:
            cursor.execute(str(compiled), compiled.params)
            names = [column[0] for column in cursor.description]
            while rows := cursor.fetchmany(_WIDE_BATCH if wide else _BATCH):
                yield {name: list(values) for name, values in zip(names, zip(*rows, strict=True), strict=True)}
        except sqlite3.Error as error:
            raise StoreError(f"{self._shown} cannot be read: {error}") from error
        finally:
            cursor.close()

    def fetch_fast(self, statement: Query) -> Iterator[Batch]:
        """Yield rows as Arrow. ADBC takes each column's type from the first rows and gives up where one differs."""
        sql = str(statement.compile(dialect=_DIALECT, compile_kwargs={"literal_binds": True}))
        if "\x00" in sql:
            raise UnevenColumnError
        try:
            yield from self._arrow_connection().batches(sql, **{_BATCH_ROWS: str(_BATCH)})
        except ArrowError as error:
            raise UnevenColumnError from error

    def _connection(self) -> sqlite3.Connection:
        found: sqlite3.Connection | None = getattr(self._local, "rows", None)
        if found is None:
            found = sqlite3.connect(self._copy, check_same_thread=False)
            found.text_factory = _text
            self._local.rows = found
            self._keep(found)
        return found

    def _arrow_connection(self) -> ArrowConnection:
        found: ArrowConnection | None = getattr(self._local, "arrow", None)
        if found is None:
            found = self._local.arrow = ArrowConnection(adbc_driver_sqlite.connect(str(self._copy)))
            self._keep(found)
        return found

    def _keep(self, connection: Any) -> None:
        with self._lock:
            self._connections.append(connection)

    def close(self) -> None:
        """Close the connections and remove the copy."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
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


def _check(path: Path) -> None:
    try:
        with path.open("rb") as file:
            head = file.read(_HEADER)
    except OSError as error:
        raise StoreError(
            f"{path} cannot be opened: {error.strerror}; give sqlite:///PATH of a database that exists"
        ) from error
    if head[: len(_MAGIC)] != _MAGIC or len(head) < _HEADER:
        what = "is empty" if not head else "is no SQLite database"
        raise StoreError(f"{path} {what}; an MLflow backend begins with {_MAGIC[:-1].decode()!r}")


def _copy(path: Path, copy: Path) -> None:
    size = path.stat().st_size + _size(_beside(path, "-wal")) + _size(_beside(path, "-journal"))
    free = shutil.disk_usage(copy.parent).free
    if free < size:
        raise StoreError(
            f"the temporary folder {copy.parent.parent} has {free:,} bytes free; a copy of {path} needs {size:,}. Free "
            "some space or set TMPDIR to another folder"
        )
    try:
        if _mode(path) == _WAL:
            _copy_with_wal(path, copy)
        else:
            _copy_locked(path, copy)
    except OSError as error:
        raise StoreError(f"{path} cannot be copied to {copy.parent}: {error}") from error


def _copy_locked(path: Path, copy: Path) -> None:
    """Copy while a read lock is held: with one, nobody else can change the file."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_WAITING_S)) as connection:
        try:
            connection.execute("BEGIN")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError as error:
            if not _size(_beside(path, "-journal")):
                raise StoreError(f"{path} cannot be read: SQLite says {error}") from error
            # What wrote last was killed half-way and the journal must be rolled back: in the copy, not here.
            connection.close()
            shutil.copyfile(_beside(path, "-journal"), _beside(copy, "-journal"))
        shutil.copyfile(path, copy)


def _copy_with_wal(path: Path, copy: Path) -> None:
    """Copy the file, then its write-ahead log.

    While the log is not begun anew, every change since it was begun is in it: whatever a checkpoint does to the file
    meanwhile, the log that is copied afterwards has the newer pages, up to the last transaction that is whole.
    """
    log = _beside(path, "-wal")
    for _ in range(_TRIES):
        before = _log_start(log), path.stat().st_mtime_ns if not _size(log) else 0
        shutil.copyfile(path, copy)
        if _size(log):
            shutil.copyfile(log, _beside(copy, "-wal"))
        if before == (_log_start(log), path.stat().st_mtime_ns if not _size(log) else 0):
            return
        _beside(copy, "-wal").unlink(missing_ok=True)
    raise StoreError(f"{path} changes faster than it can be copied; try again at a quieter time, or export the server")


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _mode(path: Path) -> int:
    with path.open("rb") as file:
        return file.read(20)[19]


def _log_start(log: Path) -> bytes:
    """Return the salts of a write-ahead log, which change when it is begun anew."""
    try:
        with log.open("rb") as file:
            return file.read(32)[16:24]
    except FileNotFoundError:
        return b""
