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
import pyarrow.parquet as pq

from mlflow_archive.format.manifest import Member
from mlflow_archive.kinds import Table
from mlflow_archive.storage.files import Files, OutputFile

MAX_GROUP_ROWS: Final = 128 * 1024
MAX_GROUP_BYTES: Final = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenPart:
    """A part on disk. Keys are of the first key column."""

    size: int
    sha256: str
    rows: int
    key_min: str
    key_max: str
    footer_sha256: str

    def member(self, path: str, table: Table, export: int) -> Member:
        """Return its entry in the manifest."""
        return Member(
            path=path,
            kind="table",
            export=export,
            size=self.size,
            sha256=self.sha256,
            table=table.name,
            rows=self.rows,
            key_min=self.key_min,
            key_max=self.key_max,
            footer_sha256=self.footer_sha256,
        )


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

    def __init__(self, output: OutputFile, table: Table, *, level: int, durable: bool) -> None:
        self._output, self._table, self._durable = output, table, durable
        self._sink = _Hashing(output)
        self._rows = 0
        self._min: str | None = None
        self._max: str | None = None
        strings = [c.name for c in table.columns if c.type == pa.string() or c.name == "timestamp"]
        # Statistics leave NaN out: readers that believe them skip row groups which hold some.
        with_statistics = [c.name for c in table.columns if c.type != pa.float64()]
        sorting = [pq.SortingColumn(table.column_names.index(name)) for name in table.key]
        self._writer = pq.ParquetWriter(
            pa.PythonFile(self._sink, mode="w"),
            table.schema,
            version="2.6",
            compression="zstd",
            compression_level=level,
            use_dictionary=strings,
            write_statistics=with_statistics,
            column_encoding=_encodings(table) or None,
            write_page_checksum=True,
            store_schema=False,
            sorting_columns=sorting,
        )

    @property
    def size(self) -> int:
        """How many bytes are written so far."""
        return self._output.size

    def write(self, rows: pa.Table) -> None:
        """Append rows in row groups of at most 128 Ki rows and about 32 MiB, or one row where that is larger."""
        if not rows.num_rows:
            return
        if self._table.key:
            keys = rows[self._table.key[0]]
            first, last = keys[0].as_py(), keys[-1].as_py()
            self._min = first if self._min is None else min(self._min, first)
            self._max = last if self._max is None else max(self._max, last)
        self._rows += rows.num_rows
        for group in row_groups(rows):
            self._writer.write_table(group, row_group_size=group.num_rows)

    def abandon(self) -> None:
        """Let the Parquet library end without another byte written; nothing after ``finish``."""
        self._sink.abandoned = True
        self._writer.close()

    def finish(self) -> WrittenPart:
        """Write the footer; the file is whole then, and durable if it is to be."""
        self._writer.close()
        if self._durable:
            self._output.sync()
        else:
            self._output.flush()
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


def row_groups(rows: pa.Table) -> Iterator[pa.Table]:
    """Yield rows, at least one at a time, as row groups that any reader takes however well they compress."""
    per_row = max(1, rows.nbytes // max(1, rows.num_rows))
    at_most = int(min(MAX_GROUP_ROWS, max(1, MAX_GROUP_BYTES // per_row)))
    for at in range(0, rows.num_rows, at_most):
        group = rows.slice(at, at_most)
        if group.num_rows > 1 and group.nbytes > 2 * MAX_GROUP_BYTES:  # few of its rows are much larger than the others
            half = group.num_rows // 2
            yield from row_groups(group.slice(0, half))
            yield from row_groups(group.slice(half))
        else:
            yield group


@contextmanager
def part_writer(files: Files, path: Path, table: Table, *, level: int, durable: bool = True) -> Iterator[PartWriter]:
    """Open a part for writing; after ``finish`` it appears under its name when the block ends without an error.

    One that need not be ``durable``, as it is copied to where it stays, has that name from the beginning.
    """
    written = path.with_name(path.name + ".tmp") if durable else path
    files.make_directory(path.parent)
    with files.create(written) as output:
        part = PartWriter(output, table, level=level, durable=durable)
        try:
            yield part
        finally:
            part.abandon()
    if durable:
        files.publish(written, path)


def _encodings(table: Table) -> dict[str, str]:
    encodings = {c.name: "BYTE_STREAM_SPLIT" for c in table.columns if c.byte_stream_split}
    return encodings | {c.name: "DELTA_BINARY_PACKED" for c in table.columns if c.delta}
