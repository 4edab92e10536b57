"""Which objects of an archive fulfil conditions: whole columns at a time; of keyed tables only the key asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from mlflow_archive.kinds import TABLES, TIMESTAMP
from mlflow_archive.reader.adjacent import last_of_each
from mlflow_archive.reader.archive import Archive
from mlflow_archive.reader.search.grammar import Condition, Field
from mlflow_archive.reader.search.searchable import ATTRIBUTES, Group, SearchableKind

_COMPARE: Final[Mapping[str, Callable[[Any, Any], pa.ChunkedArray]]] = MappingProxyType(
    {
        "=": pc.equal,
        "!=": pc.not_equal,
        "<": pc.less,
        "<=": pc.less_equal,
        ">": pc.greater,
        ">=": pc.greater_equal,
    }
)
_BY_TYPE: Final = ("feedback", "expectation")
_SEPARATOR: Final = "\x1f"


def matching(
    archive: Archive, searchable: SearchableKind, conditions: Sequence[Condition], owners: Collection[str] | None = None
) -> pa.Table:
    """Return the rows of a kind's identity table that fulfil all conditions, among those of ``owners`` if given."""
    rows = archive.table(searchable.table, owners=owners)
    for condition in conditions:
        if not rows.num_rows:
            break
        if condition.field.group == ATTRIBUTES:
            keep = holds(rows[condition.field.name], condition)
        else:
            keep = _by_group(archive, searchable, condition, owner_of(rows, searchable), owners)
        rows = rows.filter(pc.fill_null(keep, False))
    return rows


def _by_group(
    archive: Archive,
    searchable: SearchableKind,
    condition: Condition,
    ids: pa.ChunkedArray,
    owners: Collection[str] | None,
) -> pa.ChunkedArray:
    if condition.operator.startswith("IS "):
        has_value = pc.is_in(ids, value_set=_flat(values_of(archive, searchable, condition.field, owners)["owner"]))
        return has_value if condition.operator == "IS NOT NULL" else pc.invert(has_value)
    values = values_of(archive, searchable, condition.field, owners)
    matches = values.filter(pc.fill_null(holds(values["value"], condition), False))
    return pc.is_in(ids, value_set=_flat(matches["owner"]))


def values_of(
    archive: Archive, searchable: SearchableKind, field: Field, owners: Collection[str] | None = None
) -> pa.Table:
    """Return ``owner`` and ``value`` of a key of a group; of a metric only the latest value of each owner."""
    group = searchable.groups[field.group]
    if group.names:
        group, field = _named(group, field)
    batches = list(_values(archive, searchable, group, field, owners))
    if not batches:
        kind = TABLES[group.table].schema.field(_value_column(group, field)).type
        return pa.table({"owner": pa.array([], pa.string()), "value": pa.array([], kind)})
    values = pa.concat_tables(batches)
    return last_of_each(values, ("owner",)) if group.latest else values


def _values(
    archive: Archive, searchable: SearchableKind, group: Group, field: Field, owners: Collection[str] | None
) -> Iterator[pa.Table]:
    value = _value_column(group, field)
    columns = [*searchable.owner, value]
    if field.group in _BY_TYPE:
        columns.append("assessment_type")
    if group.key is None:
        batches = archive.batches(group.table, columns=columns, owners=owners)
    else:
        batches = archive.keyed(group.table, group.key, field.name, columns=columns, owners=owners)
    for rows in batches:
        of_type = rows.filter(pc.equal(rows["assessment_type"], field.group)) if field.group in _BY_TYPE else rows
        if of_type.num_rows:
            pairs = pa.table({"owner": owner_of(of_type, searchable), "value": of_type[value]})
            yield last_of_each(pairs, ("owner",)) if group.latest else pairs


def _named(group: Group, field: Field) -> tuple[Group, Field]:
    """Return where a name of a group that has columns for names is found."""
    place = group.names[field.name]
    if isinstance(place, str):
        return group, Field(group=field.group, name=place)
    return place[0], Field(group=field.group, name=place[1])


def _value_column(group: Group, field: Field) -> str:
    return field.name if group.key is None else group.value


def owner_of(rows: pa.Table, searchable: SearchableKind) -> pa.ChunkedArray:
    """Return what names the object that each row belongs to, one text a row."""
    columns = [rows[name] for name in searchable.owner]
    texts = [column if column.type == pa.string() else column.cast(pa.string()) for column in columns]
    return texts[0] if len(texts) == 1 else pc.binary_join_element_wise(*texts, _SEPARATOR)


_PRESENCE: Final = {"IS NULL": pc.is_null, "IS NOT NULL": pc.is_valid}


def holds(values: pa.ChunkedArray, condition: Condition) -> pa.ChunkedArray:
    """Return for each value whether it fulfils a condition; null where there is no value."""
    operand, operator = condition.value, condition.operator
    if operator in _PRESENCE:
        return _PRESENCE[operator](values)
    if values.type == TIMESTAMP:
        values = values.cast(pa.int64())
    if isinstance(operand, tuple):
        inside = pc.is_in(values, value_set=pa.array(operand, pa.string()))
        return inside if operator == "IN" else pc.and_(pc.invert(inside), pc.is_valid(values))
    if isinstance(operand, str):
        return _text_holds(values, operator, operand)
    if values.type == pa.string():  # JSON values of assessments
        values = _numbers(values)
    if isinstance(operand, float) and math.isnan(operand):
        return pc.is_nan(values) if operator == "=" else pc.invert(pc.is_nan(values))
    return _COMPARE[operator](values, operand)


def _text_holds(values: pa.ChunkedArray, operator: str, operand: str) -> pa.ChunkedArray:
    if operator in ("LIKE", "ILIKE"):
        return pc.match_like(values, operand, ignore_case=operator == "ILIKE")
    if operator == "RLIKE":
        return pc.match_substring_regex(values, operand)
    return _COMPARE[operator](values, operand)


def _numbers(values: pa.ChunkedArray) -> pa.Array:
    def number(text: str | None) -> float | None:
        try:
            return None if text is None else float(text)
        except ValueError:
            return None

    return pa.array([number(text) for text in values.to_pylist()], pa.float64())


def _flat(values: pa.ChunkedArray) -> pa.Array:
    if isinstance(values, pa.ChunkedArray):
        return pa.concat_arrays(values.chunks) if values.num_chunks else pa.array([], values.type)
    return values
