"""Restore into PostgreSQL and MySQL: one transaction, and in an empty PostgreSQL keys and indexes made at the end."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.csv as pa_csv
from sqlalchemy import Connection, Engine, create_engine, inspect, text
from sqlalchemy.exc import NoSuchModuleError, OperationalError, SQLAlchemyError

from mlflow_archive.errors import ServerError, TargetError
from mlflow_archive.mlflow_database.mlflow_schema import check_revision, make_schema
from mlflow_archive.mlflow_database.uris import DatabaseUri
from mlflow_archive.mlflow_database.whole_schema import MARKER, make_schema_within, remove_tables
from mlflow_archive.optional import missing
from mlflow_archive.sinks.restore.database import BULK, CommitUncertainError, TargetSchema, holds_nothing
from mlflow_archive.sinks.restore.schema import target_schema

_SLICE: Final = 5_000
_BESIDE: Final = "mlflow_archive_beside"
_DRIVERS: Final = {"postgresql": "postgresql+psycopg2", "mysql": "mysql+pymysql", "mariadb": "mysql+pymysql"}
_CONSTRAINTS: Final = """
SELECT conrelid::regclass::text, conname, contype, pg_get_constraintdef(oid)
FROM pg_constraint WHERE connamespace = current_schema()::regnamespace AND contype IN ('f', 'p', 'u')
"""
_INDEXES: Final = """
SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid
WHERE t.relnamespace = current_schema()::regnamespace AND t.relname = ANY(:names)
AND NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conindid = i.indexrelid AND c.contype IN ('p', 'u', 'x'))
"""


@dataclass(frozen=True, slots=True)
class _Csv:
    """Rows as COPY takes them."""

    names: list[str]
    buffer: io.BytesIO


class ServerDatabase:
    """The database that a URI names; it must exist, its tables need not."""

    def __init__(self, uri: DatabaseUri) -> None:
        self.dialect, self.address = uri.dialect, uri.shown
        url = uri.url.set(drivername=_DRIVERS.get(uri.url.drivername, uri.url.drivername))
        try:
            self._engine: Engine = create_engine(url)
        except (ImportError, NoSuchModuleError) as error:
            raise missing(uri.dialect, f"restoring into {uri.dialect}", error) from error
        self._connection: Connection | None = None
        self.schema: TargetSchema = {}
        self.others: TargetSchema = {}
        self._made_schema = False
        self._schema_in_transaction = False
        self.fresh = False
        self._later: list[str] = []

    @property
    def _open(self) -> Connection:
        if self._connection is None:
            message = "open() comes first"
            raise RuntimeError(message)
        return self._connection

    def open(self) -> None:
        try:
            connection = self._connection = self._engine.connect()
            names = inspect(connection).get_table_names()
            empty = not names or MARKER in names
        except OperationalError as error:
            raise ServerError(f"{self.address} cannot be reached: {_said(error)}") from error
        try:
            if empty and self.dialect == "postgresql":
                make_schema_within(connection)
                self._schema_in_transaction = True
            elif empty:
                self._made_schema = True
                make_schema(self._engine.url)
            else:
                check_revision(self._engine, self.address)
            self.schema, self.others = target_schema(connection)
            self.fresh = holds_nothing(self)
            self._end_reading()
        except SQLAlchemyError as error:
            raise TargetError(f"{self.address} cannot be used: {_said(error)}") from error

    def rows(self, table: str, columns: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
        names = ", ".join(self._quoted(column) for column in columns)
        query = text(f"SELECT {names} FROM {table}")  # noqa: S608 - names of MLflow's schema
        with self._open.execute(query, execution_options={"stream_results": True, "yield_per": _SLICE}) as rows:
            for row in rows:
                yield tuple(row)

    def _end_reading(self) -> None:
        """End the transaction that reading began, unless the tables were made in it."""
        if not self._schema_in_transaction:
            self._open.rollback()

    def begin(self) -> None:
        self._end_reading()
        if self.dialect == "mysql":
            self.run("SET SESSION sql_mode = CONCAT(@@sql_mode, ',NO_AUTO_VALUE_ON_ZERO')")
            self.run("SET SESSION foreign_key_checks = 0")
        elif self.fresh:
            self._drop_keys()

    def _drop_keys(self) -> None:
        """Drop what slows bulk inserts down, and remember how to make it again, in an order in which that works."""
        constraints: Sequence[Any] = self._open.execute(text(_CONSTRAINTS)).all()
        foreign = [row for row in constraints if row[2] == "f"]
        unique = [row for row in constraints if row[2] != "f" and row[0] in BULK]
        indexes = self._open.execute(text(_INDEXES), {"names": list(BULK)}).all()
        for name, statement in indexes:
            self.run(f"DROP INDEX {name}")
            self._later.append(statement)
        for table, name, _, definition in (*foreign, *unique):
            self.run(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')
            self._later.append(f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {definition}')
        self._later.sort(key=_rank)

    def run(self, statement: str, values: tuple[Any, ...] = ()) -> None:
        names = {f"v{number}": value for number, value in enumerate(values)}
        for name in names:
            statement = statement.replace("?", f":{name}", 1)
        try:
            self._open.execute(text(statement) if values else text(statement.replace(":", r"\:")), names)
        except SQLAlchemyError as error:
            raise TargetError(f"{self.address} refused {statement[:60]!r}: {_said(error)}") from error

    def prepared(self, rows: pa.Table) -> Any:
        return _as_csv(rows) if self.dialect == "postgresql" else rows

    def insert(self, table: str, prepared: Any) -> None:
        try:
            if self.dialect == "postgresql":
                self._copy_in(table, prepared)
            else:
                self._insert_many(table, prepared)
        except SQLAlchemyError as error:
            raise TargetError(f"{self.address} refused rows of {table}: {_said(error)}") from error

    def insert_new(self, table: str, prepared: Any) -> int:
        try:
            if self.dialect == "postgresql":
                return self._copy_new_in(table, prepared)
            return self._insert_many(table, prepared, "IGNORE")
        except SQLAlchemyError as error:
            raise TargetError(f"{self.address} refused rows of {table}: {_said(error)}") from error

    def _copy_new_in(self, table: str, rows: _Csv) -> int:
        """Copy rows to a temporary table, as the keys of this one may be dropped, and insert from there what is new."""
        self.run(f"CREATE TEMPORARY TABLE IF NOT EXISTS {_BESIDE} (LIKE {table}) ON COMMIT DROP")
        self._copy_in(_BESIDE, rows)
        key = " AND ".join(f"there.{name} = {_BESIDE}.{name}" for name in map(self._quoted, rows.names))
        new = f"INSERT INTO {table} SELECT * FROM {_BESIDE} WHERE NOT EXISTS (SELECT 1 FROM {table} there WHERE {key})"  # noqa: S608 - names of MLflow's schema
        added = int(self._open.execute(text(new)).rowcount)
        self.run(f"DROP TABLE {_BESIDE}")
        return added

    def _copy_in(self, table: str, rows: _Csv) -> None:
        import psycopg2  # noqa: PLC0415

        names = ", ".join(self._quoted(name) for name in rows.names)
        cursor: Any = self._open.connection.cursor()
        try:
            with cursor:
                cursor.copy_expert(f"COPY {table} ({names}) FROM STDIN WITH (FORMAT csv)", rows.buffer, 1 << 20)
        except psycopg2.Error as error:
            raise TargetError(f"{self.address} refused rows of {table}: {str(error).strip()}") from error

    def _insert_many(self, table: str, rows: pa.Table, unless: str = "") -> int:
        names = ", ".join(self._quoted(name) for name in rows.column_names)
        marks = ", ".join("%s" for _ in rows.column_names)
        statement = f"INSERT {unless} INTO {table} ({names}) VALUES ({marks})"  # noqa: S608 - names of MLflow's schema
        cursor: Any = self._open.connection.cursor()
        added = 0
        try:
            for batch in rows.to_batches(_SLICE):
                added += cursor.executemany(statement, list(zip(*(c.to_pylist() for c in batch.columns), strict=True)))
        except self._engine.dialect.loaded_dbapi.Error as error:
            raise TargetError(f"{self.address} refused rows of {table}: {error}") from error
        finally:
            cursor.close()
        return added

    def commit(self) -> None:
        for statement in self._later:
            self.run(statement)
        if self.dialect == "postgresql":
            self.run(
                "SELECT setval(pg_get_serial_sequence('experiments', 'experiment_id'), "
                "GREATEST((SELECT MAX(experiment_id) FROM experiments), 1))"
            )
        try:
            self._open.commit()
        except SQLAlchemyError as error:
            message = f"{self.address} did not take the transaction: {_said(error)}; look there before trying again"
            raise CommitUncertainError(message) from error
        self._made_schema = False
        self.rollback()

    def rollback(self) -> None:
        if self._connection is not None:
            with suppress(SQLAlchemyError):
                self._connection.rollback()
            self._connection.close()
            self._connection = None
        if self._made_schema:
            self._made_schema = False
            remove_tables(self._engine)  # the database had none
        self._engine.dispose()

    def _quoted(self, name: str) -> str:
        return f"`{name}`" if self.dialect == "mysql" else f'"{name}"'


def _as_csv(rows: pa.Table) -> _Csv:
    """Return rows for COPY: every text is quoted, so that an empty one differs from none."""
    buffer = io.BytesIO()
    pa_csv.write_csv(rows, buffer, pa_csv.WriteOptions(include_header=False, quoting_style="all_valid"))
    buffer.seek(0)
    return _Csv(rows.column_names, buffer)


def _said(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).strip().split("\n", maxsplit=1)[0]


def _rank(statement: str) -> int:
    """Return when a statement can run: indexes after primary keys, and foreign keys last."""
    order = {"PRIMARY KEY": 0, "UNIQUE": 0, "FOREIGN KEY": 2}
    return next((rank for word, rank in order.items() if f'" {word}' in statement), 1)
