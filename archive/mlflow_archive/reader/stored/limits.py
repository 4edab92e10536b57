"""What a row group may take in memory, held against its pages before they are decoded and against its texts after.

A few bytes can stand for gigabytes: a page of one compressed value, a million references to one long text of a
dictionary. Anything up to SMALL bytes is taken; above that, only what its size on disk makes likely.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from mlflow_archive.reader.stored.pages import BOUNDED_ENCODINGS, DICTIONARY_PAGE, PageHeader, column_pages
from mlflow_archive.storage.members import MemberFile

MAX_GROUP_ROWS: Final = 128 * 1024
MAX_GROUP_BYTES: Final = 2 * 1024 * 1024 * 1024
SMALL: Final = 128 * 1024 * 1024
MAX_RATIO: Final = 64
"""How many bytes may come of one on disk, where it is more than SMALL in all."""

_LEAST_VALUE: Final = 4  # bytes of a value in a dictionary page: the length of a text, or a number


class OverLimitError(ValueError):
    """A row group that takes more than it may, or whose pages are not what the footer says."""


@dataclass(frozen=True, slots=True)
class GroupSize:
    """Bytes that some columns of a row group take: on disk, and their pages without compression."""

    stored: int
    pages: int

    def check(self, decoded: int) -> None:
        """Raise OverLimitError if so many bytes may not come of this."""
        limit = min(MAX_GROUP_BYTES, max(SMALL, MAX_RATIO * self.stored))
        if decoded > limit:
            raise OverLimitError(f"{self.stored} bytes decode to {decoded}, over the limit of {limit}")


def check_pages(file: MemberFile, metadata: Any, columns: Collection[str]) -> GroupSize:
    """Check the pages of some columns of a row group by their headers, and return what they take.

    ``metadata`` is pyarrow's RowGroupMetaData. Raises OverLimitError, ThriftError for what is no page, DamagedError.
    """
    if metadata.num_rows > MAX_GROUP_ROWS:
        raise OverLimitError(f"it states {metadata.num_rows} rows, over the limit of {MAX_GROUP_ROWS}")
    stored = pages = 0
    for number in range(metadata.num_columns):
        chunk = metadata.column(number)
        # A library that is asked for a column takes what lies below it, too.
        if chunk.path_in_schema.partition(".")[0] in columns:
            stored += chunk.total_compressed_size
            pages += _pages_size(file, chunk, metadata.num_rows)
    size = GroupSize(stored, pages)
    size.check(pages)
    return size


def _pages_size(file: MemberFile, chunk: Any, rows: int) -> int:
    size = values = 0
    for number, page in enumerate(column_pages(file, first_byte(chunk), chunk.total_compressed_size)):
        size += page.size
        if page.type == DICTIONARY_PAGE:
            _check_dictionary(page, is_first=number == 0)
        else:
            values += page.values
        if page.encoding not in BOUNDED_ENCODINGS:
            raise OverLimitError(f"column {chunk.path_in_schema} has the encoding {page.encoding}, which is not taken")
        if number > rows:
            break
    if values != rows:
        raise OverLimitError(f"the pages of column {chunk.path_in_schema} hold {values} values, expected {rows}")
    return size


def _check_dictionary(page: PageHeader, *, is_first: bool) -> None:
    if not is_first or page.values * _LEAST_VALUE > page.size:
        raise OverLimitError(f"a dictionary of {page.values} values is not the first page, or has {page.size} bytes")


def first_byte(chunk: Any) -> int:
    """Return where the first page of a column chunk begins (pyarrow's ColumnChunkMetaData)."""
    offset: int = chunk.data_page_offset
    return min(offset, chunk.dictionary_page_offset or offset)


def check_texts(rows: pa.Table, size: GroupSize) -> None:
    """Check dictionary columns before their texts are written out: what that takes, and that each is one.

    A library gives out references that point outside of the dictionary, and bytes that are no UTF-8, as they lie on
    disk. Raises OverLimitError, ArrowInvalid.
    """
    rows.validate(full=True)
    size.check(sum(_decoded_bytes(column) for column in rows.columns))


def _decoded_bytes(column: pa.ChunkedArray) -> int:
    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    return sum(_text_bytes(chunk) for chunk in column.chunks)


def _text_bytes(chunk: pa.DictionaryArray) -> int:
    lengths = pc.binary_length(chunk.dictionary)
    most = (pc.max(lengths).as_py() or 0) * len(chunk)
    if most > SMALL // 16:  # only then it is worth to add them up
        most = pc.sum(lengths.take(chunk.indices)).as_py() or 0
    return int(most) + 4 * len(chunk)
