"""Rows and their neighbours: whether they are sorted, and the first or last of those that stand together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

_TRUE: Final = pa.array([True])


def are_ascending(rows: pa.Table, names: Sequence[str]) -> bool:
    """Return whether each row is greater than the one before it in some columns, which hold no null: none are equal."""
    tied = pa.repeat(True, max(0, rows.num_rows - 1))
    for name in names:
        column = _array(rows[name])
        before, behind = column[:-1], column[1:]
        moved = pc.and_(tied, pc.not_equal(before, behind))
        if pc.any(pc.less(behind.filter(moved), before.filter(moved))).as_py():
            return False
        tied = pc.and_not(tied, moved)
    return not pc.any(tied).as_py()


def first_of_each(rows: pa.Table, names: Sequence[str]) -> pa.Table:
    """Keep of adjacent rows that are equal in some columns, which hold no null, the first."""
    return rows.filter(pa.concat_arrays([_TRUE, _different_from_next(rows, names)])[: rows.num_rows])


def last_of_each(rows: pa.Table, names: Sequence[str]) -> pa.Table:
    """Keep of adjacent rows that are equal in some columns, which hold no null, the last."""
    return rows.filter(pa.concat_arrays([_different_from_next(rows, names), _TRUE])[: rows.num_rows])


def _different_from_next(rows: pa.Table, names: Sequence[str]) -> pa.Array:
    """Return for each row but the last whether it differs from the next in one of some columns."""
    different = pa.repeat(False, max(0, rows.num_rows - 1))
    for name in names:
        column = _array(rows[name])
        different = pc.or_(different, pc.not_equal(column[:-1], column[1:]))
    return different


def _array(values: pa.ChunkedArray) -> pa.Array:
    array = values.combine_chunks()
    return pa.concat_arrays(array.chunks) if isinstance(array, pa.ChunkedArray) else array
