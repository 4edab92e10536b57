"""SQL over an archive with DuckDB: every table is a view (``sql_views``), and nothing else can be reached.

>>> with SqlSession(archive) as session:  # doctest: +SKIP
...     session.query("select status, count(*) from runs group by 1")

:func:`attach` makes the same views in a connection of the user's own.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from mlflow_archive.api.sql_views import LATEST, make_views, quoted
from mlflow_archive.errors import DamagedError, QueryError
from mlflow_archive.kinds import TABLES
from mlflow_archive.optional import needing
from mlflow_archive.reader.archive import Archive
from mlflow_archive.storage.closing import Closing

if TYPE_CHECKING:
    import duckdb

_WORD: Final = re.compile(r"[a-z]+(?:_[a-z]+)*")

_DAMAGED_PAGE: Final = "reading the Arrow source failed"
"""What DuckDB says where Arrow cannot read on; footers have been proved by then, so it is a page."""

_OWN_CATALOG: Final = "memory"
"""What DuckDB calls the database of a connection that has no file."""

_CLOSED: Final = "set TimeZone = 'UTC'; set enable_external_access = false; set lock_configuration = true"


class SqlSession(Closing):
    """A DuckDB database in memory with a view for each table of an archive; a context manager.

    Raises MissingExtraError where DuckDB is not installed. The archive must stay open. No file, network or extension
    can be reached by a query.
    """

    def __init__(self, archive: Archive) -> None:
        with needing("sql", "SQL"):
            import duckdb  # noqa: PLC0415
        self._error = duckdb.Error
        self._changes = {duckdb.ExpectedResultType.CHANGED_ROWS, duckdb.ExpectedResultType.NOTHING}
        self._archive = archive
        self._connection = duckdb.connect(
            config={
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
                "python_enable_replacements": "false",
            }
        )
        self._kept = make_views(self._connection, archive, _OWN_CATALOG)
        self._connection.execute(f"use {_OWN_CATALOG}.main")
        self._connection.execute(_CLOSED)

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
        words = set(_WORD.findall(statements.lower()))
        _prove(self._archive, {"metrics", *words} if LATEST in words else words)
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


def attach(archive: Archive, connection: duckdb.DuckDBPyConnection, name: str) -> list[object]:
    """Attach an archive to a connection as the database ``name`` in memory: ``NAME.runs``, ``NAME.metrics``, …

    Returns what must live as long as the database is attached; the archive must stay open. All tables are checked
    first, as it is not known what will be asked. Raises QueryError with what DuckDB says, as of a name that is taken,
    DamagedError (E012, E030, E034); then nothing is attached.
    """
    with needing("sql", "SQL"):
        import duckdb  # noqa: PLC0415
    _prove(archive, TABLES)
    try:
        used = connection.execute("select current_catalog(), current_schema()").fetchone() or ()
        connection.execute(f"attach ':memory:' as {quoted(name)}")
    except duckdb.Error as error:
        raise QueryError(f"the archive cannot be attached as {name!r}: {error}") from error
    back = "use " + ".".join(map(quoted, used))
    try:
        kept = make_views(connection, archive, name)
    except BaseException:
        with suppress(duckdb.Error):
            connection.execute(back)
            connection.execute(f"detach {quoted(name)}")
        raise
    connection.execute(back)
    return kept


def _prove(archive: Archive, names: Iterable[str]) -> None:
    """Check those of some names that are tables before DuckDB reads them past the archive's reader."""
    for name in TABLES.keys() & set(names):
        for member in archive.parts(name):
            archive.open_part(member).prove()
