"""What a file is that was given in place of a store or a database, and the way on."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_KINDS: Final = (
    (b"version https://git-lfs", "is a pointer of Git LFS, not the file itself; get that with `git lfs pull`"),
    (b"PK\x03\x04", "is a ZIP file; unpack it and give the folder inside"),
    (b"\x1f\x8b", "is a file compressed by gzip; unpack it and give what is inside"),
    (b"\x28\xb5\x2f\xfd", "is a file compressed by zstd; unpack it and give what is inside"),
)


def known_fault(head: bytes) -> str | None:
    """Return what a file is that begins with these bytes, and what to do, None for one that is not known."""
    return next((sentence for magic, sentence in _KINDS if head.startswith(magic)), None)


def fault_of(path: Path) -> str | None:
    """Return the same for a file; None where it cannot be read either."""
    try:
        with path.open("rb") as file:
            return known_fault(file.read(32))
    except OSError:
        return None
