"""Merge tables into their parts, several at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

from mlflow_archive.format.layout import part_name
from mlflow_archive.kinds import TABLES, Table
from mlflow_archive.storage.files import Files
from mlflow_archive.writer.coded import plain
from mlflow_archive.writer.fewer_runs import FewerRuns
from mlflow_archive.writer.merge import Piece, Slice, in_parts, merged, slices
from mlflow_archive.writer.parts import WrittenPart, part_writer

PART_BYTES: Final = 256 * 1024 * 1024
LARGE_BYTES: Final = 8 * 1024 * 1024
"""A table of this size becomes several parts, so that they can be written at once."""
_LARGE_AT_A_TIME: Final = 2
_SMALL_AT_A_TIME: Final = 1
"""Each task holds a slice and its sorted copy: four small ones at a time took 40 MiB more, and little less time."""
_SMALL_BYTES: Final = 512 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    table: Table
    number: int
    slices: Sequence[Slice]

    @property
    def large(self) -> bool:
        """Whether the part deserves a thread of its own."""
        return sum(part_slice.stored for part_slice in self.slices) >= _SMALL_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class PartsWriter:
    """Writes the parts of one export below ``root``, with up to ``jobs`` threads where parts are large.

    They are ``durable`` unless they are copied to where they stay. With ``fewer_runs`` a merge has a bounded number of
    runs open; without it, it reads pieces again where that would be too many.
    """

    files: Files
    root: Path
    export: int
    level: int
    jobs: int
    durable: bool = True
    fewer_runs: FewerRuns | None = None

    def write(self, pieces: Mapping[str, Sequence[Piece]]) -> Iterator[tuple[Table, str, WrittenPart]]:
        """Merge pieces by table into parts of about PART_BYTES; yield these with their names, by table and number."""
        with ExitStack() as stack:
            large = stack.enter_context(ThreadPoolExecutor(min(self.jobs, _LARGE_AT_A_TIME)))
            tasks = list(self._tasks(pieces, large))
            self.files.make_directories(self.root / "tables", dict.fromkeys(task.table.name for task in tasks))
            small = large if self.jobs == 1 else stack.enter_context(ThreadPoolExecutor(_SMALL_AT_A_TIME))
            futures: list[Future[WrittenPart | None]] = []
            try:
                futures += [(large if task.large else small).submit(self._write, task) for task in tasks]
                for task, future in zip(tasks, futures, strict=True):
                    if (written := future.result()) is not None:
                        yield task.table, self._name(task), written
            except BaseException:
                for future in futures:
                    future.cancel()
                raise

    def _tasks(self, pieces: Mapping[str, Sequence[Piece]], pool: Executor) -> Iterator[_Task]:
        for name, table in TABLES.items():
            if table_pieces := pieces.get(name):
                at_least = min(self.jobs, _LARGE_AT_A_TIME) if sum(p.stored for p in table_pieces) >= LARGE_BYTES else 1
                fewer = table_pieces if self.fewer_runs is None else self.fewer_runs.of(table_pieces, table, pool)
                for number, group in enumerate(in_parts(slices(table_pieces, lying_in=fewer), PART_BYTES, at_least)):
                    yield _Task(table=table, number=number, slices=group)

    def _name(self, task: _Task) -> str:
        return part_name(task.table.name, self.export, task.number)

    def _write(self, task: _Task) -> WrittenPart | None:
        """Write a part; none where all rows are filtered away."""
        tables = (rows for rows in merged(task.slices, task.table) if rows.num_rows)
        first = next(tables, None)
        if first is None:
            return None
        path = self.root / self._name(task)
        with part_writer(self.files, path, task.table, level=self.level, durable=self.durable) as part:
            for rows in chain([first], tables):
                part.write(plain(rows, task.table))
            return part.finish()
