"""Merge what many threads staged in any order into rows sorted over the whole export, in bounded memory.

The rows of a slice come from every sorted run that reaches into it. What a piece has for later slices stays open, so
that each is loaded once; where too many would be open at a time, runs are brought together before (``fewer_runs``).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Final

import pyarrow as pa

from mlflow_archive.kinds import Table
from mlflow_archive.writer.coded import sort_rows, with_few_unused
from mlflow_archive.writer.staged import Keep, StagedBlock, read_block

SLICE_BYTES: Final = 4 * 1024 * 1024  # of coded rows; plain ones may take twice as much
OPEN_BYTES: Final = 128 * 1024 * 1024
"""So much of pieces stays open in one merge; what is beyond is loaded again for the next slice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Some sorted rows of a table with the range of their first key column; ``load`` reads them.

    Pieces of one ``run`` of sorted rows follow each other by ``number``; what is of none is in memory anyway.
    ``stored`` is about what they take in a part.
    """

    low: str
    high: str
    nbytes: int
    stored: int
    load: Callable[[], pa.Table]
    run: object = None
    number: int = 0

    @property
    def open_bytes(self) -> int:
        """How much memory it takes while it is open, beside what it has anyway."""
        return 0 if self.run is None else self.nbytes


def memory_piece(rows: pa.Table, table: Table) -> Piece:
    """Return a piece over sorted rows in memory."""
    keys = rows[table.key[0]]
    return Piece(
        low=keys[0].as_py(), high=keys[-1].as_py(), nbytes=rows.nbytes, stored=rows.nbytes // 4, load=lambda: rows
    )


def staged_piece(path: Path, block: StagedBlock, table: Table, keep: Keep | None = None) -> Piece:
    """Return the piece that is a block of a staged file; ``keep`` filters rows when they are loaded."""
    return Piece(
        low=block.low,
        high=block.high,
        nbytes=block.nbytes,
        stored=block.size,
        load=partial(read_block, path, block, table, keep),
        run=(str(path), block.run),
        number=block.offset,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """All rows of a table whose first key lies from ``low`` to below ``high`` (None: to the end).

    ``pieces`` hold them, and others; ``stored`` is about what the rows take in a part.
    """

    low: str
    high: str | None
    pieces: tuple[Piece, ...]
    stored: int


def slices(
    pieces: Sequence[Piece], slice_bytes: int = SLICE_BYTES, *, lying_in: Sequence[Piece] | None = None
) -> Iterator[Slice]:
    """Cut the key range so that each slice begins with about ``slice_bytes`` of pieces, in ascending order.

    Where the same rows are ``lying_in`` other pieces by now, slices have those, and are cut where they would have been.
    """
    ordered = _ordered(pieces)
    bounds = _boundaries(ordered, slice_bytes)
    reaching = _reaching(ordered if lying_in is None else _ordered(lying_in), bounds)
    position = 0
    for low, high, hit in zip(bounds, [*bounds[1:], None], reaching, strict=False):  # of no pieces there are no bounds
        begun = position
        while position < len(ordered) and (high is None or ordered[position].low < high):
            position += 1
        stored = sum(piece.stored for piece in ordered[begun:position])
        yield Slice(low=low, high=high, pieces=hit, stored=stored)


def _ordered(pieces: Sequence[Piece]) -> list[Piece]:
    return sorted(pieces, key=lambda piece: (piece.low, piece.high, str(piece.run), piece.number))


def _reaching(ordered: Sequence[Piece], bounds: Sequence[str]) -> Iterator[tuple[Piece, ...]]:
    """Yield, of each slice, the pieces that reach into it."""
    lows = [piece.low for piece in ordered]
    reaching: list[Piece] = []
    position = 0
    for low, high in zip(bounds, [*bounds[1:], None], strict=False):
        end = len(lows) if high is None else bisect_left(lows, high)
        reaching = [piece for piece in (*reaching, *ordered[position:end]) if piece.high >= low]
        position = end
        yield tuple(reaching)


def in_parts(merge_slices: Iterator[Slice], part_bytes: int, at_least: int = 1) -> list[list[Slice]]:
    """Group slices into parts of about ``part_bytes``, or smaller ones where that makes less than ``at_least``."""
    every = list(merge_slices)
    limit = min(part_bytes, sum(merge_slice.stored for merge_slice in every) // at_least)
    parts: list[list[Slice]] = []
    filled = 0
    for merge_slice in every:
        if not parts or filled + merge_slice.stored // 2 > limit:
            parts.append([])
            filled = 0
        parts[-1].append(merge_slice)
        filled += merge_slice.stored
    return parts


def merged(merge_slices: Sequence[Slice], table: Table, *, slice_bytes: int = SLICE_BYTES) -> Iterator[pa.Table]:
    """Yield all rows of slices in order, in tables of about ``slice_bytes``.

    Order is over the whole first key column. One entity with more rows than fit in a slice many times over is
    given out piece by piece, each sorted: inside that entity order is then as it came from the source.
    """
    opened = _Opened(table)
    for merge_slice in merge_slices:
        yield from _merged(merge_slice, opened, table, slice_bytes)


class _Opened:
    """The pieces of one merge: what each has for later slices stays, up to OPEN_BYTES."""

    def __init__(self, table: Table) -> None:
        self._key = table.key[0]
        self._remaining: dict[int, pa.Table] = {}
        self._open_bytes = 0

    def rows(self, piece: Piece, low: str, high: str | None) -> pa.Table:
        """Return the rows of a piece from ``low`` to below ``high`` (None: to the end); those before are not wanted."""
        rows = self._remaining.pop(id(piece), None)
        if rows is not None:
            self._open_bytes -= piece.open_bytes
        else:
            rows = piece.load()
            if piece.low < low:
                rows = rows.slice(self._first(rows, low))
        if high is None or piece.high < high:
            return rows
        end = self._first(rows, high)
        if self._open_bytes + piece.open_bytes <= OPEN_BYTES:
            self._open_bytes += piece.open_bytes
            self._remaining[id(piece)] = rows.slice(end)
        return rows.slice(0, end)

    def _first(self, rows: pa.Table, key: str) -> int:
        """Return the number of the first row that is not before a key."""
        keys = rows[self._key]
        return bisect_left(range(rows.num_rows), key, key=lambda at: keys[at].as_py())

    def between(self, pieces: Sequence[Piece], low: str, high: str | None) -> list[pa.Table]:
        """Return such rows of several pieces, without those that have none."""
        tables = (self.rows(piece, low, high) for piece in pieces)
        return [with_few_unused(rows) for rows in tables if rows.num_rows]


def _merged(merge_slice: Slice, opened: _Opened, table: Table, slice_bytes: int) -> Iterator[pa.Table]:
    low, high, hit = merge_slice.low, merge_slice.high, merge_slice.pieces
    alone = [piece for piece in hit if piece.low == piece.high == low]
    if not table.unique and sum(piece.nbytes for piece in alone) > 4 * slice_bytes:
        behind = low + "\0"  # no key lies between the two
        for piece in hit:
            yield from _sorted(opened.rows(piece, low, behind), table)
        rest = opened.between([piece for piece in hit if piece.high > low], behind, high)
        yield from _sorted(_concat(rest, table), table)
    elif _in_order(hit):
        rows = _concat(opened.between(hit, low, high), table)
        if rows.num_rows:
            yield rows
    else:
        yield from _sorted(_concat(opened.between(hit, low, high), table), table)


def _in_order(pieces: Sequence[Piece]) -> bool:
    """Return whether the rows of these pieces, one behind the other, are sorted and no key is twice in them."""
    return all(
        before.high < after.low or (before.run is not None and before.run == after.run and before.number < after.number)
        for before, after in pairwise(pieces)
    )


def _concat(tables: Sequence[pa.Table], table: Table) -> pa.Table:
    return pa.concat_tables(tables) if tables else table.schema.empty_table()


def _sorted(rows: pa.Table, table: Table) -> Iterator[pa.Table]:
    if rows.num_rows:
        yield sort_rows(rows, table)


def _boundaries(ordered: Sequence[Piece], slice_bytes: int) -> list[str]:
    """Cut the key range so that each slice begins with about ``slice_bytes`` of pieces."""
    bounds: list[str] = []
    filled = 0
    for piece in ordered:
        if not bounds or (filled >= slice_bytes and piece.low > bounds[-1]):
            bounds.append(piece.low)
            filled = 0
        filled += piece.nbytes
    return bounds
