"""SQL over an archive with DuckDB: every table is a view, its parts are read in place, nothing else can be reached.

>>> with SqlSession(archive) as session:  # doctest: +SKIP
...     session.query("select status, count(*) from runs group by 1")

A table of MLflow's database that an archive carries as it is (``export --unknown-tables``) is ``unknown_NAME``.
Beside the tables of spec/tables.md there is the view ``latest_metrics``: of each run and key the latest point. What
these views are made of lies in the schema ``parts``.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from typing import Any, Final

import pyarrow as pa

from mlflow_archive.errors import DamagedError, QueryError
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
from mlflow_archive.storage.closing import Closing

_PARTS: Final = "parts"

_LATEST: Final = """
create view latest_metrics as
select run_id, key, point.step as step, point.timestamp as timestamp, point.value as value from (
  select run_id, key, arg_max(
    {'step': step, 'timestamp': timestamp, 'value': value},
    {'step': step, 'timestamp': timestamp, 'value': if(isnan(value), 0, value)}
  ) as point from metrics group by run_id, key
)
"""
"""MLflow's rule: greatest step, then time, then value, where NaN counts as 0."""

_LATEST_NAME: Final = "latest_metrics"
_WORD: Final = re.compile(r"[a-z]+(?:_[a-z]+)*")

_DAMAGED_PAGE: Final = "reading the Arrow source failed"
"""What DuckDB says where Arrow cannot read on; footers have been proved by then, so it is a page."""

_CLOSED: Final = "set TimeZone = 'UTC'; set enable_external_access = false; set lock_configuration = true"


class SqlSession(Closing):
    """A DuckDB database in memory with a view for each table of an archive; a context manager.

    Raises MissingExtraError where DuckDB is not installed. The archive must stay open. No file, network or extension
    can be reached by a query.
    """

    def __init__(self, archive: Archive) -> None:
        with needing("sql", "SQL"):
            import duckdb  # noqa: PLC0415

            from mlflow_archive.api.datasets import datasets  # noqa: PLC0415 - brings fsspec
        self._error = duckdb.Error
        self._changes = {duckdb.ExpectedResultType.CHANGED_ROWS, duckdb.ExpectedResultType.NOTHING}
        self._archive = archive
        self._datasets = datasets
        self._connection = duckdb.connect(
            config={
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
                "python_enable_replacements": "false",
            }
        )
        self._registered: list[Any] = []
        self._connection.execute(f"create schema {_PARTS}")
        for table in TABLES.values():
            self._make_view(archive, table)
        for name, member in unknown_tables(archive).items():
            self._register(f"unknown_{name}", read_unknown_table(archive, member), schema="main")
        self._connection.execute(_LATEST)
        self._connection.execute(_CLOSED)

    def _register(self, name: str, rows: Any, *, schema: str = _PARTS) -> str:
        """Make a table or dataset of Arrow a view, and return its name with the schema."""
        self._registered.append(rows)  # DuckDB reads it where it is
        self._connection.execute(f"use {schema}")
        self._connection.from_arrow(rows).create_view(name)
        self._connection.execute("use main")
        return f"{schema}.{name}"

    def _make_view(self, archive: Archive, table: Table) -> None:
        parts = []
        for export, dataset in self._datasets(archive, table.name).items():
            name = self._register(f"{table.name}_{export}", dataset)
            columns = ", ".join(f'"{column}"' for column in table.column_names)
            parts.append(f"select {columns} from {name}{self._only_newest(archive, table, export)}")  # noqa: S608
        if not parts:
            name = self._register(f"{table.name}_0", table.schema.empty_table())
            parts.append(f"select * from {name}")  # noqa: S608 - names of ours
        self._connection.execute(f"create view {table.name} as {' union all '.join(parts)}")

    def _only_newest(self, archive: Archive, table: Table, export: int) -> str:
        """Return the condition that leaves out rows of entities which a later export holds."""
        if len(archive.manifest.exports) == 1 or table.entity is None:
            return ""
        kinds = OWNERS if table.entity == BY_ROW else (table.entity,)
        conditions = []
        for kind in kinds:
            newer = archive.newer(kind, export)
            if newer is None:
                continue
            name = self._register(f"newer_{kind}_{export}_in_{table.name}", pa.table({"id": newer}))
            stale = f"{_owner(table)} in (select id from {name})"  # noqa: S608 - names of ours
            conditions.append(
                f"not (owner_kind = '{kind}' and {stale})" if table.entity == BY_ROW else f"not ({stale})"
            )
        return " where " + " and ".join(conditions) if conditions else ""

    def _prove(self, statement: str) -> None:
        """Check the tables that a statement names before DuckDB reads them past the archive's reader."""
        words = set(_WORD.findall(statement.lower()))
        if _LATEST_NAME in words:
            words.add("metrics")
        for name in words & TABLES.keys():
            for member in self._archive.parts(name):
                self._archive.open_part(member).prove()

    def query(self, statement: str) -> pa.Table:
        """Return the answer of the last of some statements; of one that asks for nothing an empty table.

        Raises QueryError with what DuckDB says, DamagedError (E034) where a page that it needs is damaged.
        """
        (result,) = deque(self._results(statement), maxlen=1) or (None,)
        return pa.table({}) if result is None else result

    def answers(self, statements: str) -> Iterator[pa.Table]:
        """Yield the answer of each of some statements that asks for something. Raises as ``query``."""
        return (answer for answer in self._results(statements) if answer is not None)

    def _results(self, statements: str) -> Iterator[pa.Table | None]:
        self._prove(statements)
        try:
            for statement in self._connection.extract_statements(statements):
                answer = self._connection.query(statement.query)
                changes = self._changes & set(statement.expected_result_type)
                yield None if answer is None or changes else answer.to_arrow_table()
        except self._error as error:
            if _DAMAGED_PAGE in str(error):
                raise DamagedError(
                    f"the query reads a damaged page; `mlflow-archive verify` says which rows are lost ({error})",
                    code="E034",
                ) from error
            raise QueryError(f"the query cannot be answered: {error}") from error

    def close(self) -> None:
        """Close DuckDB's connection; the archive stays open."""
        self._connection.close()


def _owner(table: Table) -> str:
    """Return SQL for what ``owner_ids`` computes: the id by which the entity of a row is known."""
    first, *others = [f'"{name}"' for name in table.owner]
    if not is_named(table):
        return f" || chr({ord(OWNER_SEPARATOR)}) || ".join((first, *others))
    for column, qualifier in qualifiers(table):
        within = f"'{qualifier.mark}' || {column} || '/' || {first}"
        first = f"case when {column} = '{qualifier.usual}' then {first} else {within} end"
    return first
