"""The headers of Parquet pages (parquet-format, PageHeader): how much memory a page takes, before it is read.

A footer says how many bytes a row group has, and so do the pages themselves; a library believes the pages.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from mlflow_archive.reader.stored.thrift import CompactReader, CutShortError, Fields, ThriftError
from mlflow_archive.storage.members import MemberFile

DATA_PAGE: Final = 0
DICTIONARY_PAGE: Final = 2
DATA_PAGE_V2: Final = 3

DICTIONARY_ENCODINGS: Final = frozenset({2, 8})
BOUNDED_ENCODINGS: Final = frozenset({0, 3, 4, 5, 6, 9}) | DICTIONARY_ENCODINGS
"""PLAIN, PLAIN_DICTIONARY, RLE, BIT_PACKED, DELTA_BINARY_PACKED, DELTA_LENGTH_BYTE_ARRAY, RLE_DICTIONARY,
BYTE_STREAM_SPLIT: the size of a page, its number of values and its dictionary say what it decodes to. In one of
DELTA_BYTE_ARRAY (7) each value may be a copy of the one before with something added."""

_FIRST_READ: Final = 512
_LARGEST_HEADER: Final = 1024 * 1024
_LARGEST_INTEGER: Final = 2**31 - 1
_BODIES: Final = {DATA_PAGE: (5, 2), DICTIONARY_PAGE: (7, 2), DATA_PAGE_V2: (8, 4)}
"""By type of page: the field with the header of that type, and in it the field of the encoding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageHeader:
    """What the header of a page says of the bytes behind it, which begin at ``offset``: their size there and without
    compression, how many values they hold, and their CRC-32, None where it is not stated."""

    offset: int
    type: int
    stored_size: int
    size: int
    values: int
    encoding: int
    checksum: int | None

    @property
    def has_checksum(self) -> bool:
        """Whether the CRC-32 of the bytes behind the header is stated."""
        return self.checksum is not None


def column_pages(file: MemberFile, offset: int, size: int) -> Iterator[PageHeader]:
    """Yield the pages of a column chunk, which has ``size`` bytes from ``offset``; their contents are not read.

    Raises ThriftError for what is no page, DamagedError (E011) where these bytes do not lie in the file.
    """
    file.check_range(offset, size)
    position, end = offset, offset + size
    while position < end:
        page, header_size = _page(file, position, end)
        position += header_size + page.stored_size
        if position > end:
            raise ThriftError(f"a page reaches {position - end} bytes beyond the end of its column")
        yield page


def leading_page(stored: bytes) -> tuple[PageHeader, int]:
    """Return the header of the page that some bytes begin with, and its size. Raises ThriftError."""
    reader = CompactReader(stored)
    fields = reader.struct()
    return _as_page(fields, reader.position), reader.position


def _page(file: MemberFile, position: int, end: int) -> tuple[PageHeader, int]:
    amount = _FIRST_READ
    while True:
        try:
            page, size = leading_page(file.read_at(position, min(amount, end - position)))
            return replace(page, offset=position + size), size
        except CutShortError:
            if amount >= min(_LARGEST_HEADER, end - position):
                raise
            amount *= 8


def _as_page(fields: Fields, offset: int) -> PageHeader:
    kind, size, stored_size = (_number(fields, field) for field in (1, 2, 3))
    if kind not in _BODIES:
        raise ThriftError(f"there is no page of type {kind}")
    field, encoding = _BODIES[kind]
    body = fields.get(field)
    if not isinstance(body, dict):
        raise ThriftError(f"a page of type {kind} lacks the header of its type")
    return PageHeader(
        offset=offset,
        type=kind,
        stored_size=stored_size,
        size=size,
        values=_number(body, 1),
        encoding=_number(body, encoding),
        checksum=None if 4 not in fields else int(fields[4] or 0) & 0xFFFFFFFF,
    )


def _number(fields: Fields, field: int) -> int:
    value = fields.get(field)
    if type(value) is not int or not 0 <= value <= _LARGEST_INTEGER:
        raise ThriftError(f"field {field} of a page header is {value!r}, expected a number")
    return value
