"""Rows that a driver gives with the number of their owner among those asked for, in place of its id.

The id of a run is 32 letters in each of its points, which would be taken out of SQLite, copied, checked and compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import ColumnElement, Select, literal_column, select, text

from mlflow_archive.mlflow_database.mapping import TableMap
from mlflow_archive.sources.database.snapshot import Batch, Schema, Values, is_plain

_NUMBER: Final = "owner_number"
_NAN: Final = float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberedQuery:
    """A query for the rows of ``ids``; ``rows`` makes of its answers what the query by ids would have given."""

    statement: Select[Any]
    ids: Sequence[str]
    owner: str
    nan_is_null: bool

    def rows(self, batch: Batch) -> Batch:
        """Return rows with the ids of their owners, coded where they came as Arrow, and NaN."""
        columns = dict(batch)
        numbers = columns.pop(_NUMBER)
        if isinstance(numbers, list):
            columns[self.owner] = [self.ids[number] for number in numbers]
        else:
            texts = pa.array(self.ids, pa.string())
            chunks = [pa.DictionaryArray.from_arrays(chunk.cast(pa.int32()), texts) for chunk in numbers.chunks]
            columns[self.owner] = pa.chunked_array(chunks, pa.dictionary(pa.int32(), pa.string()))
        if self.nan_is_null:
            columns["value"] = _with_nan(columns["value"])
        return columns


def numbered(table_map: TableMap, ids: Sequence[str], schema: Schema) -> NumberedQuery | None:
    """Return such a query for rows of some owners, None where there is none that is as exact and as quick.

    An index must lead from owners to rows. NULL stands for NaN where a number cannot be NULL by itself.
    """
    stored_in, columns = table_map.stored_in, schema.columns[table_map.stored_in]
    flag = table_map.nan_flag if table_map.nan_flag in columns else None
    is_exact = flag is None or "value" in schema.required.get(stored_in, ())
    if table_map.joins or table_map.where or not is_exact or not is_plain(ids):
        return None
    if table_map.owner not in schema.indexed.get(stored_in, ()):
        return None
    labelled: list[ColumnElement[Any]] = [literal_column("owners.column2").label(_NUMBER)]
    for name, place in table_map.fields.items():
        if place in columns and place != table_map.owner:
            own = f'own."{place}"'
            shown = f'CASE WHEN own."{flag}" THEN NULL ELSE {own} END' if flag and name == "value" else own
            labelled.append(literal_column(shown).label(name))
    owners = ", ".join(f"('{owner}', {number})" for number, owner in enumerate(ids))
    # CROSS: SQLite begins with the owners.
    tables = text(f'(VALUES {owners}) AS owners CROSS JOIN "{stored_in}" AS own')
    statement = select(*labelled).select_from(tables).where(text(f'own."{table_map.owner}" = owners.column1'))
    owner = next(name for name, place in table_map.fields.items() if place == table_map.owner)
    return NumberedQuery(statement=statement, ids=ids, owner=owner, nan_is_null=flag is not None)


def _with_nan(values: Values) -> Values:
    if isinstance(values, list):
        return [_NAN if value is None else value for value in values]
    if not values.null_count:
        return values
    return pc.fill_null(values, _NAN) if pa.types.is_floating(values.type) else _with_nan(values.to_pylist())
