"""Rows while they wait for the merge: a text that repeats (an id, a key) is kept once, and rows refer to it by number.

So they take half of the memory, and are sorted by comparing numbers.
"""

from __future__ import annotations

from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc

from mlflow_archive.kinds import TABLES, Table, is_identity

_CODED = pa.dictionary(pa.int32(), pa.string())


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
    keys = {name: _ranks(rows[name]) for name in table.sort if rows[name].null_count < rows.num_rows}
    order = pc.sort_indices(pa.table(keys), sort_keys=[(name, "ascending") for name in keys])
    rows = rows.take(order)
    return _distinct(rows, table) if table.unique else rows


@lru_cache
def _coded_columns(name: str) -> tuple[str, ...]:
    table = TABLES[name]
    if is_identity(table):
        return ()
    return tuple(name for name in table.sort if table.schema.field(name).type == pa.string())


def _without_unused(values: pa.DictionaryArray) -> pa.DictionaryArray:
    used = pc.drop_null(pc.unique(values.indices))
    if len(used) == len(values.dictionary):
        return values
    numbers = pc.index_in(values.indices, value_set=used)
    return pa.DictionaryArray.from_arrays(numbers, values.dictionary.take(used))


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
