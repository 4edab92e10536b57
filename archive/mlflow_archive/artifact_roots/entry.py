"""What lies in a folder of another machine."""

from __future__ import annotations

from typing import Final, NamedTuple

FILE: Final = "file"
FOLDER: Final = "folder"


class FolderEntry(NamedTuple):
    """A name in a folder. ``kind`` is FILE, FOLDER, or what else it is, in words; a ``size`` of -1 bytes is unknown.

    ``mark`` changes when the bytes do.
    """

    name: str
    kind: str
    size: int
    mark: str | None
