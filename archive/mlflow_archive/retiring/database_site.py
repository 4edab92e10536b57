"""A backend database, whose rows say themselves that they are deleted: one statement in a transaction of its own.

As MLflow deletes a run it removes assessments that came from it; these stay here, so that all of it comes back.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, bindparam, create_engine, inspect, text
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from mlflow_archive.errors import SelectionError, ServerError, TargetError
from mlflow_archive.flow.source import Source
from mlflow_archive.kinds import LOGGED_MODEL, RUN, TRACE
from mlflow_archive.mlflow_database.uris import DatabaseUri, parse_database_uri
from mlflow_archive.retiring.database_rows import StillNeededError, delete_rows
from mlflow_archive.retiring.site import ACTIVE, DELETED, Address, Entangled, Foundation
from mlflow_archive.retiring.trace_rows import TableSums, delete_trace, sums_of
from mlflow_archive.sources.locate import locate_source

if TYPE_CHECKING:
    from mlflow_archive.sources.database import DatabaseSource

_DRIVERS: Final = {"postgresql": "postgresql+psycopg2", "mysql": "mysql+pymysql", "mariadb": "mysql+pymysql"}
_STAGES: Final = {
    RUN: "SELECT run_uuid, lifecycle_stage FROM runs WHERE run_uuid IN :ids",
    LOGGED_MODEL: "SELECT model_id, lifecycle_stage FROM logged_models WHERE model_id IN :ids",
    TRACE: "SELECT request_id, 'active' FROM trace_info WHERE request_id IN :ids",
}
_HIDE: Final = {
    RUN: "UPDATE runs SET lifecycle_stage = 'deleted', deleted_time = :now "
    "WHERE run_uuid = :id AND lifecycle_stage = 'active'",
    LOGGED_MODEL: "UPDATE logged_models SET lifecycle_stage = 'deleted', last_updated_timestamp_ms = :now "
    "WHERE model_id = :id AND lifecycle_stage = 'active'",
}
_SHOW: Final = {
    RUN: "UPDATE runs SET lifecycle_stage = 'active', deleted_time = NULL "
    "WHERE run_uuid = :id AND lifecycle_stage = 'deleted'",
    LOGGED_MODEL: "UPDATE logged_models SET lifecycle_stage = 'active', last_updated_timestamp_ms = :updated "
    "WHERE model_id = :id AND lifecycle_stage = 'deleted'",
}


class DatabaseSite:
    """The database at a URI; ``reading`` is what ``locate_source`` takes beside it."""

    kinds: tuple[str, ...] = (LOGGED_MODEL, RUN)
    kind = "database"
    unseen: frozenset[str] = frozenset()

    def __init__(self, uri: str, reading: Mapping[str, Any]) -> None:
        self._uri, self._reading = uri, reading
        self._parsed = parse_database_uri(uri)
        self.uri = self._parsed.shown
        self._engine = _engine(self._parsed)

    @property
    def folder(self) -> Path | None:
        """The folder of a SQLite file, from which relative locations go on."""
        return None if self._parsed.path is None else self._parsed.path.absolute().parent

    def source(self) -> Source:
        return locate_source(self._uri, **self._reading)

    def stages(self, objects: Sequence[Address]) -> dict[tuple[str, str], str]:
        stages = {}
        with self._transaction() as connection:
            for kind, query in _STAGES.items():
                ids = [address.id for address in objects if address.kind == kind]
                if ids:
                    rows = connection.execute(text(query).bindparams(bindparam("ids", expanding=True)), {"ids": ids})
                    stages.update({(kind, row[0]): DELETED if row[1] == DELETED else ACTIVE for row in rows})
        return stages

    def foundation(self, runs: Sequence[Address]) -> Foundation:
        with closing(cast("DatabaseSource", self.source())) as source:  # what leads to a database
            foundation = source.registered()
        return Foundation(runs=foundation.runs, logged_models=foundation.logged_models)

    def entangled(self, kinds: Collection[str], experiments: Collection[str] | None) -> Entangled:
        return {}  # a delete is one of the object alone, and the transaction of a purge asks

    def hide(self, address: Address) -> None:
        self._change(_HIDE[address.kind], {"id": address.id, "now": time.time_ns() // 1_000_000})

    def show(self, address: Address) -> None:
        if address.kind not in _SHOW:
            return  # a trace is never out of sight
        updated = {"updated": address.updated_ms} if address.kind == LOGGED_MODEL else {}
        self._change(_SHOW[address.kind], {"id": address.id, **updated})

    def purge(self, address: Address, numbers: Mapping[str, int]) -> str:
        """Delete the rows of an object that is deleted softly, for good; return why it stays, empty where it is gone.

        ``numbers`` are those of its rows by table of the archive.
        """
        try:
            with self._transaction() as connection:
                delete_rows(connection, address.kind, address.id, numbers, self._tables)
        except StillNeededError as error:
            return str(error)
        return ""

    def sums(self, trace_ids: Sequence[str]) -> dict[str, TableSums]:
        """Return the sums of the rows of traces, for ``purge_trace``."""
        with self._transaction() as connection:
            return {trace_id: sums_of(connection, trace_id, self._tables) for trace_id in trace_ids}

    def purge_trace(self, trace_id: str, seen: TableSums) -> str:
        """Delete the rows of a trace for good if they are as ``seen``; return why it stays, empty where it is gone."""
        try:
            with self._transaction() as connection:
                delete_trace(connection, trace_id, seen, self._tables)
        except StillNeededError as error:
            return str(error)
        return ""

    def check_schema(self) -> None:
        """Raise SelectionError where the database may hold something that no archive of this version has."""
        with closing(self.source()) as source:
            facts = source.facts()
        if facts.newer_schema:
            raise SelectionError(
                f"{self.uri} has the schema {facts.schema_revision}, which this version does not know: what it keeps "
                "beside is in no archive, so that nothing is purged there"
            )

    @cached_property
    def _tables(self) -> frozenset[str]:
        return frozenset(inspect(self._engine).get_table_names())

    def roots(self) -> list[str]:
        with self._transaction() as connection:
            rows = connection.execute(text("SELECT artifact_location FROM experiments"))
            return [row[0] for row in rows if row[0]]

    def close(self) -> None:
        self._engine.dispose()

    def _change(self, statement: str, values: Mapping[str, Any]) -> None:
        with self._transaction() as connection:
            connection.execute(text(statement), values)

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """Give a connection; what was done is committed at the end. Raises ServerError, TargetError."""
        try:
            with self._engine.begin() as connection:
                yield connection
        except OperationalError as error:
            if self._parsed.path is None:
                raise ServerError(f"{self.uri} cannot be reached: {error.orig}") from error
            raise TargetError(f"{self.uri} cannot be written: {error.orig}") from error
        except SQLAlchemyError as error:
            raise TargetError(f"{self.uri} refused: {getattr(error, 'orig', None) or error}") from error


def _engine(uri: DatabaseUri) -> Engine:
    if uri.path is not None:
        name = f"file:{quote(str(uri.path.absolute()))}"
        return create_engine(
            URL.create("sqlite", database=name, query={"mode": "rw", "uri": "true"})
        )  # never a new one
    return create_engine(uri.url.set(drivername=_DRIVERS.get(uri.url.drivername, uri.url.drivername)))
