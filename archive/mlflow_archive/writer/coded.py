"""Rows while they wait for the merge: a text that repeats (an id, a key) is kept once, and rows refer to it by number.

So they take half of the memory, and are sorted by comparing numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import takewhile
from math import prod
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from mlflow_archive.kinds import TABLES, Table, is_identity

_CODED: Final = pa.dictionary(pa.int32(), pa.string())
_MOST_PLACES: Final = 2**63


def coded(rows: pa.Table, table: Table) -> pa.Table:
    """Return rows with the texts of their key coded; in an identity table each key comes once, and none is."""
    for name in _coded_columns(table.name):
        index = rows.schema.get_field_index(name)
        if rows.schema.field(index).type != _CODED:
            field = rows.schema.field(index).with_type(_CODED)
            rows = rows.set_column(index, field, rows[name].dictionary_encode())
    return rows


def plain(rows: pa.Table, table: Table) -> pa.Table:
    """Return rows of the table's own schema."""
    return rows.cast(table.schema)


def without_unused(rows: pa.Table) -> pa.Table:
    """Return rows in one chunk whose coded columns know no text that does not occur."""
    rows = rows.unify_dictionaries().combine_chunks()
    for index, field in enumerate(rows.schema):
        if field.type == _CODED and rows.num_rows:
            rows = rows.set_column(index, field, _without_unused(rows.column(index).chunk(0)))
    return rows


def with_few_unused(rows: pa.Table) -> pa.Table:
    """Return rows whose coded columns know no more texts than there are rows: of a few of many, those that occur."""
    for index, field in enumerate(rows.schema):
        if field.type == _CODED and sum(len(chunk.dictionary) for chunk in rows.column(index).chunks) > rows.num_rows:
            return without_unused(rows)
    return rows


def sort_rows(rows: pa.Table, table: Table) -> pa.Table:
    """Sort rows, plain or coded, as the format has them and keep one of each key where keys are unique."""
    if rows.num_rows < 2:
        return rows
    rows = rows.unify_dictionaries().combine_chunks()
    # A column without any value decides nothing.
    names = [name for name in table.sort if rows[name].null_count < rows.num_rows]
    by_places = _sorted_by_places(rows, names)
    rows = _sorted(rows, names) if by_places is None else by_places
    return _distinct(rows, table) if table.unique else rows


def _sorted(rows: pa.Table, names: Sequence[str]) -> pa.Table:
    keys = pa.table({name: _ranks(rows[name]) for name in names})
    order = pc.sort_indices(keys, sort_keys=[(name, "ascending") for name in names])
    return pc.take(rows, order, boundscheck=False)


def _sorted_by_places(rows: pa.Table, names: Sequence[str]) -> pa.Table | None:
    """Sort rows by their first columns, which are coded, as one number; None where the others decide something.

    Of points they mostly do not: a source has those of a metric in the order in which they were logged. To sort by one
    number and look at the others takes a third of the time of sorting by all.
    """
    coded_names = list(takewhile(lambda name: rows[name].type == _CODED and not rows[name].null_count, names))
    places = _places([rows[name] for name in coded_names])
    if places is None:
        return None
    if not _all(pc.less_equal(places[:-1], places[1:])):
        order = pc.array_sort_indices(places)  # which leaves rows of one place in their order
        rows, places = pc.take(rows, order, boundscheck=False), pc.take(places, order, boundscheck=False)
    tied = pc.equal(places[:-1], places[1:])
    for name in names[len(coded_names) :]:
        values = _ranks(rows[name])
        before, after = values[:-1], values[1:]
        if not _all(pc.or_(pc.invert(tied), pc.fill_null(pc.less_equal(before, after), False))):
            return None  # also of NULL and NaN, which have a place, but compare with nothing
        tied = pc.and_(tied, pc.equal(before, after))
    return rows


def _places(columns: Sequence[pa.ChunkedArray]) -> pa.Array | None:
    """Return for each row a number that orders as these columns; None for none, and for too many texts."""
    sizes = [len(column.chunk(0).dictionary) for column in columns]
    if not columns or prod(sizes) >= _MOST_PLACES:
        return None
    places = _ranks(columns[0]).cast(pa.int64())
    for column, size in zip(columns[1:], sizes[1:], strict=True):
        places = pc.add(pc.multiply(places, size), _ranks(column))
    return places


def _all(values: pa.BooleanArray) -> bool:
    return pc.all(values).as_py() is True


@lru_cache
def _coded_columns(name: str) -> tuple[str, ...]:
    table = TABLES[name]
    if is_identity(table):
        return ()
    return tuple(name for name in table.sort if table.schema.field(name).type == pa.string())


def _without_unused(values: pa.DictionaryArray) -> pa.DictionaryArray:
    used = values.indices.dictionary_encode()
    if len(used.dictionary) == len(values.dictionary):
        return values
    return pa.DictionaryArray.from_arrays(used.indices, values.dictionary.take(used.dictionary))


def _ranks(values: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
    """Return what orders as the values do: of coded ones the rank of the text among all texts."""
    if values.type != _CODED:
        return values
    array = values.chunk(0)
    order = pc.sort_indices(array.dictionary)
    return pc.sort_indices(order).cast(pa.int32()).take(array.indices)


def _distinct(rows: pa.Table, table: Table) -> pa.Table:
    repeated = None
    for name in table.key:
        column = rows[name].combine_chunks()
        column = _numbers(column) if column.type == _CODED else column
        equal = pc.fill_null(pc.equal(column[1:], column[:-1]), False)
        repeated = equal if repeated is None else pc.and_(repeated, equal)
    keep = pa.concat_arrays([pa.array([True]), *pa.chunked_array(pc.invert(repeated)).chunks])
    return rows.filter(keep)


def _numbers(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return (column.chunk(0) if isinstance(column, pa.ChunkedArray) else column).indices
