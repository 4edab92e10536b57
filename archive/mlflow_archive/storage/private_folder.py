"""A temporary folder that is gone when its process is, however that ended, or a day later.

Python removes temporary folders when a process ends by itself. One that was killed leaves them, with a copy of a whole
database perhaps. So each holds a locked file for as long as its process lives, and whoever is done with one removes
those of the same user whose lock nobody holds. The kernel releases a lock with the process: no process id is compared,
which another may have by then. A file without a name would go by itself, but SQLite opens what it reads by name, once
for each thread.

Between its making and its lock a folder looks as if nobody wanted it. So whoever makes one holds a lock on the folder
for temporary files meanwhile, shared with others who do, and whoever removes those without a lock holds it alone.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from mlflow_archive.errors import TargetError

PREFIX: Final = "mlflow-archive-"
_LOCK: Final = ".in-use"
_KEPT: Final = "kept-"
_KEPT_SECONDS: Final = 24 * 3600
_TRIES: Final = 50
_PAUSE_SECONDS: Final = 0.002
_UNLOCKED: Final = f"{_LOCK}.new"
_NAME: Final = re.compile(re.escape(PREFIX) + f"([a-z0-9_]{{8}}|{_KEPT}[0-9a-f]{{16}})")
"""As the standard library makes the names of temporary folders, and KeptFolder those of its own."""
_FLEETING: Final = (_UNLOCKED, "scratch.db", "scratch.db-journal")
"""What lies in a folder that nobody has locked yet, or that is to go at once."""


class PrivateFolder:
    """A folder below the one for temporary files; a context manager that removes it. ``path`` is where it is."""

    def __init__(self) -> None:
        with making_folder():
            self._folder = tempfile.TemporaryDirectory(prefix=PREFIX)
            self.path = Path(self._folder.name)
            # Under its name only once it is locked, so that nobody takes it for a lost one.
            unnamed = self.path / _UNLOCKED
            self._lock: int | None = os.open(unnamed, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            with suppress(OSError):  # a file system without locks: the folder is removed in the usual way alone
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                unnamed.rename(self.path / _LOCK)

    def cleanup(self) -> None:
        """Remove the folder, and those of processes that are gone; once is enough."""
        if self._lock is not None:
            self._folder.cleanup()
            os.close(self._lock)
            self._lock = None
            remove_left_behind()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cleanup()


class KeptFolder:
    """A folder like a private one, for a ``purpose``: its name follows from that, and who is killed leaves it there.

    Whoever has the same purpose finds it. Left alone for a day, it goes as any private folder.
    """

    def __init__(self, purpose: str) -> None:
        self._purpose = purpose
        name = hashlib.sha256(purpose.encode()).hexdigest()[:16]
        self.path = Path(tempfile.gettempdir(), f"{PREFIX}{_KEPT}{name}")
        self._lock: int | None = None

    def open(self) -> None:
        """Make the folder where it is not there, and hold it. Raises TargetError if it is held, or another user's."""
        while self._lock is None:
            try:
                self.path.mkdir(mode=0o700, exist_ok=True)
                _check_own(self.path)
                lock = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
                if self._is_held(lock):
                    self._lock = lock
            except FileNotFoundError:  # another process is just removing it
                continue
            except OSError as error:
                raise TargetError(f"{self.path}: cannot be written: {error.strerror}") from error

    def _is_held(self, lock: int) -> bool:
        """Lock the folder; say whether it is still there then."""
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(lock)
            raise TargetError(f"{self._purpose}: another process is writing there; wait until it is done") from error
        except OSError:  # a file system without locks
            return True
        same_file = (self.path / _LOCK).exists() and (self.path / _LOCK).stat().st_ino == os.fstat(lock).st_ino
        if not same_file:
            os.close(lock)
        return same_file

    def remove(self) -> None:
        """Remove it with all in it, if it is held."""
        if self._lock is not None:
            shutil.rmtree(self.path)
        self.close()

    def close(self) -> None:
        """Let go of it; what is in it stays for the next. What others left that are gone is removed."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
            remove_left_behind()


def _check_own(path: Path) -> None:
    """Raise TargetError for a folder that another user has made, or can look into."""
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o077:
        raise TargetError(f"{path} is not a folder of your own; remove it, or set TMPDIR to another folder")


@contextmanager
def making_folder(parent: Path | None = None) -> Iterator[None]:
    """Keep folders without a lock below another, by default that for temporary files, from being removed meanwhile."""
    with _locked(parent or Path(tempfile.gettempdir()), fcntl.LOCK_SH, tries=_TRIES):
        yield


@contextmanager
def nobody_makes_one(parent: Path) -> Iterator[bool]:
    """Say whether nobody is making a folder below another, and keep it so meanwhile."""
    with _locked(parent, fcntl.LOCK_EX) as is_locked:
        yield is_locked


@contextmanager
def _locked(folder: Path, kind: int, *, tries: int = 1) -> Iterator[bool]:
    """Hold a lock on a folder, if it can be had soon; say whether it is held. Nobody waits for long: it may be /tmp."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:  # whoever wants something in it will meet that
        yield False
        return
    try:
        yield any(_lock(descriptor, kind) for _ in range(tries))
    finally:
        os.close(descriptor)


def _lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError:
        time.sleep(_PAUSE_SECONDS)
        return False
    return True


def remove_left_behind(parent: Path | None = None) -> None:
    """Remove the folders of processes that are gone, by default below the one for temporary files.

    What cannot be removed stays: it is nobody's fault now.
    """
    with suppress(OSError):
        parent = parent or Path(tempfile.gettempdir())
        folders = [
            Path(entry.path)
            for entry in os.scandir(parent)
            if entry.name.startswith(PREFIX) and entry.is_dir(follow_symlinks=False)
        ]
        with nobody_makes_one(parent) as unlocked_too:
            for folder in folders:
                with suppress(OSError):
                    _remove_if_unused(folder, unlocked_too=unlocked_too)


def _remove_if_unused(folder: Path, *, unlocked_too: bool) -> None:
    status = folder.lstat()
    if status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o077:
        return
    if not (folder / _LOCK).exists():
        if unlocked_too and _NAME.fullmatch(folder.name):
            for name in _FLEETING:
                (folder / name).unlink(missing_ok=True)
            folder.rmdir()
        return
    if folder.name.startswith(f"{PREFIX}{_KEPT}") and time.time() - _last_change(folder) < _KEPT_SECONDS:
        return
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder)
    finally:
        os.close(lock)


def _last_change(folder: Path) -> float:
    """Return when something was last written in a folder, in seconds."""
    return max(path.lstat().st_mtime for path in (folder, *folder.rglob("*")))
