"""Bring sorted runs together before a merge that would have more of them open than its memory is for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Final

from mlflow_archive.kinds import Table
from mlflow_archive.storage.files import Files
from mlflow_archive.writer import merge
from mlflow_archive.writer.merge import Piece, merged, slices, staged_piece
from mlflow_archive.writer.staged import StagedWriter

_LEAST_BYTES: Final = 64 * 1024
"""A piece that is open counts as so much at least: each costs some time for every slice, however small it is."""


@dataclass(frozen=True, slots=True)
class FewerRuns:
    """Merges some runs into one, in files at new paths that ``next_path`` gives."""

    files: Files
    next_path: Callable[[], Path]

    def of(self, pieces: Sequence[Piece], table: Table, pool: Executor) -> Sequence[Piece]:
        """Return pieces with the same rows, of which slices have no more than OPEN_BYTES open; the same if they had.

        A row is written once for each such level: of n runs, of which w fit, the logarithm of n to the base w.
        """
        while _widest(pieces) > merge.OPEN_BYTES and (groups := list(_groups(pieces))):
            merged_ids = {id(piece) for group in groups for piece in group}
            runs = pool.map(partial(self._one_run, table), groups)
            pieces = [*(piece for piece in pieces if id(piece) not in merged_ids), *chain.from_iterable(runs)]
        return pieces

    def _one_run(self, table: Table, pieces: Sequence[Piece]) -> list[Piece]:
        with closing(StagedWriter(self.files.create(self.next_path()))) as writer:
            writer.add_run(merged(list(slices(pieces)), table), table)
            file = writer.finish(durable=False)
        return [staged_piece(file.path, block, table) for block in file.blocks]


def _weight(piece: Piece) -> int:
    return max(piece.open_bytes, _LEAST_BYTES)


def _widest(pieces: Sequence[Piece]) -> int:
    """Return how much a merge of these pieces would have open, where it is most."""
    return max((sum(map(_weight, merge_slice.pieces)) for merge_slice in slices(pieces)), default=0)


def _groups(pieces: Sequence[Piece]) -> Iterator[list[Piece]]:
    """Yield the pieces of runs to be made one, as few as it takes; of each run one piece is open at a time."""
    runs: dict[object, list[Piece]] = {}
    for piece in pieces:
        if piece.run is not None:
            runs.setdefault(piece.run, []).append(piece)
    weights = {run: max(map(_weight, its_pieces)) for run, its_pieces in runs.items()}
    too_much = sum(weights.values()) - merge.OPEN_BYTES
    group: list[object] = []
    for run, weight in weights.items():
        if too_much <= 0 and not group:
            return
        too_much -= weight if group else 0  # the first is for the run that they become
        group.append(run)
        if len(group) > 1 and (too_much <= 0 or sum(map(weights.__getitem__, group)) >= merge.OPEN_BYTES):
            yield [piece for run in group for piece in runs[run]]
            group = []
    if len(group) > 1:
        yield [piece for run in group for piece in runs[run]]
