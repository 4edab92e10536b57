"""A temporary folder that is gone when its process is, however that ended.

Python removes temporary folders when a process ends by itself. One that was killed leaves them, with a copy of a whole
database perhaps. So each holds a locked file for as long as its process lives, and whoever is done with one removes
those of the same user whose lock nobody holds. The kernel releases a lock with the process: no process id is compared,
which another may have by then. A file without a name would go by itself, but SQLite opens what it reads by name, once
for each thread.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

PREFIX: Final = "mlflow-archive-"
_LOCK: Final = ".in-use"


class PrivateFolder:
    """A folder below the one for temporary files; a context manager that removes it. ``path`` is where it is."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix=PREFIX)
        self.path = Path(self._folder.name)
        # Under its name only once it is locked, so that nobody takes a folder that is just being made for a lost one.
        unnamed = self.path / f"{_LOCK}.new"
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
            remove_left_behind(self.path.parent)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cleanup()


def remove_left_behind(parent: Path) -> None:
    """Remove the folders of processes that are gone. What cannot be removed stays: it is nobody's fault now."""
    with suppress(OSError):
        for entry in list(os.scandir(parent)):
            if entry.name.startswith(PREFIX) and entry.is_dir(follow_symlinks=False):
                with suppress(OSError):
                    _remove_if_unused(Path(entry.path))


def _remove_if_unused(folder: Path) -> None:
    status = folder.lstat()
    if status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o077:
        return
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder)
    finally:
        os.close(lock)
