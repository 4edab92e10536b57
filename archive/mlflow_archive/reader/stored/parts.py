"""Read the row groups of one table part, with page checksums on."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from mlflow_archive.errors import DamagedError
from mlflow_archive.kinds import Table
from mlflow_archive.reader.stored.limits import first_byte
from mlflow_archive.reader.stored.pages import column_pages
from mlflow_archive.reader.stored.row_groups import RowGroups
from mlflow_archive.reader.stored.statistics import false_statistics
from mlflow_archive.reader.stored.thrift import ThriftError
from mlflow_archive.storage.members import MemberFile

_UNREADABLE: Final = (pa.ArrowException, OSError, ValueError, OverflowError)
"""What a library says of bytes that it cannot read, of names and statistics that are no UTF-8, too; and the limits."""

_FIELD_BY_NUMBER: Final = "FieldPath("
"""How pyarrow prints a field that an expression names by its number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowGroup:
    """A row group: its number, rows, the range of the table's first key column (None: not stated), and its bytes.

    ``raw_size`` is what its columns come to before compression, ``stored_size`` after it, as the footer states them.
    """

    index: int
    rows: int
    key_min: str | None
    key_max: str | None
    raw_size: int
    stored_size: int

    def may_hold(self, ids: Sequence[str]) -> bool:
        """Return whether any of the sorted ids can lie in this row group."""
        if self.key_min is None or self.key_max is None:
            return True
        at = bisect_left(ids, self.key_min)
        return at < len(ids) and ids[at] <= self.key_max


class Part:
    """One Parquet file of a table. Opening reads its footer."""

    def __init__(self, file: MemberFile, table: Table) -> None:
        self.name = file.name
        self.table = table
        self._file = file
        with self._reading_footer():
            self._parquet = pq.ParquetFile(pa.PythonFile(file.reader(), mode="r"), page_checksum_verification=True)
            self._present = self._check_schema()
        self._row_groups: list[RowGroup] | None = None
        self._texts = [c.name for c in self.table.columns if c.type == pa.string() and c.name in self._present]
        self._groups = RowGroups(file, self._parquet, self._texts)
        self._proved = False

    def _check_schema(self) -> list[str]:
        schema = self._parquet.schema_arrow
        if twice := sorted(name for name, times in Counter(schema.names).items() if times > 1):
            message = f"{self.name}: it has two columns {twice[0]!r}, expected one of each name"
            raise DamagedError(message, code="E031", member=self.name)
        for column in self.table.columns:
            position = schema.get_field_index(column.name)
            if position < 0 and column.nullable:
                continue
            if position < 0 or schema.field(position).type != column.type:
                have = schema.field(position).type if position >= 0 else "nothing"
                message = f"{self.name}: column {column.name} should be {column.type}, found {have}"
                raise DamagedError(message, code="E031", member=self.name)
        return [name for name in self.table.column_names if name in schema.names]

    @property
    def rows(self) -> int:
        """How many rows the footer states."""
        return int(self._parquet.metadata.num_rows)

    @property
    def other_columns(self) -> list[str]:
        """The names of the columns that are not of the table as this version knows it."""
        return [name for name in self._parquet.schema_arrow.names if name not in self.table.column_names]

    def row_groups(self) -> list[RowGroup]:
        """Return all row groups as the footer states them. Raises DamagedError (E030) if it cannot be decoded."""
        if self._row_groups is None:
            self._row_groups = self._stated_row_groups()
        return self._row_groups

    def _stated_row_groups(self) -> list[RowGroup]:
        with self._reading_footer():
            return [self._row_group(i) for i in range(self._parquet.metadata.num_row_groups)]

    @contextmanager
    def _reading_footer(self) -> Iterator[None]:
        try:
            yield
        except _UNREADABLE as error:
            message = f"{self.name}: its Parquet footer cannot be read: {error}"
            raise DamagedError(message, code="E030", member=self.name) from error

    def _row_group(self, index: int) -> RowGroup:
        metadata = self._parquet.metadata.row_group(index)
        first = self.table.key[0] if self.table.key else None
        low = high = None
        stored = 0
        for i in range(metadata.num_columns):
            column = metadata.column(i)
            stored += column.total_compressed_size
            if column.path_in_schema == first and column.is_stats_set and column.statistics.has_min_max:
                low, high = column.statistics.min, column.statistics.max
        return RowGroup(
            index=index,
            rows=metadata.num_rows,
            key_min=low,
            key_max=high,
            raw_size=metadata.total_byte_size,
            stored_size=stored,
        )

    def has_page_checksums(self) -> bool:
        """Return whether the first page was written with a checksum; libraries state that nowhere else."""
        metadata = self._parquet.metadata
        groups = (metadata.row_group(index) for index in range(metadata.num_row_groups))
        with_rows = next((group for group in groups if group.num_rows), None)
        if with_rows is None:
            return True
        chunk = with_rows.column(0)
        try:
            return next(column_pages(self._file, first_byte(chunk), chunk.total_compressed_size)).has_checksum
        except (ThriftError, StopIteration) as error:
            message = f"{self.name}: it does not begin with a page: {error}"
            raise DamagedError(message, code="E034", member=self.name) from error

    def read(self, index: int, columns: Sequence[str] | None = None, *, encoded: bool = False) -> pa.Table:
        """Read a row group with the columns in schema order; columns the file lacks are null.

        With ``encoded`` texts come as dictionary arrays, as they lie on disk, which is several times faster where few
        of them are looked at. Raises DamagedError: E034 for a page that is damaged or a row group over the limits, E036
        for a null where none may be.
        """
        requested = [c for c in self.table.columns if columns is None or c.name in columns]
        present = [c.name for c in requested if c.name in self._present]
        with self._reporting(index):
            metadata = self._parquet.metadata.row_group(index)
            stored = self._groups.read(index, present, encoded=encoded)
        if stored.num_rows != metadata.num_rows:
            message = f"{self.name}: row group {index} gives {stored.num_rows} rows, states {metadata.num_rows}"
            raise DamagedError(message, code="E034", member=self.name)
        arrays: list[Any] = []
        for column in requested:
            array = stored[column.name] if column.name in present else pa.nulls(stored.num_rows, column.type)
            if not column.nullable and array.null_count:
                message = f"{self.name}: column {column.name} holds nulls, which it may not"
                raise DamagedError(message, code="E036", member=self.name)
            arrays.append(array)
        if encoded:
            return pa.table(arrays, names=[c.name for c in requested])
        return pa.table(arrays, schema=pa.schema([c.field for c in requested]))

    def false_statistics(self, index: int, rows: pa.Table) -> str:
        """Return what a row group states of its columns and its rows belie, empty for nothing."""
        return false_statistics(self._parquet.metadata.row_group(index), rows)

    def prove(self) -> None:
        """Check all row groups for a library that reads them by itself, without these checks; once is enough.

        Raises DamagedError (E034) for what is over the limits, refers outside of a dictionary, or is no text. A page
        whose checksum is wrong is left to that library, which may never need it.
        """
        if self._proved:
            return
        for index in range(self._parquet.metadata.num_row_groups):
            with self._reporting(index):
                self._groups.check(index, self._present)
            for name in self._texts:
                with self._reporting(index), suppress(OSError):
                    self._groups.read(index, [name], encoded=False)
        self._proved = True

    @contextmanager
    def _reporting(self, index: int) -> Iterator[None]:
        try:
            yield
        except _UNREADABLE as error:
            message = f"{self.name}: row group {index} cannot be read: {error}"
            raise DamagedError(message, code="E034", member=self.name) from error

    def anticipate(self, ids: Sequence[str] | None) -> None:
        """Bring the row groups near that may hold one of the sorted ids; all with None."""
        groups = [group.index for group in self.row_groups() if ids is None or group.may_hold(ids)]
        with self._reading_footer():
            self._groups.anticipate(groups, self._present)

    def groups_where(self, expression: Any) -> list[int]:
        """Return the numbers of the row groups whose statistics do not exclude a pyarrow expression.

        Statistics of a double column leave NaN out (parts of format 1.0 have them): with an expression that may name
        such a column all row groups are returned.
        """
        import pyarrow.dataset as ds  # noqa: PLC0415 - takes a second

        if any(name in str(expression) for name in (*self._doubles_with_statistics(), _FIELD_BY_NUMBER)):
            return list(range(self._parquet.metadata.num_row_groups))
        fragment = ds.ParquetFileFormat().make_fragment(pa.PythonFile(self._file.reader(), mode="r"))
        return [group.id for group in fragment.subset(expression, schema=self.table.schema).row_groups]

    def _doubles_with_statistics(self) -> set[str]:
        """Return the names of the double columns with statistics in some row group."""
        metadata = self._parquet.metadata
        groups = (metadata.row_group(group) for group in range(metadata.num_row_groups))
        columns = (group.column(index) for group in groups for index in range(group.num_columns))
        return {column.path_in_schema for column in columns if column.physical_type == "DOUBLE" and column.is_stats_set}

    def groups(
        self, ids: Sequence[str] | None, columns: Sequence[str] | None = None, *, encoded: bool = False
    ) -> Iterator[pa.Table]:
        """Read the row groups that may hold one of the sorted ids; all with None. Rows are not filtered."""
        for group in self.row_groups():
            if ids is None or group.may_hold(ids):
                yield self.read(group.index, columns, encoded=encoded)
