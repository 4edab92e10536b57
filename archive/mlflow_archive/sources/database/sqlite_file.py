"""The file of a SQLite database as it is at one moment: the file itself, and when somebody is to write a private copy.

A reader that holds a lock for a whole export would make a live server fail to write. A lock for some seconds does not,
and one that nobody waits for harms nobody. So while a read lock is held, under which nobody can change the file, it is
read where it lies; if somebody waits to write, it is copied meanwhile, and once the copy is whole the lock is released.

Processes that read the same moment hold locks of their own. A file HELD beside the place of the copy says that the
first lock is there: who sees it behind a lock of its own knows that nobody has written since. It goes before that lock.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import struct
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from threading import Condition, Event, Lock, Thread
from typing import Final

from mlflow_archive.errors import StoreError
from mlflow_archive.sources.reading.file_kinds import known_fault
from mlflow_archive.storage.private_folder import remove_left_behind

_MAGIC: Final = b"SQLite format 3\x00"
_HEADER: Final = 100
_WAL: Final = 2  # the read version in the header, at byte 19
_TRIES: Final = 5
_WAITING_S: Final = 60.0
_PIECE: Final = 16 * 1024 * 1024

_PENDING_BYTE: Final = 0x40000000
"""Whoever is to write locks this byte of the file, or the next (SQLite's file format, "locking")."""
_LOOKING_S: Final = 0.1

UNCOPIED_S: Final = 3.0
"""How long it is read under the lock before it may be copied. A writer waits for both; those of MLflow wait 20 s."""

AT_ONCE_BYTES: Final = 2 * 1024**3
"""A file of this size is copied at once where somebody waits: it is not read in that time."""


HELD: Final = "held"
"""The file that is there while the source is held as it is."""


class _Reading:
    """The URI that readers read from; it changes while none of them does."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._error: StoreError | None = None
        self._changing = Condition()
        self._readers = 0
        self._switching = False

    @contextmanager
    def reading(self) -> Iterator[str]:
        """Give the URI; it stays the right one, and the file as it is, inside of the block."""
        with self._changing:
            self._changing.wait_for(lambda: not self._switching)
            if self._error is not None:
                raise self._error
            self._readers += 1
            uri = self._uri
        try:
            yield uri
        finally:
            with self._changing:
                self._readers -= 1
                self._changing.notify_all()

    def switch(self, uri: str, error: StoreError | None = None) -> None:
        """Read from another place from now on, or after an error no more."""
        with self._changing:
            self._switching = True
            self._changing.wait_for(lambda: not self._readers)
            self._uri, self._error = uri, error
            self._switching = False
            self._changing.notify_all()


class HeldFile:
    """A database file at the moment in which this was made. Raises StoreError.

    The source is never opened for writing. With a write-ahead log no lock is needed, but reading would make files
    beside it: then ``copy`` is made here. So it is where the last writer was killed, to roll its changes back there.
    """

    def __init__(self, path: Path, copy: Path) -> None:
        _check(path)
        self._path, self._copy = path, copy
        self._place = _Reading(_unchanging(path))
        self._copy_wanted = Event()
        self._stopped = False
        self._lock: sqlite3.Connection | None = None
        self._lending = Lock()
        self._thread: Thread | None = None
        size = _check_room(path, copy.parent)
        try:
            if _mode(path) == _WAL:
                _copy_with_wal(path, copy)
            else:
                self._lock = _locked(path)
                if self._lock is None:
                    shutil.copyfile(_beside(path, "-journal"), _beside(copy, "-journal"))
                    shutil.copyfile(path, copy)
        except OSError as error:
            raise _not_copied(path, copy, error) from error
        if self._lock is None:
            self._place.switch(_settled(copy))
        else:
            wait = UNCOPIED_S if size < AT_ONCE_BYTES else 0
            self._thread = Thread(target=self._copy_later, args=(wait,), name="copy of the database", daemon=True)
            self._thread.start()

    def reading(self) -> AbstractContextManager[str]:
        """Give the URI to read from; it stays the right one, and the file as it is, inside of the block."""
        return self._place.reading()

    def lend(self) -> None:
        """Let other processes read this moment as :class:`LentFile`."""
        with self._lending:
            if self._lock is not None:
                self._copy.with_name(HELD).touch()

    def want_copy(self) -> None:
        """Have the copy made now and wait for it."""
        self._copy_wanted.set()
        if self._thread is not None:
            self._thread.join()

    def _copy_later(self, wait: float) -> None:
        self._copy_wanted.wait(wait)
        if self._stopped:
            return
        # Closing any descriptor of the file releases this process's locks on it: that comes last.
        with self._path.open("rb", buffering=0) as source:
            while not self._copy_wanted.is_set() and not may_be_awaited(source.fileno()):
                self._copy_wanted.wait(_LOOKING_S)
            try:
                if not self._stopped:
                    self._make_copy(source.fileno())
            except OSError as error:
                self._place.switch("", _not_copied(self._path, self._copy, error))
        self._release()

    def _make_copy(self, source: int) -> None:
        unfinished = self._copy.with_name(f"{self._copy.name}.tmp")
        with unfinished.open("wb", buffering=0) as target:
            whole = self._copied(source, target.fileno())
        if whole:
            unfinished.rename(self._copy)
            self._place.switch(str(self._copy))

    def _copied(self, source: int, target: int) -> bool:
        """Copy all, and say so; False if nobody waits for it any more."""
        at, size = 0, os.fstat(source).st_size
        while at < size and not self._stopped:
            at += _copy_piece(source, target, at, min(_PIECE, size - at))
        return not self._stopped

    def _release(self) -> None:
        with self._lending:
            self._copy.with_name(HELD).unlink(missing_ok=True)
            if self._lock is not None:
                self._lock.close()
                self._lock = None

    def close(self) -> None:
        """Release the lock; nothing is read any more."""
        self._stopped = True
        self.want_copy()
        self._release()


class LentFile:
    """A file that a :class:`HeldFile` of another process holds, read under a lock of this one, or from the copy.

    When there is a copy it is read from then on, and the lock released. Raises StoreError.
    """

    def __init__(self, path: Path, copy: Path) -> None:
        self._copy, self._stopped = copy, Event()
        self._lock = _lock_beside(path, copy)
        self._place = _Reading(_unchanging(path) if self._lock is not None else _unchanging(copy))
        self._thread = Thread(target=self._follow, name="looks for the copy of the database", daemon=True)
        self._thread.start()

    def reading(self) -> AbstractContextManager[str]:
        """Give the URI to read from; it stays the right one, and the file as it is, inside of the block."""
        return self._place.reading()

    def _follow(self) -> None:
        while self._lock is not None and not self._stopped.wait(_LOOKING_S):
            if self._copy.exists():
                self._place.switch(_unchanging(self._copy))
                self._release()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def close(self) -> None:
        """Release the lock; nothing is read any more."""
        self._stopped.set()
        self._thread.join()
        self._release()


class SettledFile:
    """A copy of a database that nobody changes, read where it lies."""

    def __init__(self, copy: Path) -> None:
        _check(copy)
        self._uri = _unchanging(copy)

    @contextmanager
    def reading(self) -> Iterator[str]:
        """Give the URI to read from."""
        yield self._uri

    def close(self) -> None:
        """Release nothing."""


def may_be_awaited(descriptor: int) -> bool:
    """Return whether somebody, in this process or another, waits to write the database; True if that is not told."""
    lock_request = struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, _PENDING_BYTE, 2, 0)
    try:
        # One of Linux: its answer counts the locks of this process, too.
        answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, lock_request)
    except (AttributeError, OSError):
        return True
    return bool(struct.unpack("hhqqi4x", answer)[0] != fcntl.F_UNLCK)


def _check(path: Path) -> None:
    try:
        with path.open("rb") as file:
            head = file.read(_HEADER)
    except OSError as error:
        raise StoreError(
            f"{path} cannot be opened: {error.strerror}; give sqlite:///PATH of a database that exists"
        ) from error
    if head[: len(_MAGIC)] != _MAGIC or len(head) < _HEADER:
        if known := known_fault(head):
            raise StoreError(f"{path} {known}")
        fault = "is empty" if not head else "is no SQLite database"
        raise StoreError(f"{path} {fault}; an MLflow backend begins with {_MAGIC[:-1].decode()!r}")


def _check_room(path: Path, folder: Path) -> int:
    """Return the size of the database. Raises StoreError if there is no room for a copy of it."""
    size = path.stat().st_size + _size(_beside(path, "-wal")) + _size(_beside(path, "-journal"))
    if shutil.disk_usage(folder).free < size:
        remove_left_behind(folder.parent)
    free = shutil.disk_usage(folder).free
    if free < size:
        raise StoreError(
            f"the temporary folder {folder.parent} has {free:,} bytes free; a copy of {path} needs {size:,}. Free "
            "some space or set TMPDIR to another folder"
        )
    return size


def _unchanging(path: Path) -> str:
    """Return the URI of a file that nobody changes while it is read."""
    return f"{path.absolute().as_uri()}?mode=ro&immutable=1"


def _locked(path: Path) -> sqlite3.Connection | None:
    """Return a connection with a read lock, under which nobody can change the file; None if a writer was killed."""
    try:
        return _begun(path, _WAITING_S)
    except sqlite3.OperationalError as error:
        if not _size(_beside(path, "-journal")):
            raise StoreError(f"{path} cannot be read: SQLite says {error}") from error
        # What wrote last was killed half-way and the journal must be rolled back: in the copy, not here.
        return None


def _begun(path: Path, wait: float) -> sqlite3.Connection:
    """Return a connection that has begun to read, and waited so long for it. Raises sqlite3.OperationalError."""
    uri = f"{path.absolute().as_uri()}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, timeout=wait, check_same_thread=False, isolation_level=None)
    try:
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def _lock_beside(path: Path, copy: Path) -> sqlite3.Connection | None:
    """Return a lock beside that of who lends the file, None where there is a copy. Raises StoreError if neither is.

    Who waits to write keeps new readers out: then a copy is on its way.
    """
    until = time.monotonic() + _WAITING_S
    while not copy.exists():
        try:
            connection = _begun(path, _LOOKING_S)
        except sqlite3.OperationalError as error:
            if time.monotonic() > until:
                raise StoreError(f"{path} cannot be read: SQLite says {error}") from error
            continue
        if copy.with_name(HELD).exists():
            return connection
        connection.close()
        if not copy.exists():
            raise StoreError(f"{path} is not as it was when the export began, and there is no copy; export it again")
    return None


def _settled(copy: Path) -> str:
    """Let SQLite roll back, or take in, what lies beside the copy; return its URI."""
    with closing(sqlite3.connect(copy)) as connection:
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return str(copy)


def _copy_piece(source: int, target: int, at: int, size: int) -> int:
    """Copy some bytes to the same place, in the kernel where it can; file systems that can share them do."""
    if hasattr(os, "copy_file_range"):
        try:
            return os.copy_file_range(source, target, size, at, at) or size
        except OSError:  # not between these file systems; what else is wrong shows below
            pass
    return os.pwrite(target, os.pread(source, size, at), at)


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


def _not_copied(path: Path, copy: Path, error: Exception) -> StoreError:
    return StoreError(f"{path} cannot be copied to {copy.parent}: {error}")


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
