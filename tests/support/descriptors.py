"""Which files this process has open."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path("/proc/self/fd")


def open_descriptors() -> set[int]:
    """Return the numbers of all files that are open."""
    return {int(path.name) for path in _FOLDER.iterdir() if path.exists() or path.is_symlink()}


def path_of(descriptor: int) -> Path:
    """Return the path of an open file."""
    return (_FOLDER / str(descriptor)).readlink()
