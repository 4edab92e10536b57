"""What is changed in packs and in the blob index: frames, their labels, where extents lie, and what artifacts say."""

from __future__ import annotations

import struct
import zlib
from hashlib import sha256
from random import Random
from typing import Any, Final

import pyarrow as pa

from mlflow_archive.format.packs import LABEL_PREFIX_SIZE, label_size
from tests.hostile.contents import Contents
from tests.hostile.texts import FILES, INTEGERS, JSON, PATHS
from tests.spec.drafts import Files, Frame, Row, compress
from tests.spec.faults import lying_frame

_FIELDS: Final = ("raw_offset", "raw_size", "frame_offset", "frame_size", "offset_in_frame")
_TEXTS: Final = ("0" * 64, "F" * 64, "", "x", "\x1b[31m", *PATHS[:4])


def _frames(contents: Contents, random: Random) -> list[Frame]:
    return contents.packs[random.choice(sorted(contents.packs))]


def index(contents: Contents, random: Random) -> str:
    """Change a number or a text in one row of the blob index, or in all of a blob."""
    field, number = random.choice(("digest", "pack", *_FIELDS * 2)), random.randrange(10**6)
    new: Any = random.choice(_TEXTS) if field in ("digest", "pack") else random.choice(INTEGERS)
    step = random.choice((0, 0, 1, -1))

    def edit(rows: list[Row]) -> None:
        row = rows[number % len(rows)]
        row[field] = row[field] + step if step and isinstance(row[field], int) else new
        rows.sort(key=lambda one: (one["digest"], one["raw_offset"]))

    contents.index_edits.append(edit)
    return f"blob index: {field} becomes {step or new!r}"


def claims(contents: Contents, random: Random) -> str:
    """Let the index make a blob of very many extents that lie in one place, of 400 GB in all or a little."""
    count, size = random.choice(((100_000, 4 * 2**20), (50, 4 * 2**20), (3, 5), (10, 0)))

    def edit(rows: list[Row]) -> None:
        row = rows[random.randrange(len(rows))]
        rows.remove(row)
        rows += [{**row, "raw_offset": at * size, "raw_size": size} for at in range(count)]
        rows.sort(key=lambda one: (one["digest"], one["raw_offset"]))

    contents.index_edits.append(edit)
    return f"blob index: {count} extents of {size} bytes in one place"


def entries(contents: Contents, random: Random) -> str:
    """Take a row out of the blob index, or bring one twice."""
    number, less = random.randrange(10**6), random.random() < 0.5

    def edit(rows: list[Row]) -> None:
        row = rows[number % len(rows)]
        if less:
            rows.remove(row)
        else:
            rows.insert(rows.index(row), dict(row))

    contents.index_edits.append(edit)
    return f"blob index: a row {'less' if less else 'more'}"


def frames(contents: Contents, random: Random) -> str:
    """Change the frames of a pack: their order, what is in them, how they are compressed."""
    pack = _frames(contents, random)
    frame = random.choice(pack)
    raw = frame.raw()
    manner = random.choice(("lie", "bomb", "two", "empty", "bytes", "order", "twice", "flip", "unsplit", "less"))
    if manner in ("lie", "bomb"):
        size = len(raw) if manner == "bomb" else random.choice((0, 1, 2**20, 2**30, 2**62))
        frame.encoded = lying_frame(size, bytes(1_000_000) if manner == "bomb" else raw)
    elif manner == "two":
        frame.encoded = compress(raw) + compress(b"x")
    elif manner == "empty":
        frame.encoded = b""
    elif manner == "bytes":
        frame.encoded = compress(raw.upper())
    elif manner == "flip":
        encoded = bytearray(compress(raw))
        encoded[random.randrange(len(encoded))] ^= 1 << random.randrange(8)
        frame.encoded = bytes(encoded)
    elif manner == "unsplit":
        frame.extents = [(digest, offset + 1, data) for digest, offset, data in frame.pieces()]
    else:
        _rearrange(pack, frame, manner)
    return f"frames: {manner}"


def _rearrange(pack: list[Frame], frame: Frame, manner: str) -> None:
    if manner == "twice":
        pack.append(frame)
    elif manner == "less":
        pack.remove(frame)
    else:
        pack.reverse()


def label(contents: Contents, random: Random) -> str:
    """Change a field of a label, its CRC right; the frame behind it stays where it is."""
    offset = random.choice((4, 8, 12, 13, 16, 20, 24, 28, 60, 68))
    new, number = random.choice((0, 1, 255, 2**16, 2**31, 2**32 - 1)), random.randrange(10**6)
    path = random.choice(sorted(contents.packs))

    def edit(members: Files) -> None:
        data = bytearray(members[path])
        starts = list(_labels(members[path]))
        start, length = starts[number % len(starts)]
        struct.pack_into("<I", data, start + min(offset, length - 8), new)
        struct.pack_into("<I", data, start + length - 4, zlib.crc32(data[start + 8 : start + length - 4]))
        members[path] = bytes(data)

    contents.member_edits.append(edit)
    return f"label: {new} at {offset}"


def _labels(data: bytes) -> list[tuple[int, int]]:
    found, position = [], 0
    while position < len(data):
        length = label_size(data[position : position + LABEL_PREFIX_SIZE])
        found.append((position, length))
        position += length + struct.unpack_from("<I", data, position + 16)[0]
    return found


def junk(contents: Contents, random: Random) -> str:
    """Put bytes before, behind or into a pack, or cut it; the index stays as it was."""
    path, at, amount = random.choice(sorted(contents.packs)), random.random(), random.choice((-50, -1, 1, 100))

    def edit(members: Files) -> None:
        data = members[path]
        position = int(at * (len(data) + 1))
        members[path] = data[:position] + (b"\x5a\x2a\x4d\x18" * 25)[:amount] + data[position:]
        if amount < 0:
            members[path] = data[:position] + data[position - amount :]

    contents.member_edits.append(edit)
    return f"pack: {amount} bytes at {at:.2f}"


def content(contents: Contents, random: Random) -> str:
    """Let a blob be other bytes, whose digest is right wherever it stands."""
    pack = _frames(contents, random)
    frame = random.choice([one for one in pack if all(offset == 0 for _, offset, _ in one.pieces())] or pack)
    old, _, whole = random.choice(frame.pieces())
    new = random.choice((*FILES, *(text.encode("utf-8", "surrogatepass") for text in JSON)))
    frame.extents = [
        (sha256(new).digest(), 0, new) if digest == old else (digest, offset, data)
        for digest, offset, data in frame.pieces()
    ]
    frame.encoded = None
    for path in (path for path in contents.tables if path.split("/")[1] == "artifacts"):
        rows = contents.tables[path].to_pylist()
        for row in rows:
            if row["digest"] == old.hex():
                row.update(digest=sha256(new).hexdigest(), size=len(new))
        contents.tables[path] = pa.Table.from_pylist(rows, schema=contents.tables[path].schema)
    return f"a blob of {len(whole)} bytes is now {new[:30]!r}"


PACKS: Final = (content, content, index, index, index, claims, entries, frames, frames, label, label, junk)
