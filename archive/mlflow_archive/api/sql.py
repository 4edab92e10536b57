"""SQL over an archive with DuckDB: every table is a view, its parts are read in place, nothing else can be reached.

>>> with SqlSession(archive) as session:  # doctest: +SKIP
...     session.query("select status, count(*) from runs group by 1")

A table of MLflow's database that an archive carries as it is (``export --unknown-tables``) is ``unknown_NAME``.
Beside the tables of spec/tables.md there is the view ``latest_metrics``: of each run and key the latest point.
"""

from __future__ import annotations

import re
from types import TracebackType
from typing import Final, Self

import pyarrow as pa

from mlflow_archive.errors import DamagedError, SelectionError
from mlflow_archive.kinds import (
    BY_ROW,
    DEFAULT_WORKSPACE,
    IDENTITIES,
    OWNER_SEPARATOR,
    TABLES,
    Table,
    is_named,
)
from mlflow_archive.optional import needing
from mlflow_archive.reader.archive import Archive
from mlflow_archive.reader.unknown_tables import read_unknown_table, unknown_tables

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

_DAMAGED_PAGE: Final = "reading the stream registered as"
"""What DuckDB says where Arrow cannot read on; footers have been proved by then, so it is a page."""

_CLOSED: Final = "set TimeZone = 'UTC'; set enable_external_access = false; set lock_configuration = true"


class SqlSession:
    """A DuckDB database in memory with a view for each table of an archive; a context manager.

    Raises MissingExtraError where DuckDB is not installed. The archive must stay open. No file, network or extension
    can be reached by a query.
    """

    def __init__(self, archive: Archive) -> None:
        with needing("sql", "SQL"):
            import duckdb  # noqa: PLC0415

            from mlflow_archive.api.datasets import datasets  # noqa: PLC0415 - brings fsspec
        self._error = duckdb.Error
        self._archive = archive
        self._datasets = datasets
        self._connection = duckdb.connect(
            config={
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
                "python_enable_replacements": "false",
            }
        )
        for table in TABLES.values():
            self._make_view(archive, table)
        for name, member in unknown_tables(archive).items():
            self._connection.register(f"unknown_{name}", read_unknown_table(archive, member))
        self._connection.execute(_LATEST)
        self._connection.execute(_CLOSED)

    def _make_view(self, archive: Archive, table: Table) -> None:
        parts = []
        for export, dataset in self._datasets(archive, table.name).items():
            name = f"_{table.name}_{export}"
            self._connection.register(name, dataset)
            columns = ", ".join(f'"{column}"' for column in table.column_names)
            parts.append(f"select {columns} from {name}{self._only_newest(archive, table, export)}")  # noqa: S608
        if not parts:
            self._connection.register(f"_{table.name}", table.schema.empty_table())
            parts.append(f"select * from _{table.name}")  # noqa: S608 - names of ours
        self._connection.execute(f"create view {table.name} as {' union all '.join(parts)}")

    def _only_newest(self, archive: Archive, table: Table, export: int) -> str:
        """Return the condition that leaves out rows of entities which a later export holds."""
        if len(archive.manifest.exports) == 1 or table.entity is None:
            return ""
        kinds = list(IDENTITIES) if table.entity == BY_ROW else [table.entity]
        conditions = []
        for kind in kinds:
            newer = archive.newer(kind, export)
            if newer is None:
                continue
            name = f"_newer_{kind}_{export}_{'by_row' if table.entity == BY_ROW else 'own'}"
            self._connection.register(name, pa.table({"id": newer}))
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
        """Return the answer of the last of some statements.

        Raises SelectionError with what DuckDB says, DamagedError (E034) where a page that it needs is damaged.
        """
        self._prove(statement)
        try:
            answer = self._connection.sql(statement)
            result: pa.Table = pa.table({}) if answer is None else answer.to_arrow_table()
        except self._error as error:
            if _DAMAGED_PAGE in str(error):
                raise DamagedError(
                    f"the query reads a damaged page; `mlflow-archive verify` says which rows are lost ({error})",
                    code="E034",
                ) from error
            raise SelectionError(f"the query cannot be answered: {error}") from error
        return result

    def close(self) -> None:
        """Close DuckDB's connection; the archive stays open."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _owner(table: Table) -> str:
    """Return SQL for what ``owner_ids`` computes: the id by which the entity of a row is known."""
    names = [f'"{name}"' for name in table.owner]
    if is_named(table):
        name = "name"
        if "organization" in table.owner:
            name = "case when organization = '' then name else '@' || organization || '/' || name end"
        return f"case when workspace = '{DEFAULT_WORKSPACE}' then {name} else workspace || '/' || {name} end"
    return names[0] if len(names) == 1 else f" || chr({ord(OWNER_SEPARATOR)}) || ".join(names)
