"""What a row group may take in memory, held against its pages before they are decoded and against its texts after.

A few bytes can stand for gigabytes: a page of one compressed value, a million references to one long text of a
dictionary. Anything up to SMALL bytes is taken, a single row up to ONE_ROW; above that, only what its size on disk
makes likely.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from mlflow_archive.reader.stored.pages import (
    BOUNDED_ENCODINGS,
    DICTIONARY_ENCODINGS,
    DICTIONARY_PAGE,
    PageHeader,
    column_pages,
)
from mlflow_archive.storage.members import MemberFile

MAX_GROUP_ROWS: Final = 128 * 1024
MAX_GROUP_BYTES: Final = 2 * 1024 * 1024 * 1024
SMALL: Final = 128 * 1024 * 1024
ONE_ROW: Final = 512 * 1024 * 1024
"""What a row group of one row may always take: writers cannot cut a value."""

MAX_RATIO: Final = 64
"""How many bytes may come of one on disk, where it is more than SMALL in all."""

_LEAST_VALUE: Final = 4  # bytes of a value in a dictionary page: the length of a text, or a number


class OverLimitError(ValueError):
    """A row group that takes more than it may, or whose pages are not what the footer says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnSize:
    """What a column of a row group takes: bytes on disk, and those of its pages without compression.

    ``referring`` is how many of its values are references to its dictionary; ``compression`` as Parquet calls it.
    """

    stored: int
    pages: int
    values: int
    referring: int
    dictionary: PageHeader | None
    compression: str


@dataclass(frozen=True, slots=True)
class GroupSize:
    """What some columns of a row group take, by their path; ``rows`` is how many it has."""

    columns: Mapping[str, ColumnSize]
    rows: int

    @property
    def stored(self) -> int:
        """Bytes on disk."""
        return sum(column.stored for column in self.columns.values())

    @property
    def pages(self) -> int:
        """Bytes of all pages without compression."""
        return sum(column.pages for column in self.columns.values())

    @property
    def limit(self) -> int:
        """How many bytes may come of this."""
        return min(MAX_GROUP_BYTES, max(ONE_ROW if self.rows == 1 else SMALL, MAX_RATIO * self.stored))

    def check(self, decoded: int) -> None:
        """Raise OverLimitError if so many bytes may not come of this."""
        if decoded > self.limit:
            raise OverLimitError(f"{self.stored} bytes decode to {decoded}, over the limit of {self.limit}")


def check_pages(file: MemberFile, metadata: Any, names: Collection[str]) -> GroupSize:
    """Check the pages of some columns of a row group by their headers, and return what they take.

    ``metadata`` is pyarrow's RowGroupMetaData. Raises OverLimitError, ThriftError for what is no page, DamagedError.
    """
    if metadata.num_rows > MAX_GROUP_ROWS:
        raise OverLimitError(f"it states {metadata.num_rows} rows, over the limit of {MAX_GROUP_ROWS}")
    columns: dict[str, ColumnSize] = {}
    for number in range(metadata.num_columns):
        chunk = metadata.column(number)
        # A library that is asked for a column takes what lies below it, too.
        if chunk.path_in_schema.partition(".")[0] in names:
            if chunk.path_in_schema in columns:
                raise OverLimitError(f"it has two columns {chunk.path_in_schema}")
            columns[chunk.path_in_schema] = _column_size(file, chunk, metadata.num_rows)
    size = GroupSize(columns, metadata.num_rows)
    size.check(size.pages)
    return size


def _column_size(file: MemberFile, chunk: Any, rows: int) -> ColumnSize:
    pages = values = referring = 0
    dictionary = None
    for number, page in enumerate(column_pages(file, first_byte(chunk), chunk.total_compressed_size)):
        pages += page.size
        if page.type == DICTIONARY_PAGE:
            _check_dictionary(page, is_first=number == 0)
            dictionary = page
        else:
            values += page.values
            referring += page.values if page.encoding in DICTIONARY_ENCODINGS else 0
        if page.encoding not in BOUNDED_ENCODINGS:
            raise OverLimitError(f"column {chunk.path_in_schema} has the encoding {page.encoding}, which is not taken")
        if number > rows:
            break
    if values != rows:
        raise OverLimitError(f"the pages of column {chunk.path_in_schema} hold {values} values, expected {rows}")
    return ColumnSize(
        stored=chunk.total_compressed_size,
        pages=pages,
        values=values,
        referring=referring,
        dictionary=dictionary,
        compression=chunk.compression,
    )


def _check_dictionary(page: PageHeader, *, is_first: bool) -> None:
    if not is_first or page.values * _LEAST_VALUE > page.size:
        raise OverLimitError(f"a dictionary of {page.values} values is not the first page, or has {page.size} bytes")


def first_byte(chunk: Any) -> int:
    """Return where the first page of a column chunk begins (pyarrow's ColumnChunkMetaData); 0 where it has none.

    A row group without rows has no page of values, whose place is 0 then, though it may have a dictionary.
    """
    places: tuple[int | None, ...] = (chunk.data_page_offset, chunk.dictionary_page_offset)
    return min((place for place in places if place), default=0)


def decoded_bytes(rows: pa.Table) -> int:
    """Return how many bytes rows take once their dictionary columns are written out."""
    return sum(_decoded_bytes(column) for column in rows.columns)


def _decoded_bytes(column: pa.ChunkedArray) -> int:
    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    return sum(_text_bytes(chunk) for chunk in column.chunks)


def _text_bytes(chunk: pa.DictionaryArray) -> int:
    most = longest(chunk.dictionary) * len(chunk)
    if most > SMALL // 16:  # only then it is worth to add them up
        most = pc.sum(pc.binary_length(chunk.dictionary).take(chunk.indices)).as_py() or 0
    return int(most) + 4 * len(chunk)


def longest(texts: pa.Array) -> int:
    """Return the length of the longest of some texts, in bytes."""
    return pc.max(pc.binary_length(texts)).as_py() or 0
