"""One folder for everything that a test run writes, shared by its processes and removed at its end.

``tests/conftest.py`` opens it before any worker starts. What several workers need is made once:

    path = made_once("corpora", unpack)
"""

from __future__ import annotations

import atexit
import fcntl
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

VARIABLE: Final = "MLFLOW_ARCHIVE_TEST_FOLDER"
"""The environment variable that tells workers and their children where the folder is."""


def open_session_folder() -> tempfile.TemporaryDirectory[str]:
    """Make the folder, and in it the place for temporary files of this process and of all that it starts."""
    folder = tempfile.TemporaryDirectory(prefix="mlflow-archive-tests-", ignore_cleanup_errors=True)
    place = Path(folder.name)
    place.chmod(0o711)  # PostgreSQL runs as another user where tests run as root
    (place / "temporary").mkdir()
    os.environ |= {VARIABLE: folder.name, "TMPDIR": str(place / "temporary")}
    tempfile.tempdir = None
    return folder


def open_run_folder() -> tempfile.TemporaryDirectory[str]:
    """Make the folder for one run of pytest: the session's, or one in it where another process has opened that."""
    outer = os.environ.get(VARIABLE)
    if outer is None or not Path(outer).is_dir():
        return open_session_folder()
    folder = tempfile.TemporaryDirectory(prefix="run-", dir=outer, ignore_cleanup_errors=True)
    Path(folder.name).chmod(0o711)
    return folder


def session_folder() -> Path:
    """Return the folder; outside of a test run it is one of this process."""
    if VARIABLE not in os.environ:
        atexit.register(open_session_folder().cleanup)
    return Path(os.environ[VARIABLE])


def made_once(name: str, make: Callable[[Path], object]) -> Path:
    """Return the path ``name`` in the folder; the first process that asks makes it, others wait until it is whole."""
    path = session_folder() / name
    with path.with_name(f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            part = path.with_name(f"{name}.part")
            make(part)
            part.rename(path)
    return path
