"""Files of an object in an exported folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mlflow_archive.artifact_roots.local import FoundFile, OnGap, list_files
from mlflow_archive.format.gaps import ARTIFACT_SIZE
from mlflow_archive.sources.exim.layout import ARTIFACTS


def files_of(folder: Path, gap: OnGap) -> list[FoundFile]:
    """Return the files below a folder by path; none where there is no folder."""
    return list_files(folder, gap) if folder.is_dir() else []


def downloaded_files(folder: Path, location: str | None, document: str, gap: OnGap) -> list[FoundFile]:
    """Return the files of a logged model or trace that lie beside its document.

    MLflow puts a download below the last part of its location; where it did not, the files lie beside the document.
    """
    last = (location or "").rstrip("/").rpartition("/")[2]
    for name in (last, ARTIFACTS):
        if name not in ("", ".", "..") and (folder / name).is_dir():
            return list_files(folder / name, gap)
    return [file for file in list_files(folder, gap) if file.path != document]


def join_copies(listings: Sequence[Sequence[FoundFile]], gap: OnGap) -> list[FoundFile]:
    """Return the files of several copies of an object by path, each from the first copy that has it."""
    by_path: dict[str, FoundFile] = {}
    for files in listings:
        for file in files:
            if by_path.setdefault(file.path, file).size != file.size:
                reason = f"another copy of it, {file.place.name} of {file.size} bytes, is left out"
                gap(file.path, ARTIFACT_SIZE, reason)
    return [by_path[path] for path in sorted(by_path)]
