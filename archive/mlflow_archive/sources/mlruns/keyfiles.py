"""Folders with one file per key: params, tags and metrics; a key with ``/`` lies in sub-folders.

A value is the whole text of its file, line ends included, as MLflow returns it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from mlflow_archive.artifact_roots.names import is_utf8, printable
from mlflow_archive.sources.reading.gaplist import OnBad

# Left behind by desktops, notebooks and people who keep empty folders in git; MLflow writes none of them.
_LITTER = frozenset({".DS_Store", "Thumbs.db", "desktop.ini", ".gitkeep", ".gitignore", ".keep"})
_LITTER_FOLDER = ".ipynb_checkpoints"


def key_files(folder: Path, bad: OnBad) -> Iterator[tuple[str, Path]]:
    """Yield (key, file) by key. What is not a regular file, or has a name that is not UTF-8, is reported to ``bad``."""

    def cannot_list(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            place = Path(error.filename).relative_to(folder).as_posix()
            bad("" if place == "." else printable(place), f"the folder cannot be listed: {error.strerror}")

    files: list[tuple[str, Path]] = []
    for parent, folders, names in os.walk(folder, onerror=cannot_list):
        folders[:] = [name for name in folders if name != _LITTER_FOLDER]
        for name in [*names, *(name for name in folders if Path(parent, name).is_symlink())]:
            if name in _LITTER:
                continue
            path = Path(parent, name)
            key = path.relative_to(folder).as_posix()
            if not is_utf8(key):
                bad(printable(key), "its file has a name that is not UTF-8")
            elif path.is_symlink() or not os.path.isfile(path):  # noqa: PTH113 - answers False where it may not look
                bad(key, "it is not a regular file")
            else:
                files.append((key, path))
    yield from sorted(files)


def read_values(folder: Path, bad: OnBad) -> dict[str, str]:
    """Return key -> text of all files of a folder; empty if there is none."""
    values: dict[str, str] = {}
    for key, path in key_files(folder, bad):
        try:
            values[key] = path.read_bytes().decode("utf-8")
        except UnicodeDecodeError as error:
            bad(key, f"its value is not UTF-8: {error.reason} at byte {error.start}")
        except OSError as error:
            bad(key, f"its file cannot be read: {error.strerror}")
    return values
