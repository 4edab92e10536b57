"""Whether what a row group states of its columns is true: readers leave row groups out by these statistics."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


def false_statistics(metadata: Any, rows: pa.Table) -> str:
    """Return the first statement of a row group (pyarrow's RowGroupMetaData) that its rows belie; empty for none.

    Those of columns of type double are not looked at: nobody goes by them (spec/format.md, section 7).
    """
    for number in range(metadata.num_columns):
        chunk = metadata.column(number)
        name = chunk.path_in_schema
        if name in rows.column_names and chunk.is_stats_set and (found := _belied(chunk.statistics, rows[name])):
            return f"column {name} {found}"
    return ""


def _belied(stated: Any, column: pa.ChunkedArray) -> str:
    if stated.has_null_count and stated.null_count != column.null_count:
        return f"states {stated.null_count} nulls and has {column.null_count}"
    if not stated.has_min_max or not (pa.types.is_string(column.type) or pa.types.is_integer(_plain(column).type)):
        return ""
    least, greatest = (_raw(value) for value in pc.min_max(_plain(column)).values())
    if least is None or (stated.min_raw <= least and greatest <= stated.max_raw):
        return ""
    return f"states values from {_short(stated.min_raw)} to {_short(stated.max_raw)} and has others"


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column


def _raw(value: pa.Scalar) -> Any:
    plain = value.as_py()
    return plain.encode() if isinstance(plain, str) else plain


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
