"""From rows of an archive to rows of the database: the map of the backend, read backwards."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from mlflow_archive.kinds import TABLES, TIMESTAMP
from mlflow_archive.mlflow_database.mapping import TableMap
from mlflow_archive.reader.adjacent import are_ascending, first_of_each
from mlflow_archive.sinks.restore.database import TargetColumn

_LARGEST: Final = 1.7976931348623157e308
_KEY_VALUE: Final = "value in the key"
_KEY_NAN: Final = "is_nan in the key"


def stored_columns(table: TableMap) -> dict[str, str]:
    """Return archive column by database column, for those that lie in the table itself."""
    return {place: name for name, place in table.fields.items() if "." not in place}


def to_stored(
    rows: pa.Table, table: TableMap, columns: Mapping[str, TargetColumn], extra: Mapping[str, Any]
) -> pa.Table:
    """Return rows of the database for rows of an archive.

    ``extra`` has values, or arrays, of further columns; columns of which nothing is known are left to the database.
    """
    stored: dict[str, pa.Array] = {}
    names = stored_columns(table)
    for column in columns.values():
        if column.name in extra:
            value = extra[column.name]
            is_array = isinstance(value, pa.ChunkedArray | pa.Array)
            stored[column.name] = value if is_array else pa.repeat(value, rows.num_rows)
        elif column.name == table.nan_flag:
            stored[column.name] = pc.is_nan(rows["value"])
        elif column.name in names:
            stored[column.name] = _stored(rows, names[column.name], table, column)
        else:
            constant = {**table.defaults, **table.blanked, **table.where}.get(column.name)
            if constant is not None:
                stored[column.name] = pa.repeat(constant, rows.num_rows)
    return pa.table(stored)


def _numbers(texts: pa.ChunkedArray, codes: Mapping[int, str]) -> pa.ChunkedArray:
    numbers = {text: number for number, text in codes.items()}
    return pa.chunked_array([pa.array([_number(text, numbers) for text in texts.to_pylist()], pa.int64())])


def _stored(rows: pa.Table, name: str, table: TableMap, column: TargetColumn) -> pa.ChunkedArray:
    values = rows[name]
    if values.type == TIMESTAMP:
        values = values.cast(pa.int64())
    if codes := table.codes.get(column.name):
        values = _numbers(values, codes)
    elif column.kind in ("integer", "bigint") and values.type == pa.string():
        values = values.cast(pa.int64())
    if name == "value" and table.nan_flag is not None:
        values = storable_value(values)
    default = table.defaults.get(column.name)
    if default is not None and values.null_count:
        values = pc.fill_null(values, default)
    return values


def _number(text: str | None, numbers: Mapping[str, int]) -> int | None:
    return None if text is None else numbers[text] if text in numbers else int(text)


def storable_value(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return metric values as MLflow's SQL store writes them: 0 for NaN, the largest double for infinities."""
    finite = pc.if_else(pc.is_nan(values), 0.0, values)
    return pc.min_element_wise(pc.max_element_wise(finite, -_LARGEST), _LARGEST)


def changed_values(rows: pa.Table, table: TableMap, dialect: str) -> dict[str, int]:
    """Return how many values change in the database: infinities of metrics, NaN where SQLite keeps NULL, and -0.0."""
    counts = {}
    if dialect in ("sqlite", "mysql"):  # MariaDB at least; PostgreSQL keeps the sign
        doubles = [rows[column.name] for column in rows.schema if column.type == pa.float64()]
        counts["negative_zeros_as_zero"] = sum(map(_negative_zeros, doubles))
    if table.nan_flag is not None:
        counts["infinities_as_largest"] = _true(pc.is_inf(rows["value"]))
    elif dialect == "sqlite":
        counts["nan_as_null"] = sum(_true(pc.is_nan(rows[c.name])) for c in rows.schema if c.type == pa.float64())
    return {change: number for change, number in counts.items() if number}


def _negative_zeros(values: pa.ChunkedArray) -> int:
    return _true(pc.and_(pc.equal(values, 0.0), pc.less(pc.divide(1.0, values), 0.0)))


def _true(values: pa.ChunkedArray) -> int:
    return pc.sum(values).as_py() or 0


def dataset_id(experiment_id: str, name: str, digest: str) -> str:
    """Return the id of a dataset whose source showed none, always the same for the same dataset."""
    return _made_id("dataset", experiment_id, name, digest)


def input_id(run_id: str, table: str, *key: str) -> str:
    """Return the id of an edge whose source showed none."""
    return _made_id(table, run_id, *key)


def _made_id(*parts: str) -> str:
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]


def without_equal_points(rows: pa.Table) -> pa.Table:
    """Return each metric point once, sorted: a SQL database cannot hold two that are equal in everything.

    They are equal where its primary key is, in which NaN is one value, and all infinities of a sign are one.
    """
    if are_ascending(rows, TABLES["metrics"].key):  # as most archives have them: sorting is what costs most here
        return rows
    rows = rows.append_column(_KEY_VALUE, storable_value(rows["value"])).append_column(
        _KEY_NAN, pc.is_nan(rows["value"])
    )
    keys = [*TABLES["metrics"].key, _KEY_VALUE, _KEY_NAN]
    rows = rows.sort_by([(name, "ascending") for name in keys]).combine_chunks()
    return first_of_each(rows, keys).drop_columns(keys[-2:])
