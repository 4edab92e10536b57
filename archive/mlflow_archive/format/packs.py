"""Frames of a pack (spec/format.md, "Packs").

A pack is an ordinary ``.zst`` file: pairs of a skippable frame, which names the blobs inside, and a zstd frame with
content size and checksum. The index of an archive can be rebuilt by reading the skippable frames alone.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Final

import zstandard

from mlflow_archive.errors import DamagedError

SKIPPABLE_MAGIC: Final = 0x184D2A5A
LABEL_MAGIC: Final = b"MLFA"
LABEL_VERSION: Final = 1
MAX_FRAME_RAW: Final = 4 * 1024 * 1024
MAX_FRAME_SIZE: Final = MAX_FRAME_RAW + 64 * 1024
MAX_WINDOW: Final = 1 << 27
MAX_EXTENTS: Final = 1 << 16

_OUTER = struct.Struct("<II")
_HEAD = struct.Struct("<4sBBHIII")
_ENTRY = struct.Struct("<32sQI")
_CRC = struct.Struct("<I")
LABEL_PREFIX_SIZE: Final = _OUTER.size + _HEAD.size


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """A piece of a blob inside a frame: SHA-256 (32 bytes) of the whole blob, offset in it, size in bytes."""

    digest: bytes
    raw_offset: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What a skippable frame says of the zstd frame behind it. The extents fill the raw frame without a gap."""

    frame_size: int
    raw_size: int
    extents: tuple[Extent, ...]


def encode_label(label: Label) -> bytes:
    """Return the skippable frame of a label."""
    body = _HEAD.pack(LABEL_MAGIC, LABEL_VERSION, 0, 0, label.frame_size, label.raw_size, len(label.extents))
    body += b"".join(_ENTRY.pack(extent.digest, extent.raw_offset, extent.size) for extent in label.extents)
    body += _CRC.pack(zlib.crc32(body))
    return _OUTER.pack(SKIPPABLE_MAGIC, len(body)) + body


def label_size(prefix: bytes) -> int:
    """Return the size of a whole skippable frame from its first LABEL_PREFIX_SIZE bytes.

    Raises ValueError if they are not the beginning of a label.
    """
    if len(prefix) < LABEL_PREFIX_SIZE:
        message = "a label is cut short"
        raise ValueError(message)
    magic, size = _OUTER.unpack_from(prefix)
    head, version, _, _, _, _, count = _HEAD.unpack_from(prefix, _OUTER.size)
    if magic != SKIPPABLE_MAGIC or head != LABEL_MAGIC or version != LABEL_VERSION:
        message = "no label of a frame"
        raise ValueError(message)
    if not 1 <= count <= MAX_EXTENTS or size != _HEAD.size + count * _ENTRY.size + _CRC.size:
        message = f"a label of {count} extents cannot have {size} bytes"
        raise ValueError(message)
    return _OUTER.size + int(size)


def decode_label(data: bytes) -> Label:
    """Read a whole skippable frame. Raises ValueError, also for a wrong CRC or extents that do not fill the frame."""
    if label_size(data[:LABEL_PREFIX_SIZE]) != len(data):
        message = "the label has another size than it says"
        raise ValueError(message)
    body = data[_OUTER.size : -_CRC.size]
    if _CRC.unpack(data[-_CRC.size :])[0] != zlib.crc32(body):
        message = "the label's CRC is wrong"
        raise ValueError(message)
    _, _, reserved, _, frame_size, raw_size, count = _HEAD.unpack_from(body)
    if reserved:
        message = "the label has reserved bits set"
        raise ValueError(message)
    entries = (_ENTRY.unpack_from(body, _HEAD.size + i * _ENTRY.size) for i in range(count))
    extents = tuple(Extent(digest=digest, raw_offset=offset, size=size) for digest, offset, size in entries)
    if sum(extent.size for extent in extents) != raw_size or raw_size > MAX_FRAME_RAW or frame_size > MAX_FRAME_SIZE:
        message = "the extents do not fill the frame"
        raise ValueError(message)
    return Label(frame_size=frame_size, raw_size=raw_size, extents=extents)


def compressor(level: int) -> zstandard.ZstdCompressor:
    """Return a compressor with content size and checksum on; not to be shared between threads."""
    return zstandard.ZstdCompressor(level=level, write_checksum=True)


def decode_frame(frame: bytes, raw_size: int | None, *, where: str) -> bytes:
    """Decompress exactly one frame of exactly ``raw_size`` raw bytes, None for as many as it states.

    Checks before it decompresses: content size, checksum flag and window are those the format allows, so a hostile
    frame yields an error and no memory. Raises DamagedError (E040, E045).
    """
    try:
        parameters = zstandard.get_frame_parameters(frame)
    except zstandard.ZstdError as error:
        raise DamagedError(f"{where}: no zstd frame: {error}", code="E040") from error
    if parameters.content_size == zstandard.CONTENTSIZE_UNKNOWN:
        raise DamagedError(f"{where}: the frame states no size", code="E045")
    raw_size = parameters.content_size if raw_size is None else raw_size
    if raw_size > MAX_FRAME_RAW:
        raise DamagedError(f"{where}: a frame of {raw_size} raw bytes is over the limit", code="E045")
    if parameters.content_size != raw_size or not parameters.has_checksum or parameters.window_size > MAX_WINDOW:
        message = (
            f"{where}: the frame states {parameters.content_size} raw bytes, checksum "
            f"{'on' if parameters.has_checksum else 'off'}; expected {raw_size}, checksum on"
        )
        raise DamagedError(message, code="E045")
    decoder = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW)
    try:
        if raw_size:
            return decoder.decompress(frame, allow_extra_data=False)
        # In one call it would believe the header of a frame without bytes, and look at no more of it.
        whole = decoder.decompressobj()
        raw: bytes = whole.decompress(frame)
    except zstandard.ZstdError as error:
        raise DamagedError(f"{where}: the frame does not decompress: {error}", code="E040") from error
    if raw or not whole.eof or whole.unused_data:
        raise DamagedError(f"{where}: the frame is not one whole frame of 0 raw bytes", code="E040")
    return raw
