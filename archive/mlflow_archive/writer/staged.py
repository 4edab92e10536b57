"""The rows of a segment on disk: blocks of sorted rows as Arrow IPC; the journal says where each lies.

Not Parquet: a block is written once and read once, and its encodings took more time than all else of an export.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from mlflow_archive.errors import TargetError
from mlflow_archive.kinds import Table
from mlflow_archive.storage.files import OutputFile
from mlflow_archive.writer.coded import coded, plain, without_unused

# Small, as a merge reads from every sorted run at least the block in which a slice begins.
BLOCK_BYTES: Final = 1024 * 1024
_MIN_ROWS: Final = 256
_WRITING: Final = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
_READING: Final = pa.ipc.IpcReadOptions(use_threads=False)

Keep = Callable[[pa.Table], pa.Table]


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedBlock:
    """Some sorted rows of a table: where they lie in their file, and the range of their first key column.

    The blocks of one ``run`` of sorted rows follow each other. ``nbytes`` is the size in memory.
    """

    table: str
    run: int
    low: str
    high: str
    nbytes: int
    offset: int
    size: int
    crc: int

    def to_json(self) -> list[Any]:
        return list(astuple(self))

    @classmethod
    def from_json(cls, values: list[Any]) -> StagedBlock:
        return cls(**dict(zip(cls.__slots__, values, strict=True)))


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedFile:
    """A file of blocks. ``segment`` counts the journal lines of an interrupted export from 1; else 0."""

    path: Path
    blocks: tuple[StagedBlock, ...]
    segment: int = 0

    @property
    def size(self) -> int:
        """Where the last block ends, in bytes; what lies behind was not finished."""
        return max((block.offset + block.size for block in self.blocks), default=0)


class StagedWriter:
    """Writes blocks, one behind the other, into a file that it closes."""

    def __init__(self, output: OutputFile) -> None:
        self._output = output
        self._blocks: list[StagedBlock] = []
        self._runs = 0

    def add(self, rows: pa.Table, table: Table) -> None:
        """Append sorted rows, plain or coded, as one run of blocks."""
        self.add_run([rows], table)

    def add_run(self, tables: Iterable[pa.Table], table: Table) -> None:
        """Append rows that are sorted from the first table to the last as one run of blocks."""
        self._runs += 1
        for rows in tables:
            per_row = max(1, rows.nbytes // max(1, rows.num_rows))
            size = max(_MIN_ROWS, BLOCK_BYTES // per_row)
            for at in range(0, rows.num_rows, size):
                self._write(without_unused(rows.slice(at, size)), table)

    def _write(self, rows: pa.Table, table: Table) -> None:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, rows.schema, options=_WRITING) as writer:
            writer.write_table(rows)
        data = memoryview(sink.getvalue())
        keys = rows[table.key[0]]
        block = StagedBlock(
            table=table.name,
            run=self._runs,
            low=keys[0].as_py(),
            high=keys[-1].as_py(),
            nbytes=rows.nbytes,
            offset=self._output.size,
            size=len(data),
            crc=zlib.crc32(data),
        )
        self._output.write(data)
        self._blocks.append(block)

    def finish(self, *, durable: bool) -> StagedFile:
        """Close the file and say what is in it; with ``durable`` its bytes, not yet its name, are on the medium."""
        if durable:
            self._output.sync()
        self._output.close()
        return StagedFile(path=self._output.path, blocks=tuple(self._blocks))

    def close(self) -> None:
        """Let go of the file; a second call does nothing."""
        self._output.close()


def read_block(path: Path, block: StagedBlock, table: Table, keep: Keep | None = None) -> pa.Table:
    """Return the rows of a block; ``keep`` filters them, as plain rows. Raises TargetError if they are damaged."""
    with path.open("rb") as file:
        file.seek(block.offset)
        data = file.read(block.size)
    if len(data) != block.size or zlib.crc32(data) != block.crc:
        message = f"{path} is damaged; remove the folder {path.parent} and run the same command again"
        raise TargetError(message)
    with pa.ipc.open_stream(pa.py_buffer(data), options=_READING) as reader:
        rows = reader.read_all()
    return rows if keep is None else coded(keep(plain(rows, table)), table)
