"""Write table parts: the encodings of the format, page checksums on, hashed while written."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mlflow_archive.format.tables import Table
from mlflow_archive.storage.files import Files, OutputFile

MAX_GROUP_ROWS: Final = 128 * 1024
MAX_GROUP_BYTES: Final = 32 * 1024 * 1024
# Small, as a merge reads from every staged part at least the row group in which a slice begins.
STAGED_GROUP_BYTES: Final = 1024 * 1024
_MIN_GROUP_ROWS: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenPart:
    """A part on disk. Keys are of the first key column."""

    size: int
    sha256: str
    rows: int
    key_min: str
    key_max: str
    footer_sha256: str


class _Hashing:
    """What pyarrow writes to: passes bytes on and hashes them."""

    def __init__(self, output: OutputFile) -> None:
        self._output = output
        self.digest = hashlib.sha256()
        self.closed = False
        self.abandoned = False

    def write(self, data: bytes) -> int:
        if self.abandoned:
            return len(data)
        self.digest.update(data)
        return self._output.write(data)

    def tell(self) -> int:
        return self._output.tell()

    def flush(self) -> None:
        self._output.flush()

    def close(self) -> None:
        self.closed = True


class PartWriter:
    """A part being written under a temporary name; rows come sorted. See :func:`part_writer`."""

    def __init__(self, output: OutputFile, table: Table, *, level: int, staged: bool) -> None:
        self._output, self._table = output, table
        self._group_bytes = STAGED_GROUP_BYTES if staged else MAX_GROUP_BYTES
        self._sink = _Hashing(output)
        self._rows = 0
        self._min: str | None = None
        self._max: str | None = None
        strings = [c.name for c in table.columns if c.type == pa.string() or c.name == "timestamp"]
        encodings = {c.name: "BYTE_STREAM_SPLIT" for c in table.columns if c.byte_stream_split}
        encodings |= {c.name: "DELTA_BINARY_PACKED" for c in table.columns if c.delta}
        sorting = [pq.SortingColumn(table.column_names.index(name)) for name in table.key]
        self._writer = pq.ParquetWriter(
            pa.PythonFile(self._sink, mode="w"),
            table.schema,
            version="2.6",
            compression="zstd",
            compression_level=1 if staged else level,
            # Staged parts are plain, so that the sizes in their footers are those in memory.
            use_dictionary=False if staged else strings,
            column_encoding=None if staged else (encodings or None),
            write_page_checksum=True,
            store_schema=False,
            sorting_columns=None if staged else sorting,
        )

    @property
    def size(self) -> int:
        return self._output.size

    def write(self, rows: pa.Table) -> None:
        """Append rows in row groups of at most 128 Ki rows and about 32 MiB."""
        if not rows.num_rows:
            return
        keys = rows[self._table.key[0]]
        first, last = keys[0].as_py(), keys[-1].as_py()
        self._min = first if self._min is None else min(self._min, first)
        self._max = last if self._max is None else max(self._max, last)
        self._rows += rows.num_rows
        self._writer.write_table(rows, row_group_size=group_rows(rows, self._group_bytes))

    def abandon(self) -> None:
        """Let the Parquet library end without another byte written; nothing after ``finish``."""
        self._sink.abandoned = True
        self._writer.close()

    def finish(self) -> WrittenPart:
        """Write the footer and make the file durable."""
        self._writer.close()
        self._output.sync()
        return WrittenPart(
            size=self._output.size,
            sha256=self._sink.digest.hexdigest(),
            rows=self._rows,
            key_min=self._min or "",
            key_max=self._max or "",
            footer_sha256=_footer_sha256(self._output.path),
        )


def _footer_sha256(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(-8, os.SEEK_END)
        file.seek(-8 - int.from_bytes(file.read(4), "little"), os.SEEK_END)
        return hashlib.sha256(file.read()).hexdigest()


def group_rows(rows: pa.Table, group_bytes: int = MAX_GROUP_BYTES) -> int:
    """Return how many of these rows make a row group of about ``group_bytes``."""
    per_row = max(1, rows.nbytes // max(1, rows.num_rows))
    return int(min(MAX_GROUP_ROWS, max(_MIN_GROUP_ROWS, group_bytes // per_row)))


@contextmanager
def part_writer(files: Files, path: Path, table: Table, *, level: int, staged: bool = False) -> Iterator[PartWriter]:
    """Open a part for writing; after ``finish`` it appears under its name when the block ends without an error."""
    temporary = path.with_name(path.name + ".tmp")
    files.make_directory(path.parent)
    with files.create(temporary) as output:
        part = PartWriter(output, table, level=level, staged=staged)
        try:
            yield part
        finally:
            part.abandon()
    files.publish(temporary, path)


def sort_rows(rows: pa.Table, table: Table) -> pa.Table:
    """Sort rows as the format has them and keep one of each key where keys are unique."""
    if rows.num_rows > 1:
        rows = rows.take(pc.sort_indices(rows, sort_keys=[(name, "ascending") for name in table.sort]))
    return _distinct(rows, table) if table.unique else rows


def _distinct(rows: pa.Table, table: Table) -> pa.Table:
    if rows.num_rows < 2:
        return rows
    same = None
    for name in table.key:
        column = rows[name].combine_chunks()
        equal = pc.fill_null(pc.equal(column[1:], column[:-1]), False)
        same = equal if same is None else pc.and_(same, equal)
    keep = pa.concat_arrays([pa.array([True]), *pa.chunked_array(pc.invert(same)).chunks])
    return rows.filter(keep)
