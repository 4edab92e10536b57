"""What is changed in the records of a single file, which no hash covers: fields, names, the bytes between members."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from tests.hostile.contents import Contents
from tests.spec.drafts import zipped

Listed = list[tuple[str, bytes]]

_CENTRAL, _LOCAL, _END = b"PK\x01\x02", b"PK\x03\x04", 98
_FIELDS: Final = {
    "version": ((6, 2), (4, 2)),
    "flags": ((8, 2), (6, 2)),
    "method": ((10, 2), (8, 2)),
    "time": ((12, 2), (10, 2)),
    "date": ((14, 2), (12, 2)),
    "crc": ((16, 4), (14, 4)),
    "compressed size": ((20, 4), (18, 4)),
    "size": ((24, 4), (22, 4)),
    "name length": ((28, 2), (26, 2)),
    "extra length": ((30, 2), (28, 2)),
    "first letter": ((46, 1), (30, 1)),
    "maker": ((4, 2), None),
    "comment length": ((32, 2), None),
    "disk": ((34, 2), None),
    "attributes": ((38, 4), None),
    "header offset": ((42, 4), None),
    "signature": ((0, 4), (0, 4)),
}
"""Where a field begins in the central directory and in the local header, with its size."""

_END_FIELDS: Final = (
    *((4, 8), (12, 2), (14, 2), (16, 4), (20, 4), (24, 8), (32, 8), (40, 8), (48, 8), (60, 4), (64, 8), (72, 4)),
    *((80, 2), (82, 2), (84, 2), (86, 2), (88, 4), (92, 4), (96, 2)),
)


def _changed(data: bytearray, at: int, size: int, random: Random) -> None:
    old = int.from_bytes(data[at : at + size], "little")
    largest = 256**size - 1
    choices = (0, 1, largest, largest // 2 + 1, old + 1, old - 1, old * 2, random.randrange(largest + 1))
    data[at : at + size] = (random.choice(choices) % (largest + 1)).to_bytes(size, "little")


def _headers(data: bytes | bytearray) -> list[tuple[int, int]]:
    """Return where the record of each member in the central directory begins, and its local header."""
    places, at = [], int.from_bytes(data[len(data) - _END + 48 :][:8], "little")
    while data[at : at + 4] == _CENTRAL:
        places.append((at, int.from_bytes(data[at + 42 : at + 46], "little")))
        at += 46 + sum(int.from_bytes(data[at + start : at + start + 2], "little") for start in (28, 30))
    return places


def fields(contents: Contents, random: Random) -> str:
    """Change a field of a member in the central directory, in the local header, or in both alike."""
    name, where = random.choice(sorted(_FIELDS)), random.choice(("central", "local", "both", "both"))
    central, local = _FIELDS[name]

    def edit(files: Listed) -> bytes:
        data = bytearray(zipped(files))
        record, header = random.choice(_headers(data))
        start, size = central
        if local is None or where != "local":
            _changed(data, record + start, size, random)
        else:
            _changed(data, header + local[0], size, random)
        if local is not None and where == "both":
            data[header + local[0] : header + local[0] + size] = data[record + start : record + start + size]
        return bytes(data)

    contents.single_edits.append(edit)
    return f"{name} in {'central' if local is None else where}"


def end(contents: Contents, random: Random) -> str:
    """Change a field of the end records."""
    start, size = random.choice(_END_FIELDS)

    def edit(files: Listed) -> bytes:
        data = bytearray(zipped(files))
        _changed(data, len(data) - _END + start, size, random)
        return bytes(data)

    contents.single_edits.append(edit)
    return f"{size} bytes at {start} of the end records"


def _twice(files: Listed, random: Random) -> bytes:
    name, data = random.choice(files)
    other = random.choice((data, data[::-1], b"", b"{}"))
    return zipped(random.choice(([*files, (name, other)], [(name, other), *files])))


def _stranger(files: Listed, random: Random) -> bytes:
    name = random.choice(("notes.txt", "manifests/0009.json", "../x", "README.txt/", "a/../b", "staging/x", "x.tmp"))
    return zipped([*files, (name, b"{}")])


def _gap(files: Listed, random: Random) -> bytes:
    if random.random() < 0.3:
        return zipped(files, gap_at_end=random.choice((1, 64)))
    return zipped(files, gap_before={random.choice(files)[0]: random.choice((1, 64))})


def _crc(files: Listed, random: Random) -> bytes:
    return zipped(files, crc={random.choice(files)[0]: random.choice((0, 2**32 - 1))})


def _order(files: Listed, random: Random) -> bytes:
    return zipped(random.sample(files, len(files)))


def _less(files: Listed, random: Random) -> bytes:
    return zipped([file for file in files if file is not random.choice(files)][: random.choice((-1, len(files)))])


def _around(files: Listed, random: Random) -> bytes:
    data, more = zipped(files), random.choice((b"\0", b"PK\x05\x06", b"PK\x03\x04" * 10))
    return random.choice((data + more, more + data, data[: -len(more)], data + data))


def _overlaid(files: Listed, random: Random) -> bytes:
    """Let the central directory lead to the data of another member."""
    data = bytearray(zipped(files))
    (one, _), (other, _) = random.sample(_headers(data), 2)
    for start, size in ((42, 4), (16, 4), (20, 8)):
        data[one + start : one + start + size] = data[other + start : other + start + size]
    return bytes(data)


_MANNERS: Final[tuple[Callable[[Listed, Random], bytes], ...]] = (
    *(_twice, _stranger, _gap, _crc, _order, _less, _around, _overlaid),
)


def listing(contents: Contents, random: Random) -> str:
    """List a member twice, one too many or too few, in another order, with bytes between or around them."""
    manner = random.choice(_MANNERS)
    contents.single_edits.append(lambda files: manner(files, random))
    return manner.__name__.strip("_")


RECORDS: Final = (fields, fields, fields, end, listing, listing)
