"""Headers of Parquet pages, byte by byte, and what they say of the columns that libraries write."""

from __future__ import annotations

import io
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlflow_archive.errors import DamagedError
from mlflow_archive.reader.stored.pages import PageHeader, column_pages, leading_page
from mlflow_archive.reader.stored.thrift import CutShortError, ThriftError
from mlflow_archive.storage.members import BytesMember

LARGEST = 2**31 - 1
_LARGEST_BYTES = b"\xfe\xff\xff\xff\x0f"

# Fields 1 to 3: type, size, stored size. Then the CRC-32, field 4, and the header of the type, field 5, 7 or 8.
SIZES = b"\x15\x0a\x15\x08"
DATA = b"\x15\x00" + SIZES + b"\x2c\x15\x06\x15\x10\x00\x00"
PAGE = PageHeader(offset=len(DATA), type=0, stored_size=4, size=5, values=3, encoding=8, checksum=None)


@pytest.mark.parametrize(
    ("data", "page"),
    [
        (DATA, PAGE),
        (b"\x15\x00" + SIZES + b"\x15\x12\x1c\x15\x06\x15\x10\x00\x00", replace(PAGE, checksum=9)),
        (b"\x15\x00" + SIZES + b"\x15\x01\x1c\x15\x06\x15\x10\x00\x00", replace(PAGE, checksum=2**32 - 1)),
        (b"\x15\x00" + SIZES + b"\x15\x00\x1c\x15\x06\x15\x10\x00\x00", replace(PAGE, checksum=0)),
        (b"\x15\x04" + SIZES + b"\x4c\x15\x06\x15\x10\x00\x00", replace(PAGE, type=2)),
        (
            b"\x15\x06" + SIZES + b"\x5c\x15\x06\x15\x02\x15\x02\x15\x10\x00\x00",
            replace(PAGE, type=3),
        ),
        (
            b"\x15\x00\x15" + _LARGEST_BYTES + b"\x15\x00\x2c\x15\x00\x15\x00\x00\x00",
            replace(PAGE, size=LARGEST, stored_size=0, values=0, encoding=0),
        ),
    ],
    ids=["plain", "checksum", "negative checksum", "checksum 0", "dictionary", "version 2", "edges"],
)
def test_a_header(data: bytes, page: PageHeader) -> None:
    expected = replace(page, offset=len(data))
    assert leading_page(data + b"behind") == (expected, len(data))
    assert expected.has_checksum == (page.checksum is not None)
    file = BytesMember("part", b"before" + data + bytes(page.stored_size))
    assert list(column_pages(file, 6, len(data) + page.stored_size)) == [replace(page, offset=6 + len(data))]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\x15\x02" + SIZES + b"\x2c\x15\x06\x15\x10\x00\x00", "there is no page of type 1"),
        (b"\x15\x00" + SIZES + b"\x4c\x15\x06\x15\x10\x00\x00", "a page of type 0 lacks the header of its type"),
        (b"\x15\x00" + SIZES + b"\x25\x02\x00", "a page of type 0 lacks the header of its type"),
        (b"\x15\x00\x15\x0a\x3c\x15\x06\x15\x10\x00\x00", "field 3 of a page header is None, expected a number"),
        (b"\x15\x00\x15\x01\x15\x08\x00", "field 2 of a page header is -1, expected a number"),
        (b"\x15\x00\x11\x15\x08\x00", "field 2 of a page header is True, expected a number"),
        (
            b"\x15\x00\x16\x80\x80\x80\x80\x10\x15\x08\x00",
            "field 2 of a page header is 2147483648, expected a number",
        ),
        (b"\x15\x00" + SIZES + b"\x2c\x25\x10\x00\x00", "field 1 of a page header is None, expected a number"),
        (b"\x15\x00" + SIZES + b"\x2c\x15\x06\x00\x00", "field 2 of a page header is None, expected a number"),
    ],
)
def test_what_is_no_header(data: bytes, said: str) -> None:
    with pytest.raises(ThriftError) as caught:
        leading_page(data)
    assert str(caught.value) == said


def test_pages_follow_each_other_within_their_column() -> None:
    column = DATA + b"1234"
    file = BytesMember("part", column * 3)
    first, second, third = (replace(PAGE, offset=len(column) * at + len(DATA)) for at in range(3))
    assert list(column_pages(file, 0, 3 * len(column))) == [first, second, third]
    assert list(column_pages(file, len(column), len(column))) == [second]
    assert list(column_pages(file, len(column), 0)) == []
    pages = column_pages(file, 0, 2 * len(column) - 1)
    assert next(pages) == first
    with pytest.raises(ThriftError) as caught:
        next(pages)
    assert str(caught.value) == "a page reaches 1 bytes beyond the end of its column"
    with pytest.raises(CutShortError):
        list(column_pages(file, 0, len(DATA) - 1))
    with pytest.raises(DamagedError, match="E011"):
        list(column_pages(file, 1, 3 * len(column)))


@pytest.mark.parametrize("size", [400, 480, 511, 512, 513, 4000, 5000, 40_000, 1024 * 1024 - 100])
def test_a_header_may_be_long(size: int) -> None:
    """Statistics with long texts stand in it, which are not looked at."""
    text = size.to_bytes(4, "little")
    length = bytes([size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14 & 0x7F])
    data = DATA[:-1] + b"\x58" + length + bytes(size) + b"\x00"
    file = BytesMember("part", data + text)
    expected = replace(PAGE, offset=len(data))
    assert list(column_pages(file, 0, file.size)) == [expected]


def test_what_a_library_writes() -> None:
    texts = [f"{number % 3}" for number in range(1000)]
    buffer = io.BytesIO()
    rows = pa.table({"text": texts, "number": list(range(1000))})
    options = {"compression": "none", "write_page_checksum": True, "use_dictionary": ["text"]}
    pq.write_table(rows, buffer, **options, data_page_size=100, write_batch_size=100)
    data = buffer.getvalue()
    group = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0)
    pages = []
    for column in (group.column(0), group.column(1)):
        offset = min(column.data_page_offset, column.dictionary_page_offset or column.data_page_offset)
        pages.append(list(column_pages(BytesMember("part", data), offset, column.total_compressed_size)))
    dictionary, *references = pages[0]
    assert (dictionary.type, dictionary.values, dictionary.size, dictionary.encoding) == (2, 3, 15, 0)
    assert {(page.type, page.encoding) for page in references} == {(0, 8)}
    assert {(page.type, page.encoding) for page in pages[1]} == {(0, 0)}
    for found in (references, pages[1]):
        assert (len(found) > 1, sum(page.values for page in found)) == (True, 1000)
        assert all(page.has_checksum and page.size == page.stored_size for page in found)
