"""What a test run leaves where it should leave nothing: in the checkout, and in a temporary folder of its own.

Only a temporary folder that ``TMPDIR`` names is looked at: the system's is everybody's. Runs side by side, as those of
mutants, would see each other's files: ``-p no:left-behind`` leaves the look-out away.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.session_folder import session_folder

REPOSITORY: Final = Path(__file__).resolve().parents[2]

CACHES: Final = frozenset(
    {
        ".git",
        "__pycache__",
        ".pytest_cache",
        ".mypy_cache",
        ".ruff_cache",
        ".hypothesis",
        ".import_linter_cache",
        "build",
    }
)
"""What tools keep from one run to the next; git ignores all of them, and ``build`` is where our own targets write."""


class Surroundings:
    """The files around a run before it began."""

    def __init__(self) -> None:
        temporary = os.environ.get("TMPDIR")
        self._temporary = Path(temporary) if temporary else None
        self._before = set(self._paths())

    def gained(self, *own: Path) -> list[Path]:
        """Return what is there now and was not before, but for ``own``, folders of the run that will be removed."""
        return sorted(set(self._paths()) - self._before - set(own))

    def _paths(self) -> Iterator[Path]:
        yield from _files(REPOSITORY)
        if self._temporary is not None and self._temporary.is_dir():
            yield from self._temporary.iterdir()


class LookOut:
    """A plugin of pytest, by the name ``left-behind``: a run that leaves anything behind fails, and says what."""

    def __init__(self) -> None:
        self._surroundings = Surroundings()

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail the run if it leaves anything behind; workers have ended by now."""
        if self._surroundings.gained(session_folder()):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Name what the run left behind."""
        for path in self._surroundings.gained(session_folder()):
            terminalreporter.line(f"The tests left {path} behind.", red=True)


def names_in_checkout() -> set[str]:
    """Return what lies at the top of the checkout, but for caches, and what workers of mypy have there meanwhile."""
    names = {entry.name for entry in os.scandir(REPOSITORY)} - CACHES
    return {name for name in names if not name.startswith(".mypy_worker.")}


def _files(root: Path) -> Iterator[Path]:
    """Yield the files below a folder, but for caches, virtual environments and folders that nothing lies in."""
    for folder, names, files in os.walk(root):
        names[:] = [name for name in names if name not in CACHES and not name.startswith(".venv")]
        yield from (Path(folder, name) for name in files)
