"""MLflow's own schema in the target: checked against the installed one, its columns by reflection."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy import types as sql
from sqlalchemy.dialects.mysql import TEXT
from sqlalchemy.engine import Inspector

from mlflow_archive.errors import TargetError
from mlflow_archive.mlflow_database.mapping import MAPS
from mlflow_archive.sinks.restore.database import TargetColumn, TargetSchema
from mlflow_archive.sinks.restore.derived import ISSUE_CATEGORIES
from mlflow_archive.sinks.restore.mlflow_schema import head_revision

VERSION_TABLE = "alembic_version"

_TEXT_BYTES = 65_535


def check_revision(engine: Engine, address: str) -> None:
    """Raise TargetError unless the database has the tables of the installed MLflow."""
    tables = set(inspect(engine).get_table_names())
    if VERSION_TABLE not in tables:
        examples = ", ".join(sorted(tables)[:5])
        raise TargetError(f"{address} holds other tables than MLflow's ({examples}); give an empty database")
    with engine.connect() as connection:
        revision = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608 - a constant
    head = head_revision()
    if revision != head:
        raise TargetError(
            f"{address} has the schema revision {revision}, the installed MLflow has {head}; run `mlflow db "
            "upgrade` with the URI of the database first, or install the MLflow that wrote it"
        )


def target_schema(engine: Engine | Connection) -> tuple[TargetSchema, TargetSchema]:
    """Return the columns of the tables that an archive fills, and of all others; computed ones are left out."""
    inspector: Inspector = inspect(engine)
    filled = {table.stored_in for table in MAPS.values()} | {"latest_metrics", ISSUE_CATEGORIES}
    names = set(inspector.get_table_names())
    return _columns(inspector, filled & names), _columns(inspector, names - filled)


def _columns(inspector: Inspector, names: set[str]) -> TargetSchema:
    return {
        name: {
            column["name"]: TargetColumn(
                name=column["name"],
                kind=_kind(column["type"]),
                nullable=bool(column["nullable"]),
                length=getattr(column["type"], "length", None) if isinstance(column["type"], sql.String) else None,
                most_bytes=_TEXT_BYTES if isinstance(column["type"], TEXT) else None,
            )
            for column in inspector.get_columns(name)
            if not column.get("computed")
        }
        for name in sorted(names)
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
