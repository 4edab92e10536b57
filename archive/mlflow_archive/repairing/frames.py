"""Damaged frames of a pack, compressed anew from blobs that other archives have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mlflow_archive.errors import DamagedError
from mlflow_archive.format.packs import Extent, Label, compressor
from mlflow_archive.reader.archive import Archive
from mlflow_archive.reader.blobs import Blobs
from mlflow_archive.repairing.drafts import Draft
from mlflow_archive.repairing.units import frame_is_sound, label_at, label_length, next_label

_LEVELS: Final = (3, 1, *range(4, 20), 2)
"""Of zstd, the usual ones first."""
_MOST_BYTES: Final = 64 * 1024 * 1024
"""Of frames made anew, which are kept in memory."""


def rebuild_frames(draft: Draft, archives: Sequence[Archive]) -> bool:
    """Compress anew the frames of a pack that are damaged in all copies; return whether there is no other.

    What is made has the size that the label states, which proves nothing: the hash of the pack is to be compared.
    """
    blobs = [Blobs(archive) for archive in archives]
    position: int | None = 0
    is_whole, new_size = bool(blobs), 0
    while is_whole and position is not None and position < draft.size:
        label = label_at(draft, position)
        if label is None:
            is_whole, position = False, next_label(draft, position)
            continue
        start = position + label_length(label)
        position = start + label.frame_size
        if position > draft.size:
            return False
        if not frame_is_sound(label, draft.read_at(start, label.frame_size)):
            new_size += label.frame_size
            if new_size > _MOST_BYTES or (frame := _frame(label, blobs)) is None:
                return False
            draft.decide(start, frame)
    return is_whole


def _frame(label: Label, blobs: Sequence[Blobs]) -> bytes | None:
    pieces = [_raw(extent, blobs) for extent in label.extents]
    raw = b"".join(piece for piece in pieces if piece is not None)
    if len(raw) != label.raw_size:
        return None
    frames = (compressor(level).compress(raw) for level in _LEVELS)
    return next((frame for frame in frames if len(frame) == label.frame_size), None)


def _raw(extent: Extent, blobs: Sequence[Blobs]) -> bytes | None:
    for stored in blobs:
        try:
            with stored.open(extent.digest.hex()) as stream:
                stream.seek(extent.raw_offset)
                return stream.read(extent.size)
        except DamagedError:
            continue
    return None
