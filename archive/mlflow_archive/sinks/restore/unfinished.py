"""Folders of a restore that is not finished, beside what it makes; a lock shows whether its process still lives.

A process that is killed leaves its folder. The next restore to the same place finds it by its free lock.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from glob import escape
from pathlib import Path
from typing import Final

from mlflow_archive.storage.private_folder import making_folder, nobody_makes_one

_LOCK: Final = "lock"
_EARLY: Final = f"{_LOCK}.new"
_SUFFIX: Final = ".restore"


class Unfinished:
    """A new folder in ``parent``, held by this process until ``remove``; making it raises OSError."""

    def __init__(self, parent: Path, name: str) -> None:
        with making_folder(parent):
            self.path = Path(tempfile.mkdtemp(prefix=f".{name}.", suffix=_SUFFIX, dir=parent))
            early = self.path / _EARLY
            self._lock = os.open(early, os.O_RDWR | os.O_CREAT)
            _try_lock(self._lock)
            early.rename(self.path / _LOCK)  # only now can others find it, and it is locked

    def remove(self) -> None:
        """Remove the folder with what is in it; what cannot be removed, the next restore to this place removes."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def left_behind(parent: Path, name: str) -> Iterator[Path]:
    """Yield the folders that processes left behind which have ended."""
    folders = sorted(parent.glob(f".{escape(name)}.*{_SUFFIX}"))
    with nobody_makes_one(parent) as unlocked_too:
        for folder in folders:
            if unlocked_too and _has_no_lock(folder):
                yield folder
                continue
            try:
                lock = os.open(folder / _LOCK, os.O_RDWR)
            except OSError:
                continue  # not such a folder, or of another user
            try:
                if _try_lock(lock):
                    yield folder
            finally:
                os.close(lock)


def _has_no_lock(folder: Path) -> bool:
    """Return whether a process was killed when it had made a folder, and not yet its lock."""
    try:
        return {path.name for path in folder.iterdir()} <= {_EARLY}
    except OSError:
        return False


def _try_lock(descriptor: int) -> bool:
    """Return whether a file is now locked by this process.

    On file systems without locks it is not, so that nothing is taken for left behind there.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
