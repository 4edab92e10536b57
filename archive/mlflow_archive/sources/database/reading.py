"""From the map of the backend to queries, and from their answers to rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import pyarrow as pa
from sqlalchemy import ColumnClause, Select, and_, select, table
from sqlalchemy.sql.selectable import FromClause, TableClause

from mlflow_archive.kinds import TABLES
from mlflow_archive.mlflow_database.mapping import TableMap
from mlflow_archive.sources.database.converting import Malformed, convert
from mlflow_archive.sources.database.snapshot import Batch, Snapshot, UnevenColumnError, column_of, without_first

FAST: Final = frozenset({"metrics", "params", "tags"})
"""Tables with so many rows, of so plain types, that the fast way is worth it."""

WIDE: Final = frozenset({"spans"})
"""Tables whose rows may be large."""

OnMalformed = Callable[[Malformed], None]


class Reading:
    """Reads archive tables out of a snapshot, whatever schema revision it has."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._schema = snapshot.schema

    def has(self, each: TableMap) -> bool:
        """Say whether the database has all tables that hold these rows."""
        return all(name in self._schema.columns for name in (each.stored_in, *(join.table for join in each.joins)))

    def rows(self, each: TableMap, ids: Sequence[str], malformed: OnMalformed) -> pa.Table:
        """Return the rows whose owner is one of the ids."""
        found = list(self.batches(each, ids, malformed))
        return pa.concat_tables(found) if found else TABLES[each.table].schema.empty_table()

    def batches(self, each: TableMap, ids: Sequence[str], malformed: OnMalformed) -> Iterator[pa.Table]:
        """Yield the rows whose owner is one of the ids, in any order."""
        if not ids or not self.has(each):
            return
        statement = self._statement(each, ids)
        for batch in self._fetch(each, statement):
            converted = convert(self._with_defaults(each, batch), each)
            for wrong in converted.malformed:
                malformed(wrong)
            if converted.rows.num_rows:
                yield converted.rows

    def _fetch(self, each: TableMap, statement: Select[Any]) -> Iterator[Batch]:
        if each.table not in FAST:
            yield from self._snapshot.fetch(statement, wide=each.table in WIDE)
            return
        given = 0
        try:
            for batch in self._snapshot.fetch_fast(statement):
                if not given:
                    _check_types(each, batch)
                yield batch
                given += len(next(iter(batch.values())))
        except UnevenColumnError:
            # A snapshot gives the rows of one query in one order: those that are given already are left out.
            yield from without_first(given, self._snapshot.fetch(statement))

    def _statement(self, each: TableMap, ids: Sequence[str]) -> Select[Any]:
        """Return the query for the rows of some owners, labelled with the archive's column names."""
        tables, source = self._sources(each)
        labelled = [
            found.label(name)
            for name, place in each.fields.items()
            if (found := self._place(each, place, tables)) is not None
        ]
        if each.nan_flag and each.nan_flag in self._schema.columns[each.stored_in]:
            labelled.append(column_of(tables[each.stored_in], each.nan_flag).label(each.nan_flag))
        statement = select(*labelled).select_from(source)
        for place, value in each.where.items():
            found = self._place(each, place, tables)
            if found is not None:
                statement = statement.where(found == value)
        return statement.where(self._ours(each, each.owner, tables).in_(self.values(each, ids)))

    def _sources(self, each: TableMap) -> tuple[dict[str, TableClause], FromClause]:
        tables = {each.stored_in: table(each.stored_in)}
        source: FromClause = tables[each.stored_in]
        for join in each.joins:
            tables[join.table] = table(join.table)
            on = [
                column_of(tables[join.table], theirs) == self._ours(each, ours, tables)
                for theirs, ours in join.on.items()
            ]
            source = source.join(tables[join.table], and_(*on))
        return tables, source

    def _ours(self, each: TableMap, place: str, tables: dict[str, TableClause]) -> ColumnClause[Any]:
        name, dot, col = place.rpartition(".")
        return column_of(tables[name if dot else each.stored_in], col)

    def _place(self, each: TableMap, place: str, tables: dict[str, TableClause]) -> ColumnClause[Any] | None:
        """Return a column of the database, None where this revision of the schema lacks it."""
        name, dot, col = place.rpartition(".")
        stored_in = name if dot else each.stored_in
        return column_of(tables[stored_in], col) if col in self._schema.columns[stored_in] else None

    def _with_defaults(self, each: TableMap, batch: Batch) -> Batch:
        """Put in the map's default where a column is missing, or is NULL and no archive holds that."""
        length = len(next(iter(batch.values()), []))
        found = dict(batch)
        for name, place in each.fields.items():
            if place in each.defaults:
                default = each.defaults[place]
                values = found.get(name)
                if values is None:
                    found[name] = [default] * length
                elif isinstance(values, list) and None in values and not TABLES[each.table].schema.field(name).nullable:
                    found[name] = [default if value is None else value for value in values]
        return found

    def values(self, each: TableMap, ids: Sequence[str]) -> list[str] | list[int]:
        """Return ids as the database holds them: those of experiments are numbers there."""
        if each.owner == "experiment_id":
            return [int(value) for value in ids]
        return list(ids)


def _check_types(each: TableMap, batch: Batch) -> None:
    """Raise UnevenColumnError if a column came as something else than it is in the archive."""
    for wanted in TABLES[each.table].columns:
        values = batch.get(wanted.name)
        if isinstance(values, pa.ChunkedArray) and not pa.types.is_null(values.type):
            number = pa.types.is_integer(values.type) or pa.types.is_floating(values.type)
            text = pa.types.is_string(values.type) or pa.types.is_large_string(values.type)
            if not (text if wanted.type == pa.string() else number):
                raise UnevenColumnError
