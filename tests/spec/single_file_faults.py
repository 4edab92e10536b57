"""What is wrong in the vectors whose fault lies in the single file itself, around members that are right."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

from tests.spec.drafts import Draft, build, in_order, zipped
from tests.spec.faults import flipped


def single(how: Callable[[bytes], bytes] = lambda data: data, **options: Any) -> Callable[[], bytes]:
    return lambda: how(zipped(in_order(build(Draft())), **options))


def patched(find: bytes, replace: bytes, nth: int = 0) -> Callable[[bytes], bytes]:
    """Replace the nth occurrence of some bytes."""

    def how(data: bytes) -> bytes:
        at = -1
        for _ in range(nth + 1):
            at = data.index(find, at + 1)
        return data[:at] + replace + data[at + len(find) :]

    return how


def in_headers(offset: int, value: bytes) -> Callable[[bytes], bytes]:
    """Change a field of the first local header, and the same field of its central record, two bytes further on."""

    def how(data: bytes) -> bytes:
        at = data.index(b"PK\x01\x02") + offset + 2
        data = data[:offset] + value + data[offset + len(value) :]
        return data[:at] + value + data[at + len(value) :]

    return how


def header_offset_of_second(data: bytes) -> bytes:
    at = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 4) + 42
    return data[:at] + bytes(4) + data[at + 4 :]


def one_less(data: bytes) -> bytes:
    """Lower the number of members in both end records, the last 98 and 22 bytes."""
    count = struct.unpack_from("<Q", data, len(data) - 98 + 24)[0] - 1
    end64 = data[-98 : -98 + 24] + struct.pack("<QQ", count, count) + data[-98 + 40 : -22]
    return data[:-98] + end64 + data[-22:-14] + struct.pack("<HH", count, count) + data[-10:]


SINGLE_FAULTS: Final[dict[str, tuple[str, Callable[[], bytes]]]] = {
    "E001_text": ("A file that is no ZIP.", lambda: b"This is no archive.\n"),
    "E001_bytes_before": ("Bytes before the first member.", single(lambda data: b"#!/bin/sh\n" + data)),
    "E013_unlisted": (
        "A member that is not listed.",
        lambda: zipped([*in_order(build(Draft())), ("extra.txt", b"?")]),
    ),
    "E015_path_escape": (
        "A member of the ZIP whose name leads out.",
        lambda: zipped([*in_order(build(Draft())), ("../../escape.txt", b"?")]),
    ),
    "E016_two_of_one_name": (
        "Two members of one name.",
        lambda: zipped([*in_order(build(Draft())), ("README.txt", b"the other one\n")]),
    ),
    "E020_cut_off": ("The last byte is missing.", single(lambda data: data[:-1])),
    "E020_half": ("Half of the file is missing.", single(lambda data: data[: len(data) // 2])),
    "E020_bytes_behind": ("A byte behind the end.", single(lambda data: data + b"\0")),
    "E020_comment": ("The ZIP has a comment.", single(lambda data: data[:-2] + b"\x02\0hi")),
    "E020_count": ("The end records state one member less.", single(one_less)),
    "E021_other_name": ("The local header has another name.", single(patched(b"README.txt", b"readme.txt"))),
    "E021_other_crc": ("The local header has another CRC.", single(lambda data: flipped(data, 14))),
    "E022_gap": ("Zeros between two members.", single(gap_before={"checksums.sha256": 64})),
    "E022_gap_at_end": ("Zeros behind the last member.", single(gap_at_end=64)),
    "E022_overlap": ("Two members at one place.", single(header_offset_of_second)),
    "E022_lying_size": ("A member states a size beyond the end.", single(in_headers(18, b"\xff\xff\xff\x7f" * 2))),
    "E023_compressed": ("A member states method 8.", single(in_headers(8, b"\x08\0"))),
    "E023_encrypted": ("A member has the flag for encryption.", single(in_headers(6, b"\x01\0"))),
    "E023_data_descriptor": ("A member has the flag for a descriptor.", single(in_headers(6, b"\x08\0"))),
    "E024_crc": ("Both headers state a wrong CRC.", single(crc={"README.txt": 0x12345678})),
}
