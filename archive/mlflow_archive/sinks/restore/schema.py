"""MLflow's own schema in the target: made by MLflow, checked against the installed one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy import types as sql
from sqlalchemy.engine import Inspector

from mlflow_archive.backend.mapping import MAPS
from mlflow_archive.errors import TargetError
from mlflow_archive.sinks.restore.database import TargetColumn, TargetSchema

VERSION_TABLE = "alembic_version"


def make_schema(engine: Engine) -> None:
    """Make MLflow's tables in an empty database, at the head of the installed MLflow. Raises TargetError."""
    with _mlflow_schema() as database:
        database._initialize_tables(engine)


def make_schema_within(connection: Connection) -> None:
    """Make MLflow's tables in the transaction of a connection, where the database can do that. Raises TargetError.

    MLflow's own way takes a connection of its own and commits; its migrations are the same.
    """
    with _mlflow_schema() as database:
        from alembic.runtime.environment import EnvironmentContext  # noqa: PLC0415 - comes with MLflow
        from alembic.script import ScriptDirectory  # noqa: PLC0415

        database.InitialBase.metadata.create_all(connection)
        config = database._get_alembic_config("")
        script = ScriptDirectory.from_config(config)
        heads = script.get_heads()
        with EnvironmentContext(config, script, fn=lambda now, _: script._upgrade_revs(heads, now)) as environment:  # type: ignore[arg-type]
            environment.configure(connection=connection, target_metadata=database.Base.metadata, render_as_batch=True)
            environment.run_migrations()


def check_revision(engine: Engine, shown: str) -> None:
    """Raise TargetError unless the database has the tables of the installed MLflow."""
    tables = set(inspect(engine).get_table_names())
    if VERSION_TABLE not in tables:
        some = ", ".join(sorted(tables)[:5])
        raise TargetError(f"{shown} holds other tables than MLflow's ({some}); give an empty database")
    with engine.connect() as connection:
        found = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608 - a constant
    with _mlflow_schema() as database:
        head = database._get_latest_schema_revision()
    if found != head:
        raise TargetError(
            f"{shown} has the schema revision {found}, the installed MLflow has {head}; run `mlflow db upgrade` with "
            "the URI of the database first, or install the MLflow that wrote it"
        )


def target_schema(engine: Engine | Connection) -> TargetSchema:
    """Return the columns of the tables that an archive fills; computed ones are left out."""
    inspector: Inspector = inspect(engine)
    there = set(inspector.get_table_names())
    wanted = {each.stored_in for each in MAPS.values()} | {"latest_metrics"}
    return {
        name: {
            column["name"]: TargetColumn(
                name=column["name"],
                kind=_kind(column["type"]),
                nullable=bool(column["nullable"]),
                length=getattr(column["type"], "length", None) if isinstance(column["type"], sql.String) else None,
            )
            for column in inspector.get_columns(name)
            if not column.get("computed")
        }
        for name in sorted(wanted & there)
    }


def _kind(kind: Any) -> str:
    if isinstance(kind, sql.Boolean) or getattr(kind, "display_width", None) == 1:
        return "boolean"
    if isinstance(kind, sql.BigInteger):
        return "bigint"
    if isinstance(kind, sql.Integer):
        return "integer"
    if isinstance(kind, sql.Float | sql.Numeric):
        return "real"
    return "binary" if isinstance(kind, sql.LargeBinary) else "text"


@contextmanager
def _mlflow_schema() -> Iterator[Any]:
    try:
        from mlflow.store.db import utils  # noqa: PLC0415
    except ImportError as error:
        raise TargetError("a restore needs MLflow in full: pip install 'mlflow-archive[server]'") from error
    yield utils
