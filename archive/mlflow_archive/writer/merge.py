"""Merge what many threads staged in any order into rows sorted over the whole export, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from mlflow_archive.format.tables import Table
from mlflow_archive.writer.coded import sort_rows
from mlflow_archive.writer.staged import Block, Keep, read_block

SLICE_BYTES: Final = 8 * 1024 * 1024  # of coded rows; plain ones may take twice as much


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Some sorted rows of a table with the range of their first key column; ``load`` reads them.

    Pieces of one ``run`` of sorted rows follow each other by ``number``.
    """

    low: str
    high: str
    nbytes: int
    load: Callable[[], pa.Table]
    run: object = None
    number: int = 0


def memory_piece(rows: pa.Table, table: Table) -> Piece:
    """Return a piece over sorted rows in memory."""
    keys = rows[table.key[0]]
    return Piece(low=keys[0].as_py(), high=keys[-1].as_py(), nbytes=rows.nbytes, load=lambda: rows)


def staged_piece(path: Path, block: Block, table: Table, keep: Keep | None = None) -> Piece:
    """Return the piece that is a block of a staged file; ``keep`` filters rows when they are loaded."""
    return Piece(
        low=block.low,
        high=block.high,
        nbytes=block.nbytes,
        load=partial(read_block, path, block, table, keep),
        run=(str(path), block.run),
        number=block.offset,
    )


def merged(pieces: Sequence[Piece], table: Table, *, slice_bytes: int = SLICE_BYTES) -> Iterator[pa.Table]:
    """Yield all rows in order, in tables of about ``slice_bytes``.

    Order is over the whole first key column. One entity with more rows than fit in a slice many times over is
    given out piece by piece, each sorted: inside that entity order is then as it came from the source.
    """
    ordered = sorted(pieces, key=lambda piece: (piece.low, piece.high, str(piece.run), piece.number))
    bounds = _boundaries(ordered, slice_bytes)
    highs: list[str | None] = [*bounds[1:], None]
    for low, high in zip(bounds, highs, strict=False):
        hit = [piece for piece in ordered if piece.high >= low and (high is None or piece.low < high)]
        alone = [piece for piece in hit if piece.low == piece.high == low]
        if not table.unique and sum(piece.nbytes for piece in alone) > 4 * slice_bytes:
            for piece in hit:
                rows = piece.load()
                yield from _sorted(rows.filter(pc.equal(rows[table.key[0]], low)), table)
            hit = [piece for piece in hit if piece.high > low]
            found = _between(hit, table, low, high)
            yield from _sorted(
                _concat([rows.filter(pc.greater(rows[table.key[0]], low)) for rows in found], table), table
            )
        elif _in_order(hit):
            rows = _concat(_between(hit, table, low, high), table)
            if rows.num_rows:
                yield rows
        else:
            yield from _sorted(_concat(_between(hit, table, low, high), table), table)


def _in_order(pieces: Sequence[Piece]) -> bool:
    """Say whether the rows of these pieces, one behind the other, are sorted and no key is twice in them."""
    return all(
        before.high < after.low or (before.run is not None and before.run == after.run and before.number < after.number)
        for before, after in pairwise(pieces)
    )


def ahead(slices: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Yield the same tables, the next one being made meanwhile in a thread of its own."""
    with ThreadPoolExecutor(1, thread_name_prefix="merge") as pool:
        following = pool.submit(next, slices, None)
        while (rows := following.result()) is not None:
            following = pool.submit(next, slices, None)
            yield rows


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


def _between(hit: Sequence[Piece], table: Table, low: str, high: str | None) -> list[pa.Table]:
    found = []
    for piece in hit:
        rows = piece.load()
        keys = rows[table.key[0]]
        if piece.low < low:
            rows = rows.filter(pc.greater_equal(keys, low))
            keys = rows[table.key[0]]
        if high is not None and piece.high >= high:
            rows = rows.filter(pc.less(keys, high))
        found.append(rows)
    return found
