"""From what a driver gave to the archive's columns: exactly, or reported as malformed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mlflow_archive.format.location import without_password
from mlflow_archive.kinds import TABLES, TIMESTAMP, Column
from mlflow_archive.mlflow_database.mapping import TableMap
from mlflow_archive.sources.database.snapshot import Batch, Values

_SHOWN = 40
_LIMIT = 2**63


@dataclass(frozen=True, slots=True, kw_only=True)
class MalformedValue:
    """A value that the archive's column cannot hold: the key of its row, as far as that could be read, and its text."""

    table: str
    column: str
    key: Mapping[str, Any]
    text: str


@dataclass(slots=True)
class Converted:
    """The rows that the archive can hold, and the values that it cannot."""

    rows: pa.Table
    malformed: list[MalformedValue] = field(default_factory=list)


class _MalformedError(Exception):
    pass


def convert(batch: Batch, table: TableMap) -> Converted:
    """Return a batch as rows of the archive's table.

    A malformed value of a column that may be null is null; where it may not be, the row is left out. Both are reported.
    """
    columns = TABLES[table.table].columns
    length = len(next(iter(batch.values()), []))
    values = with_nan(batch, table)
    arrays: dict[str, pa.Array] = {}
    wrong: dict[str, dict[int, str]] = {}
    for column in columns:
        column_values = values.get(column.name)
        if column_values is None:
            arrays[column.name] = pa.nulls(length, column.type)
            continue
        codes = table.codes.get(table.fields[column.name], {})
        arrays[column.name], bad = _column(column_values, column, codes)
        if column.location:
            arrays[column.name] = _without_passwords(arrays[column.name])
        if not column.nullable and arrays[column.name].null_count:
            nulls = pc.indices_nonzero(pc.is_null(arrays[column.name])).to_pylist()
            bad = {**dict.fromkeys(nulls, "nothing (NULL)"), **bad}
        if bad:
            wrong[column.name] = bad
    rows = pa.table(list(arrays.values()), schema=pa.schema([pa.field(c.name, c.type) for c in columns]))
    return _without_malformed(rows, wrong, table.table)


def _without_malformed(rows: pa.Table, wrong: Mapping[str, Mapping[int, str]], name: str) -> Converted:
    schema = TABLES[name].schema
    if not wrong:
        return Converted(rows.cast(schema))
    malformed = []
    dropped: set[int] = set()
    for column, bad in wrong.items():
        for index, text in sorted(bad.items()):
            key = {
                part: rows[part][index].as_py()
                for part in TABLES[name].key
                if not pa.types.is_timestamp(rows[part].type)
            }
            malformed.append(MalformedValue(table=name, column=column, key=key, text=text))
            if not schema.field(column).nullable:
                dropped.add(index)
    keep = pa.array([index not in dropped for index in range(rows.num_rows)], pa.bool_())
    return Converted(rows.filter(keep).cast(schema), malformed)


def _without_passwords(uris: pa.Array) -> pa.Array:
    if not pc.any(pc.match_substring(uris, "@")).as_py():
        return uris
    return pa.array([None if uri is None else without_password(uri) for uri in uris.to_pylist()], pa.string())


def with_nan(batch: Batch, table: TableMap) -> Batch:
    """Return a batch with NaN where the flag says so, without the flag: MLflow stores 0 there."""
    columns = dict(batch)
    if table.nan_flag in columns:
        columns["value"] = _with_nan(columns["value"], columns.pop(table.nan_flag))
    return columns


def _with_nan(values: Values, flags: Values) -> Values:
    if isinstance(values, list) or isinstance(flags, list):
        pairs = zip(objects_of(values), objects_of(flags), strict=True)
        return [float("nan") if flag else value for value, flag in pairs]
    return pc.if_else(pc.fill_null(pc.cast(flags, pa.bool_()), False), pa.scalar(float("nan")), values)


def texts_of(values: Values) -> pa.Array:
    """Return a column as text, whatever it holds: for what is compared and never carried."""
    texts = _quick(values, pa.string())
    if texts is None or texts.null_count:
        texts = pa.array(map(str, objects_of(values)), pa.string())
    return texts


def _column(values: Values, column: Column, codes: Mapping[int, str]) -> tuple[pa.Array, dict[int, str]]:
    """Return a column of the archive's type, null where a value is malformed, and these by their row."""
    if not codes:
        quick = _quick(values, column.type)
        if quick is not None:
            return quick, {}
    cells: list[Any] = []
    bad: dict[int, str] = {}
    for index, value in enumerate(objects_of(values)):
        try:
            cells.append(None if value is None else _value(value, column.type, codes))
        except _MalformedError as error:
            cells.append(None)
            bad[index] = str(error)
    kind = pa.int64() if column.type == TIMESTAMP else column.type
    return pa.array(cells, kind).cast(column.type), bad


def _quick(values: Values, kind: pa.DataType) -> pa.Array | None:
    """Return the whole column converted, or None where that has to be done value by value."""
    if isinstance(values, list):
        return _quick_objects(values, kind)
    array = in_one_piece(values)
    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    held_type = array.type
    if pa.types.is_null(held_type):
        return pa.nulls(len(array), kind)
    if pa.types.is_string(held_type) or pa.types.is_large_string(held_type):
        return _checked_text(array) if kind == pa.string() else None
    if pa.types.is_uint64(held_type):
        return None  # may lie beyond what a signed column holds
    if pa.types.is_integer(held_type):
        return array.cast(kind) if kind in (pa.bool_(), pa.string()) else array.cast(pa.int64()).cast(kind)
    exact = held_type == kind or (pa.types.is_floating(held_type) and kind == pa.float64())
    return array.cast(kind) if exact else None


def _checked_text(array: pa.Array) -> pa.Array | None:
    text = array.cast(pa.string())
    try:
        text.validate(full=True)
    except pa.ArrowInvalid:
        return None
    return text


def _quick_objects(values: Sequence[Any], kind: pa.DataType) -> pa.Array | None:
    types = set(map(type, values)) - {type(None)}
    if kind == pa.string() and types <= {str}:
        target = pa.string()
    elif kind in (pa.int64(), TIMESTAMP, pa.string()) and types <= {int}:
        target = pa.int64()
    elif kind == pa.float64() and types <= {float}:
        target = pa.float64()
    elif kind == pa.bool_() and types <= {bool}:
        target = pa.bool_()
    else:
        return None
    try:
        return pa.array(values, target).cast(kind)
    except (pa.ArrowException, UnicodeEncodeError, OverflowError):
        return None


def in_one_piece(values: pa.ChunkedArray) -> pa.Array:
    """Return a column that came as Arrow as one array."""
    array = values.combine_chunks()
    return array if isinstance(array, pa.Array) else pa.concat_arrays(array.chunks)


def objects_of(values: Values) -> Sequence[Any]:
    """Return a column as Python objects; text that is not UTF-8 as bytes."""
    if isinstance(values, list):
        return values
    if pa.types.is_string(values.type):  # as bytes where they are not UTF-8: Arrow does not check
        return [None if raw is None else _decoded(raw) for raw in values.cast(pa.binary()).to_pylist()]
    objects: list[Any] = values.to_pylist()
    return objects


def _decoded(raw: bytes) -> str | bytes:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def _value(value: Any, kind: pa.DataType, codes: Mapping[int, str]) -> Any:
    """Return one value as Python object for an archive column of that type."""
    if kind == pa.string():
        return _text(value, codes)
    if kind == pa.bool_() and value in (0, 1):
        return bool(value)
    number: float | None = None
    if isinstance(value, int | float | Decimal):
        number = _double(value) if kind == pa.float64() else _whole(value) if kind in (pa.int64(), TIMESTAMP) else None
    if number is None:
        raise _MalformedError(_shown(value))
    return number


def _double(value: float | Decimal) -> float | None:
    """Return a number as a double, None for one that is too large for it."""
    try:
        number = float(value)
    except OverflowError:
        return None
    return None if math.isinf(number) and isinstance(value, Decimal) and value.is_finite() else number


def _whole(value: float | Decimal) -> int | None:
    """Return a number as a whole one of 64 bits, None for any other."""
    if not isinstance(value, int) and not math.isfinite(value):
        return None
    whole = int(value)
    return whole if whole == value and -_LIMIT <= whole < _LIMIT else None


def _text(value: Any, codes: Mapping[int, str]) -> str:
    if isinstance(value, int) and codes:
        return codes.get(value, str(value))
    if isinstance(value, bool | int):
        return str(int(value))
    if isinstance(value, dict | list):  # a driver that parsed a JSON column
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise _MalformedError(_shown(value)) from error
        return value
    raise _MalformedError(_shown(value))


def _shown(value: Any) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= _SHOWN else text[:_SHOWN] + '…'}"
