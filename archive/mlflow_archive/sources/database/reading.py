"""From the map of the backend to queries, and from their answers to rows of archive tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import pyarrow as pa
from sqlalchemy import ColumnClause, Select, and_, select, table
from sqlalchemy.sql.selectable import FromClause, TableClause

from mlflow_archive.kinds import TABLES
from mlflow_archive.mlflow_database.mapping import MAPS, TableMap
from mlflow_archive.sources.database.converting import MalformedValue, convert, objects_of, with_nan
from mlflow_archive.sources.database.numbered import numbered
from mlflow_archive.sources.database.points import coded_points, quick_points
from mlflow_archive.sources.database.snapshot import (
    Batch,
    Snapshot,
    UnevenColumnError,
    among,
    column_of,
    row_of,
    without_first,
)

FAST: Final = frozenset({"metrics", "params", "tags", "runs"})
"""Tables with so many rows, of so plain types, that the fast way is worth it."""

WIDE: Final = frozenset({"spans"})
"""Tables whose rows may be large."""

OnMalformed = Callable[[MalformedValue], None]


def ignore_malformed(wrong: MalformedValue) -> None:
    """Drop it: the same rows are read again, and reported, when they are carried."""


class Reading:
    """Reads archive tables out of a snapshot, whatever schema revision it has."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._schema = snapshot.schema
        self._empty: dict[tuple[str, str], bool] = {}

    def has(self, table_map: TableMap) -> bool:
        """Return whether the database has all tables that hold these rows."""
        return {table_map.stored_in, *(join.table for join in table_map.joins)} <= self._schema.columns.keys()

    def rows(self, table_map: TableMap, ids: Sequence[str], malformed: OnMalformed) -> pa.Table:
        """Return the rows whose owner is one of the ids."""
        pieces = list(self.batches(table_map, ids, malformed))
        return pa.concat_tables(pieces) if pieces else TABLES[table_map.table].schema.empty_table()

    def batches(self, table_map: TableMap, ids: Sequence[str], malformed: OnMalformed) -> Iterator[pa.Table]:
        """Yield the rows whose owner is one of the ids, in any order."""
        if not ids or not self.has(table_map):
            return
        for batch in self._batches(table_map, ids):
            rows = self._converted(table_map, batch, malformed)
            if rows.num_rows:
                yield rows

    def _converted(self, table_map: TableMap, batch: Batch, malformed: OnMalformed) -> pa.Table:
        converted = convert(self._with_defaults(table_map, batch), table_map)
        for wrong in converted.malformed:
            malformed(wrong)
        return converted.rows

    def points(self, ids: Sequence[str], malformed: OnMalformed) -> Iterator[pa.Table]:
        """Yield the points of some runs as ``batches`` does, coded (see ``points``)."""
        table_map = MAPS["metrics"]
        if not ids or not self.has(table_map):
            return
        for batch in self._batches(table_map, ids):
            rows = quick_points(with_nan(batch, table_map))
            if rows is None:
                rows = coded_points(self._converted(table_map, batch, malformed))
            if rows.num_rows:
                yield rows

    def _batches(self, table_map: TableMap, ids: Sequence[str]) -> Iterator[Batch]:
        """Yield rows as the driver gave them, but for ids of owners, which may come coded, and NaN."""
        query = None
        if self._is_empty(table_map):
            return
        if table_map.table in FAST and self._snapshot.joins_lists:
            query = numbered(table_map, ids, self._schema)
        if query is None:
            yield from self._fetch(table_map, self._statement(table_map, ids))
        else:
            yield from map(query.rows, self._fetch(table_map, query.statement))

    def _is_empty(self, table_map: TableMap) -> bool:
        """Return whether there are no such rows at all: many kinds have none, and each shard would ask for them."""
        place = (table_map.table, table_map.stored_in)
        if place not in self._empty:
            first = self._snapshot.fetch(self._statement(table_map, None).limit(1))
            self._empty[place] = next(iter(first), None) is None
        return self._empty[place]

    def _fetch(self, table_map: TableMap, statement: Select[Any]) -> Iterator[Batch]:
        if table_map.table not in FAST:
            yield from self._snapshot.fetch(statement, wide=table_map.table in WIDE)
            return
        row_count, last = 0, None
        try:
            for batch in self._snapshot.fetch_fast(statement):
                if not row_count:
                    _check_types(table_map, batch)
                yield batch
                if length := len(next(iter(batch.values()))):
                    row_count, last = row_count + length, row_of(batch, length - 1)
        except UnevenColumnError:
            yield from without_first(row_count, self._snapshot.fetch(statement), last)

    def _statement(self, table_map: TableMap, ids: Sequence[str] | None) -> Select[Any]:
        """Return the query for the rows of some owners, None for all, labelled with the archive's column names."""
        tables, source = self._sources(table_map)
        labelled = [
            source_column.label(name)
            for name, place in table_map.fields.items()
            if (source_column := self._place(table_map, place, tables)) is not None
        ]
        if table_map.nan_flag and table_map.nan_flag in self._schema.columns[table_map.stored_in]:
            labelled.append(column_of(tables[table_map.stored_in], table_map.nan_flag).label(table_map.nan_flag))
        statement = select(*labelled).select_from(source)
        for place, value in table_map.where.items():
            source_column = self._place(table_map, place, tables)
            if source_column is not None:
                statement = statement.where(source_column == value)
        if ids is None:
            return statement
        return statement.where(among(self._ours(table_map, table_map.owner, tables), self.values(table_map, ids)))

    def _sources(self, table_map: TableMap) -> tuple[dict[str, TableClause], FromClause]:
        tables = {table_map.stored_in: table(table_map.stored_in)}
        source: FromClause = tables[table_map.stored_in]
        for join in table_map.joins:
            tables[join.table] = table(join.table)
            on = [
                column_of(tables[join.table], theirs) == self._ours(table_map, ours, tables)
                for theirs, ours in join.on.items()
            ]
            source = source.join(tables[join.table], and_(*on))
        return tables, source

    def _ours(self, table_map: TableMap, place: str, tables: dict[str, TableClause]) -> ColumnClause[Any]:
        name, dot, col = place.rpartition(".")
        return column_of(tables[name if dot else table_map.stored_in], col)

    def _place(self, table_map: TableMap, place: str, tables: dict[str, TableClause]) -> ColumnClause[Any] | None:
        """Return a column of the database, None where this revision of the schema lacks it."""
        name, dot, col = place.rpartition(".")
        stored_in = name if dot else table_map.stored_in
        return column_of(tables[stored_in], col) if col in self._schema.columns[stored_in] else None

    def _with_defaults(self, table_map: TableMap, batch: Batch) -> Batch:
        """Return a batch with the map's defaults where a column is missing, or NULL that no archive may hold."""
        length = len(next(iter(batch.values()), []))
        columns = dict(batch)
        for name, place in table_map.fields.items():
            if place in table_map.defaults:
                default, values = table_map.defaults[place], columns.get(name)
                nullable = TABLES[table_map.table].schema.field(name).nullable
                if values is None:
                    columns[name] = [default] * length
                elif not nullable and (None in values if isinstance(values, list) else values.null_count):
                    columns[name] = [default if value is None else value for value in objects_of(values)]
        return columns

    def values(self, table_map: TableMap, ids: Sequence[str]) -> list[str] | list[int]:
        """Return ids as the database holds them: those of experiments are numbers there."""
        if table_map.owner == "experiment_id":
            return [int(value) for value in ids]
        return list(ids)


def _check_types(table_map: TableMap, batch: Batch) -> None:
    """Raise UnevenColumnError if a column came as something else than it is in the archive."""
    for column in TABLES[table_map.table].columns:
        values = batch.get(column.name)
        if isinstance(values, pa.ChunkedArray) and values.null_count < len(values):
            whole = pa.types.is_integer(values.type)
            text = pa.types.is_string(values.type) or pa.types.is_large_string(values.type)
            text |= whole and column.name == "experiment_id"  # a number there
            if not (text if column.type == pa.string() else whole or pa.types.is_floating(values.type)):
                raise UnevenColumnError
