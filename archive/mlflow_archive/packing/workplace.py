"""A folder that one process at a time works in, and whether there is room for what will be written."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from mlflow_archive.errors import TargetError
from mlflow_archive.flow.report import Progress

_TURN_SECONDS: Final = 0.0001


@contextmanager
def working_in(folder: Path) -> Iterator[int]:
    """Hold a lock on a folder; yield its descriptor, which a program that is started may hold, too.

    Raises TargetError while somebody else holds it. Where a file system has no locks, nobody is kept out.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TargetError(f"{folder}: another process is at work here; wait until it is done") from error
        except OSError:
            pass
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def quick_turns() -> Iterator[None]:
    """Let threads take turns every 0.1 ms meanwhile, instead of every 5.

    pyrage holds the interpreter's lock but for the moments in which it reads and writes; a thread that hashes or writes
    a block would wait 5 ms for the lock behind each, several times as long as the block takes.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(_TURN_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def check_room(folder: Path, needed: int, progress: Progress) -> None:
    """Say how much will be written into a folder. Raises TargetError where there is no room for it."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise TargetError(
            f"{folder}: {needed:,} bytes are needed there, {free:,} are free; make room, or choose another"
        )
    progress.note(f"{needed:,} bytes will be written to {folder}, {free:,} are free")
