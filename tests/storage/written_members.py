"""Members on the disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mlflow_archive.storage.members import DirectoryMembers


def written_members(folder: Path, contents: Mapping[str, bytes]) -> DirectoryMembers:
    """Write files of some names and bytes into a folder, and return it as members."""
    for name, data in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return DirectoryMembers(folder)
