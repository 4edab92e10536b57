"""The single-file form: a STORED ZIP64 (spec/format.md, "Single file").

Members are stored, never compressed, their data begins at a multiple of 64 bytes, names are ASCII, times are
1980-01-01, there are no data descriptors, no comments and no bytes that belong to nothing. So the same members
give the same file, and a Parquet part can be read in place.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mlflow_archive.errors import DamagedError
from mlflow_archive.format.layout import is_member_name

ALIGNMENT: Final = 64
_LIMIT: Final = 0xFFFFFFFF
_MAX_NAME: Final = 1024
LOCAL_SIGNATURE: Final = b"PK\x03\x04"
_ALIGN_ID: Final = 0xD935  # the id Android's zipalign uses: u16 alignment, then zeros
_ZIP64_ID: Final = 0x0001
_DATE: Final = (0, 0x0021)  # 1980-01-01 00:00:00

_LOCAL = struct.Struct("<IHHHHHIIIHH")
_CENTRAL = struct.Struct("<IHHHHHHIIIHHHHHII")
_END64 = struct.Struct("<IQHHIIQQQQ")
_LOCATOR = struct.Struct("<IIQI")
_END = struct.Struct("<IHHHHIIH")
END_SIZE: Final = _END64.size + _LOCATOR.size + _END.size
MAX_CENTRAL_SIZE: Final = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One member in the file. ``header_offset`` and ``data_offset`` are bytes from the start of the file."""

    name: str
    size: int
    crc32: int
    header_offset: int
    data_offset: int


def local_header(name: str, size: int, crc32: int, offset: int) -> bytes:
    """Return the local header at ``offset``, padded so that the data behind it is aligned."""
    encoded = name.encode("ascii")
    big = size >= _LIMIT
    extra = struct.pack("<HHQQ", _ZIP64_ID, 16, size, size) if big else b""
    start = offset + _LOCAL.size + len(encoded) + len(extra) + 6
    extra += struct.pack("<HHH", _ALIGN_ID, 2 + (-start % ALIGNMENT), ALIGNMENT) + bytes(-start % ALIGNMENT)
    size_field = _LIMIT if big else size
    fields = (0x04034B50, 45, 0, 0, *_DATE, crc32, size_field, size_field, len(encoded), len(extra))
    return _LOCAL.pack(*fields) + encoded + extra


def entry_at(name: str, size: int, crc32: int, offset: int) -> Entry:
    """Return the entry of a member whose local header is at ``offset``."""
    data_offset = offset + len(local_header(name, size, crc32, offset))
    return Entry(name=name, size=size, crc32=crc32, header_offset=offset, data_offset=data_offset)


def laid_out(sizes: Mapping[str, int]) -> list[Entry]:
    """Return where members of these sizes lie, the first at the beginning of the file; their CRC is left zero."""
    entries: list[Entry] = []
    for name, size in sizes.items():
        entries.append(entry_at(name, size, 0, end_of(entries)))
    return entries


def end_of(entries: Sequence[Entry]) -> int:
    """Return where the data of the last of some entries ends."""
    return entries[-1].data_offset + entries[-1].size if entries else 0


def header_of(entry: Entry) -> bytes:
    """Return the local header of an entry."""
    return local_header(entry.name, entry.size, entry.crc32, entry.header_offset)


def central_directory(entries: list[Entry], offset: int) -> bytes:
    """Return central directory and end records for entries in file order, to be written at ``offset``."""
    records = b"".join(_central_record(entry) for entry in entries)
    count, size = len(entries), len(records)
    end64 = _END64.pack(0x06064B50, _END64.size - 12, 45, 45, 0, 0, count, count, size, offset)
    locator = _LOCATOR.pack(0x07064B50, 0, offset + size, 1)
    short = min(count, 0xFFFF)
    end = _END.pack(0x06054B50, 0, 0, short, short, min(size, _LIMIT), min(offset, _LIMIT), 0)
    return records + end64 + locator + end


def _central_record(entry: Entry) -> bytes:
    encoded = entry.name.encode("ascii")
    sizes = struct.pack("<QQ", entry.size, entry.size) if entry.size >= _LIMIT else b""
    place = struct.pack("<Q", entry.header_offset) if entry.header_offset >= _LIMIT else b""
    extra = struct.pack("<HH", _ZIP64_ID, len(sizes + place)) + sizes + place if sizes or place else b""
    size, offset = min(entry.size, _LIMIT), min(entry.header_offset, _LIMIT)
    fields = (0x02014B50, 45, 45, 0, 0, *_DATE, entry.crc32, size, size, len(encoded), len(extra), 0, 0, 0, 0, offset)
    return _CENTRAL.pack(*fields) + encoded + extra


def decode_end(tail: bytes, file_size: int) -> tuple[int, int, int]:
    """Return (offset, size, count) of the central directory from the last END_SIZE bytes of a file.

    Raises DamagedError (E020) if the file does not end in the three end records exactly, or they disagree.
    """
    if len(tail) != END_SIZE:
        raise DamagedError(f"the file has {file_size} bytes, too few for an archive", code="E020")
    end64 = _END64.unpack_from(tail)
    locator = _LOCATOR.unpack_from(tail, _END64.size)
    end = _END.unpack_from(tail, _END64.size + _LOCATOR.size)
    _, _, _, _, _, _, _, count, size, offset = end64
    short = min(count, 0xFFFF)
    expected64 = (0x06064B50, _END64.size - 12, 45, 45, 0, 0, count, count, size, offset)
    expected = (0x06054B50, 0, 0, short, short, min(size, _LIMIT), min(offset, _LIMIT), 0)
    if end64 != expected64 or locator != (0x07064B50, 0, offset + size, 1) or end != expected:
        raise DamagedError("the file does not end as an archive does: it is cut off or was changed", code="E020")
    if offset + size + END_SIZE != file_size or size > MAX_CENTRAL_SIZE or count * _CENTRAL.size > size:
        raise DamagedError("the end of the file states sizes that the file does not have", code="E020")
    return offset, size, count


def decode_central(data: bytes, count: int, offset: int) -> list[Entry]:
    """Read the central directory of ``count`` entries, which begins at ``offset`` of the file.

    Checks all but the local headers: names, no two alike, in file order, stored, and nothing between or before
    the members. Raises DamagedError (E016, E020, E022, E023).
    """
    entries: list[Entry] = []
    position = expected = 0
    for _ in range(count):
        entry, position = _decode_record(data, position, expected)
        entries.append(entry)
        expected = entry.data_offset + entry.size
        if expected > offset:
            raise DamagedError(f"{entry.name}: the member reaches beyond the end of the file", code="E022")
    if position != len(data):
        raise DamagedError("the central directory is longer than its entries", code="E020")
    if expected != offset:
        raise DamagedError("bytes of the file belong to no member", code="E022")
    if len({entry.name for entry in entries}) != count:
        raise DamagedError("the file has two members of one name", code="E016")
    return entries


def _decode_record(data: bytes, position: int, header_offset: int) -> tuple[Entry, int]:
    if position + _CENTRAL.size > len(data):
        raise DamagedError("the central directory is shorter than its entries", code="E020")
    fields = _CENTRAL.unpack_from(data, position)
    name_size, extra_size = fields[10], fields[11]
    end = position + _CENTRAL.size + name_size + extra_size
    raw_name = data[position + _CENTRAL.size :][:name_size]
    extra = data[position + _CENTRAL.size + name_size : end]
    if end > len(data) or not 1 <= name_size <= _MAX_NAME or not raw_name.isascii():
        raise DamagedError("an entry of the central directory has no usable name", code="E020")
    name, crc32 = raw_name.decode("ascii"), fields[7]
    size = int.from_bytes(extra[4:12], "little") if fields[9] == _LIMIT and len(extra) >= 20 else fields[9]
    entry = entry_at(name, size, crc32, header_offset)
    if not is_member_name(name):
        raise DamagedError(f"{name!r} is no member name", code="E015", member=name)
    record = data[position:end]
    if record == _central_record(entry):
        return entry, end
    if fields[4] != 0 or fields[3] != 0:
        raise DamagedError(f"{name}: the member is compressed, encrypted or has a data descriptor", code="E023")
    if min(header_offset, _LIMIT) != fields[16]:
        raise DamagedError(f"{name}: members overlap, or bytes between them belong to none", code="E022")
    raise DamagedError(f"{name}: its entry in the central directory is not as the format has it", code="E020")


def check_local(entry: Entry, header: bytes) -> None:
    """Compare the bytes before a member's data with what its entry demands. Raises DamagedError (E021)."""
    if header != header_of(entry):
        message = f"{entry.name}: its local header differs from the central directory"
        raise DamagedError(message, code="E021", member=entry.name)


def decode_loosely(header: bytes) -> tuple[str, int, int] | None:
    """Return name and size of the member behind a local header, and the size of the header, whatever else it states.

    For a file whose directory is damaged: what is found here is to be proved by its hash. None for no such header.
    """
    if len(header) < _LOCAL.size or not header.startswith(LOCAL_SIGNATURE):
        return None
    fields = _LOCAL.unpack_from(header)
    size, name_size, extra_size = fields[8], fields[9], fields[10]
    raw_name = header[_LOCAL.size :][:name_size]
    extra = header[_LOCAL.size + name_size :][:extra_size]
    if not raw_name.isascii() or not is_member_name(raw_name.decode("ascii")):
        return None
    if size == _LIMIT and len(extra) >= 12:
        size = int.from_bytes(extra[4:12], "little")
    return raw_name.decode("ascii"), size, _LOCAL.size + name_size + extra_size
