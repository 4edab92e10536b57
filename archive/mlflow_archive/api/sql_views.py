"""The tables of an archive as views of DuckDB, in a catalog of their own; the parts are read where they are.

Of each entity only the rows of its newest export come out. A table of MLflow's database that an archive carries as it
is (``export --unknown-tables``) is ``unknown_NAME``. Beside the tables of spec/tables.md there is ``latest_metrics``:
of each run and key the latest point. What these views are made of lies in the schema ``parts``.
"""

from __future__ import annotations

from typing import Any, Final

import pyarrow as pa

from mlflow_archive.kinds import (
    BY_ROW,
    OWNER_SEPARATOR,
    TABLES,
    Table,
    is_named,
    qualifiers,
)
from mlflow_archive.optional import needing
from mlflow_archive.reader.archive import OWNERS, Archive
from mlflow_archive.reader.unknown_tables import read_unknown_table, unknown_tables

LATEST: Final = "latest_metrics"
_PARTS: Final = "parts"

_LATEST_POINTS: Final = """
select run_id, key, point.step as step, point.timestamp as timestamp, point.value as value from (
  select run_id, key, arg_max(
    {{'step': step, 'timestamp': timestamp, 'value': value}},
    {{'step': step, 'timestamp': timestamp, 'value': if(isnan(value), 0, value)}}
  ) as point from {metrics} group by run_id, key
)
"""
"""MLflow's rule: greatest step, then time, then value, where NaN counts as 0."""


def make_views(connection: Any, archive: Archive, catalog: str) -> list[object]:
    """Make the views in the schema ``main`` of an attached catalog, which is used while this goes on.

    Returns what must live as long as they do; the archive must stay open. Raises MissingExtraError, DamagedError (E012,
    E030) for a footer that is no good.
    """
    views = _Views(connection, archive, catalog)
    for table in TABLES.values():
        views.add(table)
    for name, member in unknown_tables(archive).items():
        views.register(f"unknown_{name}", read_unknown_table(archive, member), schema="main")
    latest = _LATEST_POINTS.format(metrics=views.qualified("metrics"))
    connection.execute(f"create view {views.qualified(LATEST)} as {latest}")
    return views.registered


def quoted(name: str) -> str:
    """Return a name as SQL takes it, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


class _Views:
    def __init__(self, connection: Any, archive: Archive, catalog: str) -> None:
        with needing("sql", "SQL"):
            from mlflow_archive.api.datasets import datasets  # noqa: PLC0415 - brings fsspec
        self.registered: list[object] = []
        self._connection = connection
        self._archive = archive
        self._catalog = quoted(catalog)
        self._datasets = datasets
        connection.execute(f"create schema {self._catalog}.{_PARTS}")

    def qualified(self, name: str, schema: str = "main") -> str:
        """Return the name of a view with catalog and schema, so that it means the same whatever is used."""
        return f"{self._catalog}.{schema}.{quoted(name)}"

    def register(self, name: str, rows: Any, *, schema: str = _PARTS) -> str:
        """Make a table or dataset of Arrow a view, and return its name with catalog and schema."""
        self.registered.append(rows)  # DuckDB reads it where it is
        self._connection.execute(f"use {self._catalog}.{schema}")
        self._connection.from_arrow(rows).create_view(name)
        return self.qualified(name, schema)

    def add(self, table: Table) -> None:
        """Make the view of a table."""
        parts = []
        for export, dataset in self._datasets(self._archive, table.name).items():
            name = self.register(f"{table.name}_{export}", dataset)
            columns = ", ".join(quoted(column) for column in table.column_names)
            parts.append(f"select {columns} from {name}{self._only_newest(table, export)}")  # noqa: S608
        if not parts:
            name = self.register(f"{table.name}_0", table.schema.empty_table())
            parts.append(f"select * from {name}")  # noqa: S608 - names of ours
        self._connection.execute(f"create view {self.qualified(table.name)} as {' union all '.join(parts)}")

    def _only_newest(self, table: Table, export: int) -> str:
        """Return the condition that leaves out rows of entities which a later export holds."""
        if len(self._archive.manifest.exports) == 1 or table.entity is None:
            return ""
        kinds = OWNERS if table.entity == BY_ROW else (table.entity,)
        conditions = []
        for kind in kinds:
            newer = self._archive.newer(kind, export)
            if newer is None:
                continue
            name = self.register(f"newer_{kind}_{export}_in_{table.name}", pa.table({"id": newer}))
            stale = f"{_owner(table)} in (select id from {name})"  # noqa: S608 - names of ours
            conditions.append(
                f"not (owner_kind = '{kind}' and {stale})" if table.entity == BY_ROW else f"not ({stale})"
            )
        return " where " + " and ".join(conditions) if conditions else ""


def _owner(table: Table) -> str:
    """Return SQL for what ``owner_ids`` computes: the id by which the entity of a row is known."""
    first, *others = [quoted(name) for name in table.owner]
    if not is_named(table):
        return f" || chr({ord(OWNER_SEPARATOR)}) || ".join((first, *others))
    for column, qualifier in qualifiers(table):
        within = f"'{qualifier.mark}' || {column} || '/' || {first}"
        first = f"case when {column} = '{qualifier.usual}' then {first} else {within} end"
    return first
