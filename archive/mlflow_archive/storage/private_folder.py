"""A temporary folder that is gone when its process is, however that ended.

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

PREFIX: Final = "mlflow-archive-"
_LOCK: Final = ".in-use"
_TRIES: Final = 50
_PAUSE_SECONDS: Final = 0.002
_UNLOCKED: Final = f"{_LOCK}.new"
_NAME: Final = re.compile(re.escape(PREFIX) + "[a-z0-9_]{8}")
"""As the standard library makes the names of temporary folders."""
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
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder)
    finally:
        os.close(lock)
