"""The columns of MLflow's own tables in the target, by reflection."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, inspect
from sqlalchemy import types as sql
from sqlalchemy.dialects.mysql import TEXT
from sqlalchemy.engine import Inspector

from mlflow_archive.mlflow_database.mapping import MAPS
from mlflow_archive.sinks.restore.database import TargetColumn, TargetSchema
from mlflow_archive.sinks.restore.derived import ISSUE_CATEGORIES

_TEXT_BYTES = 65_535


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
