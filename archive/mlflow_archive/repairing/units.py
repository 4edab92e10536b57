"""What of a member proves itself: labels and frames of a pack, footer and pages of a table part."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from functools import partial
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from mlflow_archive.errors import DamagedError
from mlflow_archive.format.manifest import Member
from mlflow_archive.format.packs import (
    LABEL_PREFIX_SIZE,
    MAX_FRAME_RAW,
    Label,
    decode_frame,
    decode_label,
    label_size,
)
from mlflow_archive.reader.stored.footer import check_footer
from mlflow_archive.reader.stored.limits import first_byte
from mlflow_archive.reader.stored.pages import leading_page
from mlflow_archive.reader.stored.thrift import ThriftError
from mlflow_archive.repairing.drafts import Draft
from mlflow_archive.storage.members import HASH_BLOCK, MemberFile

_LABEL: Final = b"\x5a\x2a\x4d\x18"
_MAGIC: Final = b"PAR1"
_HEADER_SIZES: Final = (32, 64, 256, 16 * 1024)
"""Of a page header: statistics in it may be long."""


def settle_units(draft: Draft, member: Member) -> None:
    """Decide of a draft what its pieces prove."""
    if member.kind == "pack":
        _settle_pack(draft)
    elif member.kind == "table":
        _settle_part(draft, member)


def _settle_pack(draft: Draft) -> None:
    position: int | None = 0
    while position is not None and draft.touches(position, draft.size):
        label = _settled_label(draft, position)
        if label is None:
            position = next_label(draft, position + 1)
            continue
        start = position + label_length(label)
        position = start + label.frame_size
        if position > draft.size:
            return
        draft.settle(start, position, partial(frame_is_sound, label))


def _settled_label(draft: Draft, position: int) -> Label | None:
    lengths: dict[int, None] = {}
    for prefix in draft.variants(position, min(draft.size, position + LABEL_PREFIX_SIZE)):
        try:
            lengths[label_size(prefix)] = None
        except ValueError:
            continue
    for length in lengths:
        if position + length <= draft.size and draft.settle(position, position + length, _is_label):
            try:
                return decode_label(draft.read_at(position, length))
            except ValueError:
                continue
    return None


def _is_label(stored: bytes) -> bool:
    try:
        decode_label(stored)
    except ValueError:
        return False
    return True


def label_length(label: Label) -> int:
    """Return the size of a label in bytes."""
    return LABEL_PREFIX_SIZE + 44 * len(label.extents) + 4


def next_label(pack: MemberFile, position: int) -> int | None:
    """Return where the next label of a pack begins that is sound, from an offset on; None for no other."""
    overlap = len(_LABEL) - 1
    while position < pack.size:
        block = pack.read_at(position, min(HASH_BLOCK, pack.size - position))
        at = block.find(_LABEL)
        while at >= 0:
            if label_at(pack, position + at) is not None:
                return position + at
            at = block.find(_LABEL, at + 1)
        position += max(1, len(block) - overlap)
    return None


def label_at(pack: MemberFile, position: int) -> Label | None:
    """Return the label that lies at an offset, None for no sound one."""
    try:
        length = label_size(pack.read_at(position, min(LABEL_PREFIX_SIZE, pack.size - position)))
        return decode_label(pack.read_at(position, length))
    except (ValueError, DamagedError):
        return None


def frame_is_sound(label: Label, stored: bytes) -> bool:
    """Return whether a frame decodes, and each blob that lies whole in it has its digest."""
    try:
        raw = decode_frame(stored, label.raw_size, where="a frame")
    except DamagedError:
        return False
    offset = 0
    for extent in label.extents:
        content = raw[offset : offset + extent.size]
        offset += extent.size
        whole = (
            extent.raw_offset == 0 and label.raw_size < MAX_FRAME_RAW
        )  # else it may be the first piece of a large one
        if whole and hashlib.sha256(content).digest() != extent.digest:
            return False
    return True


def _settle_part(draft: Draft, member: Member) -> None:
    if draft.size < 12 or member.footer_sha256 is None:
        return
    draft.settle(0, len(_MAGIC), _MAGIC.__eq__)
    _settle_footer(draft, member.footer_sha256)
    try:
        check_footer(draft, member)
        with pa.PythonFile(draft.reader(), mode="r") as file:
            columns = list(_columns(pq.read_metadata(file)))
    except (DamagedError, pa.ArrowException, OSError, ValueError):
        return
    for start, end in columns:
        if draft.touches(start, end):
            _settle_pages(draft, start, end)


def _settle_footer(draft: Draft, sha256: str) -> None:
    ends = {end for end in draft.variants(draft.size - 8, draft.size) if end.endswith(_MAGIC)}
    for end in ends:
        start = draft.size - 8 - int.from_bytes(end[:4], "little")
        if start > 0 and draft.settle(start, draft.size, partial(_has_sha256, sha256)):
            return


def _columns(metadata: pq.FileMetaData) -> Iterator[tuple[int, int]]:
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        for chunk in map(group.column, range(group.num_columns)):
            start = first_byte(chunk)
            yield start, start + chunk.total_compressed_size


def _has_sha256(sha256: str, stored: bytes) -> bool:
    return hashlib.sha256(stored).hexdigest() == sha256


def _settle_pages(draft: Draft, position: int, end: int) -> None:
    while position < end and draft.touches(position, end):
        for size in _page_sizes(draft, position, end):
            if draft.settle(position, position + size, _is_page) and _is_page(draft.read_at(position, size)):
                position += size
                break
        else:
            return


def _page_sizes(draft: Draft, position: int, end: int) -> Iterator[int]:
    """Yield how large the page at an offset may be, header and all, each size once."""
    sizes: set[int] = set()
    for window in _HEADER_SIZES:
        for variant in draft.variants(position, min(end, position + window)):
            try:
                page, header_size = leading_page(variant)
            except ThriftError:
                continue
            size = header_size + page.stored_size
            if position + size <= end and size not in sizes:
                sizes.add(size)
                yield size


def _is_page(stored: bytes) -> bool:
    try:
        page, header_size = leading_page(stored)
    except ThriftError:
        return False
    whole = header_size + page.stored_size == len(stored)
    return whole and page.checksum == zlib.crc32(stored[header_size:])
