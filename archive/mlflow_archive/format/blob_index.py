"""The blob index beside the packs that it is of: what it says of a frame, held against the label of that frame."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mlflow_archive.format.packs import Extent

TOGETHER_BYTES: Final = 1024 * 1024 * 1024
"""As large as a pack gets: the rows of the blob index of so many bytes are in memory at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedExtent:
    """A row of the blob index, within one pack and frame."""

    digest: str
    raw_offset: int
    raw_size: int
    frame_size: int
    offset_in_frame: int


def labelled(extents: Iterable[Extent], frame_size: int) -> list[IndexedExtent]:
    """Return what the label of a frame says as rows of the index, in its order."""
    rows: list[IndexedExtent] = []
    offset = 0
    for extent in extents:
        row = IndexedExtent(
            digest=extent.digest.hex(),
            raw_offset=extent.raw_offset,
            raw_size=extent.size,
            frame_size=frame_size,
            offset_in_frame=offset,
        )
        rows.append(row)
        offset += extent.size
    return rows


def disagreement(frame_offset: int, digest: str) -> str:
    """Return what E041 says where the index names what the label of a frame does not."""
    return f"the blob index and the label of the frame at byte {frame_offset} disagree on {digest}"
