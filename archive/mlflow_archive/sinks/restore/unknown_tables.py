"""Tables that this version does not know, put back into a database whose MLflow knows them."""

from __future__ import annotations

import re
from typing import Final

import pyarrow as pa

from mlflow_archive.format.unknown_tables import is_withheld
from mlflow_archive.mlflow_database.known_schema import ACCOUNT_REVISIONS, is_known_table
from mlflow_archive.mlflow_database.mlflow_schema import head_revision
from mlflow_archive.sinks.restore.database import RestoreDatabase

_PLAIN_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def reason_against(database: RestoreDatabase, name: str, rows: pa.Table, revision: str | None) -> str | None:
    """Return why an unknown table of the source cannot be put back, None where it can.

    ``revision`` is that of the source's schema. The database must be open, at the revision of the installed MLflow.
    """
    head = head_revision()
    columns = database.others.get(name)
    if revision != head:
        return f"the source had the schema revision {revision}, the target has {head}"
    if columns is None or not _PLAIN_NAME.fullmatch(name):
        return "the target has no such table"
    if reason := _protected(name, rows, frozenset(database.others)):
        return reason
    strange = [column for column in rows.column_names if column not in columns]
    needed = [c.name for c in columns.values() if not c.nullable and c.name not in rows.column_names]
    if strange or needed:
        return f"its columns differ in {', '.join((*strange, *needed))}"
    if database.dialect != "sqlite" and any(pa.types.is_binary(kind) for kind in rows.schema.types):
        return f"bytes are not put back into {database.dialect}"
    has_rows = next(database.rows(name, (rows.column_names[0],)), None) is not None
    return "the target's table has rows" if has_rows else None


def _protected(name: str, rows: pa.Table, tables: frozenset[str]) -> str | None:
    """Return why nobody may write what an export never carries: a stranger's archive may call any table unknown."""
    if ACCOUNT_REVISIONS in tables:
        return "the target holds accounts of a log-in"
    if is_known_table(name, tables) or any(map(is_withheld, rows.column_names)):
        return "it is none that an export carries"
    return None
