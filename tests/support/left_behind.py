"""What a test run leaves where it should leave nothing: in the checkout, and in a temporary folder of its own.

Only a temporary folder that ``TMPDIR`` names is looked at: the system's is everybody's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

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


def names_in_checkout() -> set[str]:
    """Return what lies at the top of the checkout, but for caches."""
    return {entry.name for entry in os.scandir(REPOSITORY)} - CACHES


def _files(root: Path) -> Iterator[Path]:
    """Yield the files below a folder, but for caches, virtual environments and folders that nothing lies in."""
    for folder, names, files in os.walk(root):
        names[:] = [name for name in names if name not in CACHES and not name.startswith(".venv")]
        yield from (Path(folder, name) for name in files)
