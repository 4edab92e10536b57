"""Nothing waits for the disk: no test cuts the power, and to wait takes longer than to do.

Commands in processes of their own wait as they always do.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event
from sqlalchemy.pool import Pool


@contextmanager
def unsynced() -> Iterator[None]:
    """Have neither this process nor SQLite in it wait until what they wrote is on the disk."""
    before = os.fsync
    os.fsync = _check  # type: ignore[assignment]
    event.listen(Pool, "connect", _relax)
    try:
        yield
    finally:
        event.remove(Pool, "connect", _relax)
        os.fsync = before


def _check(file: Any) -> None:
    """Raise what a real one raises of a file that is closed."""
    os.fstat(file if isinstance(file, int) else file.fileno())


def _relax(connection: Any, _: object) -> None:
    if type(connection).__module__.partition(".")[0] == "sqlite3":
        connection.execute("PRAGMA synchronous = OFF")
