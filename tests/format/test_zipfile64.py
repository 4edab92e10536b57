"""The records of a single file at the limits of 32 bits: what is written is read, and ZIP64 begins where it must."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from mlflow_archive.errors import DamagedError
from mlflow_archive.format.zipfile64 import (
    ALIGNMENT,
    END_SIZE,
    MAX_CENTRAL_SIZE,
    Entry,
    central_directory,
    check_local,
    decode_central,
    decode_end,
    end_of,
    local_header,
)

LIMIT = 2**32 - 1
"""The value of a 32-bit field that says: look into the ZIP64 field. A size that equals it must stand there."""
LOCAL_SIZES, LOCAL_EXTRA = slice(18, 26), 30
CENTRAL_SIZES, CENTRAL_OFFSET, CENTRAL_EXTRA = slice(20, 28), slice(42, 46), 46


def entry_of(name: str, size: int, header_offset: int = 0, crc32: int = 7) -> Entry:
    data_offset = header_offset + len(local_header(name, size, crc32, header_offset))
    return Entry(name=name, size=size, crc32=crc32, header_offset=header_offset, data_offset=data_offset)


def records_of(entries: list[Entry]) -> tuple[bytes, int]:
    """Return the central directory without its end records, and where it begins."""
    offset = entries[-1].data_offset + entries[-1].size
    return central_directory(entries, offset)[:-END_SIZE], offset


@pytest.mark.parametrize(("size", "big"), [(0, False), (LIMIT - 1, False), (LIMIT, True), (LIMIT + 1, True)])
def test_a_size_that_does_not_fit_below_the_mark_stands_in_the_zip64_field_of_both_records(
    size: int, big: bool
) -> None:
    header = local_header("a.zst", size, 7, 0)
    record, offset = records_of([entry_of("a.zst", size)])
    field = min(size, LIMIT)
    assert struct.unpack("<II", header[LOCAL_SIZES]) == (field, field)
    assert struct.unpack("<II", record[CENTRAL_SIZES]) == (field, field)
    zip64 = struct.pack("<HHQQ", 1, 16, size, size)
    assert header[LOCAL_EXTRA + 5 :].startswith(zip64) is big
    assert record[CENTRAL_EXTRA + 5 :] == (zip64 if big else b"")
    assert len(header) % ALIGNMENT == 0
    (entry,) = decode_central(record, 1, offset)
    assert entry == entry_of("a.zst", size)
    check_local(entry, header)


@pytest.mark.parametrize(("size", "place"), [(LIMIT - 100, "small"), (LIMIT - 64, "limit"), (LIMIT, "big")])
def test_the_place_of_a_member_behind_the_mark_stands_in_the_zip64_field(size: int, place: str) -> None:
    first = entry_of("a.zst", size)
    start = {"small": LIMIT - 1, "limit": LIMIT, "big": first.data_offset + size}[place]
    first = entry_of("a.zst", start - first.data_offset if place != "big" else size)
    second = entry_of("b.zst", 3, start)
    records, offset = records_of([first, second])
    record = records[-(CENTRAL_EXTRA + 5 + (0 if place == "small" else 12)) :]
    assert struct.unpack("<I", record[CENTRAL_OFFSET]) == (min(start, LIMIT),)
    assert record[CENTRAL_EXTRA + 5 :] == (b"" if place == "small" else struct.pack("<HHQ", 1, 8, start))
    assert decode_central(records, 2, offset) == [first, second]


@pytest.mark.parametrize("count", [0, 1, 0xFFFE, 0xFFFF, 0x10000])
def test_the_end_records_state_any_number_of_members(count: int) -> None:
    size, offset = count * 60, 100
    tail = _end(count, size, offset)
    assert decode_end(tail, offset + size + END_SIZE) == (offset, size, count)
    assert struct.unpack_from("<HH", tail[-22:], 8) == (min(count, 0xFFFF), min(count, 0xFFFF))


@pytest.mark.parametrize("offset", [LIMIT - 1, LIMIT, LIMIT + 1])
def test_the_end_records_state_any_place_of_the_directory(offset: int) -> None:
    assert decode_end(_end(1, 60, offset), offset + 60 + END_SIZE) == (offset, 60, 1)
    entry = entry_of("a", offset - 64)
    assert central_directory([entry], offset)[-END_SIZE:] == _end(1, len(records_of([entry])[0]), offset)


@pytest.mark.parametrize("count", [0xFFFF, 0x10000])
def test_the_short_number_of_members_ends_where_16_bits_do(count: int) -> None:
    entry = entry_of("a", 0)
    directory = central_directory([entry] * count, 64)
    assert directory[-END_SIZE:] == _end(count, len(directory) - END_SIZE, 64)


def test_a_local_header_that_differs_says_of_which_member_it_is() -> None:
    with pytest.raises(DamagedError) as caught:
        check_local(entry_of("a", 0), local_header("b", 0, 7, 0))
    assert str(caught.value) == "E021: a: its local header differs from the central directory"
    assert (caught.value.code, caught.value.member) == ("E021", "a")


def _end(count: int, size: int, offset: int) -> bytes:
    end64 = struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, count, count, size, offset)
    locator = struct.pack("<IIQI", 0x07064B50, 0, offset + size, 1)
    short = min(count, 0xFFFF)
    return end64 + locator + struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, short, short, size, min(offset, LIMIT), 0)


def said(decode: Callable[..., object], *arguments: object) -> str:
    """Return what is said of damage; its code is what the sentence begins with."""
    with pytest.raises(DamagedError) as caught:
        decode(*arguments)
    assert str(caught.value).startswith(f"{caught.value.code}: ")
    return str(caught.value)


SIZES = "E020: the end of the file states sizes that the file does not have"


def test_a_directory_that_is_too_large_or_too_small_for_its_entries_is_refused() -> None:
    largest = MAX_CENTRAL_SIZE
    assert decode_end(_end(1, largest, 0), largest + END_SIZE) == (0, largest, 1)
    assert decode_end(_end(1, 46, 0), 46 + END_SIZE) == (0, 46, 1)
    for count, size in ((1, largest + 1), (1, 45), (2, 91)):
        assert said(decode_end, _end(count, size, 0), size + END_SIZE) == SIZES
    for file_size in (59 + END_SIZE, 61 + END_SIZE):
        assert said(decode_end, _end(1, 60, 0), file_size) == SIZES
    few = said(decode_end, _end(1, 60, 0)[1:], END_SIZE - 1)
    assert few == f"E020: the file has {END_SIZE - 1} bytes, too few for an archive"


def test_every_changed_byte_of_the_end_records_is_noticed() -> None:
    tail = _end(3, 200, 1000)
    for at in range(len(tail)):
        changed = tail[:at] + bytes([tail[at] ^ 1]) + tail[at + 1 :]
        end = "E020: the file does not end as an archive does: it is cut off or was changed"
        assert said(decode_end, changed, 1200 + END_SIZE) == end


def test_every_changed_byte_of_a_record_is_noticed_there_or_in_the_local_header() -> None:
    entries = [entry_of("a.txt", 10)]
    entries.append(entry_of("packs/b.zst", LIMIT, entries[0].data_offset + 10, crc32=9))
    records, offset = records_of(entries)
    headers = [local_header(e.name, e.size, e.crc32, e.header_offset) for e in entries]
    for at in range(len(records)):
        changed = records[:at] + bytes([records[at] ^ 1]) + records[at + 1 :]
        with pytest.raises(DamagedError):  # noqa: PT012 - the one or the other
            for entry, header in zip(decode_central(changed, 2, offset), headers, strict=True):
                check_local(entry, header)


def test_a_name_has_at_most_1024_characters_and_at_least_one() -> None:
    record, offset = records_of([entry_of("a", 0)])
    unusable = "E020: an entry of the central directory has no usable name"
    for name in (b"", b"a" * 1025, b"\xff"):
        changed = record[:28] + struct.pack("<H", len(name)) + record[30:46] + name
        assert said(decode_central, changed, 1, offset) == unusable
    longest = record[:28] + struct.pack("<H", 1024) + record[30:46] + b"a" * 1024
    assert said(decode_central, longest, 1, offset) == f"E015: {'a' * 1024!r} is no member name"
    with pytest.raises(DamagedError) as caught:
        decode_central(record[:28] + struct.pack("<H", 2) + record[30:46] + b"/a", 1, offset)
    assert (str(caught.value), caught.value.member) == ("E015: '/a' is no member name", "/a")


def test_records_that_are_cut_or_too_many_are_refused() -> None:
    entries = [entry_of("a", 0)]
    entries.append(entry_of("b", 0, entries[0].data_offset))
    records, offset = records_of(entries)
    assert decode_central(records, 2, offset) == entries
    longer = "E020: the central directory is longer than its entries"
    assert said(decode_central, records, 1, entries[0].data_offset) == longer
    shorter = "E020: the central directory is shorter than its entries"
    unusable = "E020: an entry of the central directory has no usable name"
    assert [said(decode_central, records[:-cut], 2, offset) for cut in (1, 46, 47)] == [unusable, shorter, shorter]


def test_sizes_and_places_of_64_bits_are_written_and_sizes_beyond_the_file_refused() -> None:
    entry = entry_of("a", 2**64 - 1, 2**63)
    record = central_directory([entry], 0)[:-END_SIZE]
    assert record[CENTRAL_EXTRA + 1 :] == struct.pack("<HHQQQ", 1, 24, 2**64 - 1, 2**64 - 1, 2**63)
    for size in (2**63, 2**64 - 1):
        record = central_directory([entry_of("a", size)], 0)[:-END_SIZE]
        assert said(decode_central, record, 1, 100) == "E022: a: the member reaches beyond the end of the file"


def test_what_lies_where_no_member_is_and_what_members_are_not() -> None:
    entries = [entry_of("a", 4)]
    entries.append(entry_of("b", 0, entries[0].data_offset + 4))
    records, offset = records_of(entries)
    beyond = "E022: b: the member reaches beyond the end of the file"
    assert said(decode_central, records, 2, offset - 1) == beyond
    assert said(decode_central, records, 2, offset + 1) == "E022: bytes of the file belong to no member"
    assert said(decode_central, records[: len(records) // 2] * 2, 2, offset).startswith("E022: a: members overlap, or ")
    twice = [entries[0], entry_of("a", 0, entries[0].data_offset + 4)]
    records, offset = records_of(twice)
    assert said(decode_central, records, 2, offset) == "E016: the file has two members of one name"


@pytest.mark.parametrize(
    ("at", "reason"),
    [
        (8, "E023: a: the member is compressed, encrypted or has a data descriptor"),
        (10, "E023: a: the member is compressed, encrypted or has a data descriptor"),
        (42, "E022: a: members overlap, or bytes between them belong to none"),
        (4, "E020: a: its entry in the central directory is not as the format has it"),
        (38, "E020: a: its entry in the central directory is not as the format has it"),
    ],
)
def test_a_record_that_is_not_as_the_format_has_it(at: int, reason: str) -> None:
    record, offset = records_of([entry_of("a", 4)])
    changed = record[:at] + bytes([record[at] ^ 1]) + record[at + 1 :]
    assert said(decode_central, changed, 1, offset) == reason


def test_entries_end_where_the_data_of_the_last_does() -> None:
    entries = [
        Entry(name=name, size=size, crc32=0, header_offset=start, data_offset=start + 50)
        for name, size, start in (("a", 9, 0), ("b", 7, 100))
    ]
    assert [end_of(entries[:count]) for count in (0, 1, 2)] == [0, 59, 157]
