"""Single files made of whole members, as an export makes its last ones."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mlflow_archive.storage.files import Files
from mlflow_archive.storage.members import MemberFile
from mlflow_archive.storage.unfinished_file import UnfinishedFile


def write_single_file(files: Files, path: Path, members: Iterable[tuple[MemberFile, str | None]]) -> None:
    """Write members, in that order, into one file; each comes with the SHA-256 that it must have (None: unchecked)."""
    with UnfinishedFile(files, path) as unfinished:
        for member, sha256 in members:
            unfinished.add(member, sha256)
        unfinished.publish()
