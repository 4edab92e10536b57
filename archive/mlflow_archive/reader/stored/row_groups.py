"""Columns of row groups out of one Parquet file, each checked before it takes memory and before it is believed.

A library can read texts in two ways: written out, or as references to a dictionary, as most lie on disk. The second is
bounded and fast where all values of a column are references. It is slow where a column turned to texts half-way, which
is what unique values do; then the longest text of the dictionary says what the references can come to.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from threading import Lock
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from mlflow_archive.reader.stored.limits import ColumnSize, GroupSize, check_pages, decoded_bytes, first_byte, longest
from mlflow_archive.storage.members import MemberFile

_LITTLE: Final = 1024 * 1024
"""Bytes that texts may come to without a closer look."""

_LENGTH_SIZE: Final = 4


class RowGroups:
    """The row groups of an open Parquet file; ``texts`` are its columns of type string. Safe for several threads.

    Raises OverLimitError, ThriftError, ArrowException, OSError and UnicodeDecodeError for what cannot be read.
    """

    def __init__(self, file: MemberFile, parquet: pq.ParquetFile, texts: Collection[str]) -> None:
        self._file, self._parquet, self._texts = file, parquet, frozenset(texts)
        self._lock = Lock()  # a Parquet reader serves one thread at a time
        self._with_dictionaries: pq.ParquetFile | None = None

    def read(self, index: int, names: Sequence[str], *, encoded: bool) -> pa.Table:
        """Return columns of a row group; texts as dictionary arrays if ``encoded``, else written out."""
        self.anticipate([index], names)
        size = check_pages(self._file, self._parquet.metadata.row_group(index), names)
        by_reference = names if encoded else self._by_reference(index, size)
        written = [name for name in names if name not in by_reference]
        tables = [self._table(index, [name for name in names if name in by_reference], size)]
        if written:
            with self._lock:
                tables.append(self._parquet.read_row_group(index, columns=written, use_threads=False))
        for table in tables:
            table.validate(full=True)
        return _joined(names, tables, encoded=encoded)

    def anticipate(self, indexes: Iterable[int], names: Collection[str]) -> None:
        """Bring the pages of columns near, if they lie on another machine."""
        if not self._file.distant:
            return
        ranges = []
        for index in indexes:
            group = self._parquet.metadata.row_group(index)
            columns = (group.column(number) for number in range(group.num_columns))
            ranges += [
                (first_byte(column), column.total_compressed_size)
                for column in columns
                if column.path_in_schema.partition(".")[0] in names
            ]
        self._file.anticipate(ranges)

    def check(self, index: int, names: Sequence[str]) -> None:
        """Check the pages of columns by their headers."""
        check_pages(self._file, self._parquet.metadata.row_group(index), names)

    def _table(self, index: int, names: Sequence[str], size: GroupSize) -> pa.Table:
        """Return columns with their texts as dictionary arrays; written out they will be within the limits."""
        with self._lock:
            rows = self._encoded().read_row_group(index, columns=names, use_threads=False)
        # A library gives out references that point outside of the dictionary as they lie on disk.
        rows.validate(full=True)
        size.check(decoded_bytes(rows))
        return rows

    def _by_reference(self, index: int, size: GroupSize) -> Collection[str]:
        """Return which columns are read as references: all texts where only their sum says what they come to."""
        texts = {path: column for path, column in size.columns.items() if path in self._texts}
        mixed = {path for path, column in texts.items() if 0 < column.referring < column.values}
        at_most = size.pages + sum(
            texts[path].referring * length for path, length in self._longest(index, sorted(mixed), texts).items()
        )
        if at_most > size.limit:
            return texts.keys()
        return {path for path, column in texts.items() if column.referring == column.values > 0}

    def _longest(self, index: int, names: Sequence[str], sizes: dict[str, ColumnSize]) -> dict[str, int]:
        """Return the length of the longest text in the dictionary of each column."""
        lengths = {name: self._length_of_each(sizes[name]) for name in names}
        if unknown := [name for name, length in lengths.items() if length is None]:
            with self._lock:
                batches = self._encoded().iter_batches(1, row_groups=[index], columns=unknown, use_threads=False)
                first = next(batches)
            lengths |= {name: longest(first.column(name).dictionary) for name in unknown}
        return {name: length or 0 for name, length in lengths.items()}

    def _length_of_each(self, size: ColumnSize) -> int | None:
        """Return the length of all texts in a dictionary, as ids have it, or what they have together if that is little.

        None where neither is so, which takes the library's reading to say more.
        """
        page = size.dictionary
        if page is None or page.size * size.referring <= _LITTLE:
            return 0 if page is None else page.size
        if size.compression != "ZSTD" or not page.values or page.size % page.values:
            return None
        data = pa.Codec("zstd").decompress(self._file.read_at(page.offset, page.stored_size), page.size)
        return _uniform_length(memoryview(data), page.values)

    def _encoded(self) -> pq.ParquetFile:
        """Return the file as one whose texts are read as dictionary arrays."""
        if self._with_dictionaries is None:
            self._with_dictionaries = pq.ParquetFile(
                pa.PythonFile(self._file.reader(), mode="r"),
                metadata=self._parquet.metadata,
                read_dictionary=sorted(self._texts),
                page_checksum_verification=True,
            )
        return self._with_dictionaries


def _uniform_length(dictionary: memoryview, texts: int) -> int | None:
    """Return the length of the texts of a dictionary page if all have the same: each stands behind its length."""
    step = len(dictionary) // texts
    length = step - _LENGTH_SIZE
    expected = length.to_bytes(_LENGTH_SIZE, "little") if length >= 0 else b""
    for at, byte in enumerate(expected):
        if bytes(dictionary[at::step]) != bytes([byte]) * texts:
            return None
    return length if expected else None


def _joined(names: Sequence[str], tables: Sequence[pa.Table], *, encoded: bool) -> pa.Table:
    if not names:
        return tables[0]  # how many rows there are
    columns = {name: table[name] for table in tables for name in names if name in table.column_names}
    arrays = [columns[name] if encoded else _plain(columns[name]) for name in names]
    return pa.table(arrays, names=list(names))


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column with its texts written out."""
    return column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column
