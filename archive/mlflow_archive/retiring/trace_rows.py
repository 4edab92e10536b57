"""The rows that make a trace in MLflow's database: as sums, and deleted for good in one transaction.

Traces have no soft delete. So the rows are summed up before they are compared with an archive, and once more behind
locks on each of them, right before they go: what is deleted is what was compared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from typing import Final

from sqlalchemy import Connection, text

from mlflow_archive.kinds import TRACE
from mlflow_archive.retiring.database_rows import StillNeededError, check_unneeded

_MODULUS: Final = 1 << 256
_OWN_TABLE, _IS_IT = "trace_info", "request_id = :id"
_PARTS: Final = (
    ("span_metrics", "trace_id = :id"),
    ("spans", "trace_id = :id"),
    ("assessments", "trace_id = :id"),
    ("trace_metrics", "request_id = :id"),
    ("entity_associations", "source_type = 'trace' AND source_id = :id"),
    ("trace_tags", "request_id = :id"),
    ("trace_request_metadata", "request_id = :id"),
)
"""Tables and conditions, in the order in which they may be deleted before the trace itself."""

TableSums = Mapping[str, tuple[int, int]]
"""By table of the database: the number of rows, and the sum of their digests."""


def sums_of(connection: Connection, trace_id: str, tables: Collection[str], *, lock: bool = False) -> TableSums:
    """Return the sums of a trace's rows, with all their columns; ``lock`` them, so that nobody changes them."""
    ending = " FOR UPDATE" if lock and connection.dialect.name != "sqlite" else ""
    sums = {}
    for table, condition in ((_OWN_TABLE, _IS_IT), *_PARTS):
        if table not in tables:
            continue
        query = text(f"SELECT * FROM {table} WHERE {condition}{ending}")  # noqa: S608 - names of MLflow's schema
        number = total = 0
        for row in connection.execute(query, {"id": trace_id}):
            digest = hashlib.sha256(repr(tuple(row)).encode("utf-8")).digest()
            number, total = number + 1, (total + int.from_bytes(digest, "big")) % _MODULUS
        sums[table] = (number, total)
    return sums


def delete_trace(connection: Connection, trace_id: str, seen: TableSums, tables: Collection[str]) -> None:
    """Delete the rows of a trace, in a transaction of the caller that did nothing before.

    ``seen`` are their sums from before they were compared, ``tables`` those that the database has. Raises
    StillNeededError, upon which the caller rolls back.
    """
    values = {"id": trace_id}
    if connection.dialect.name == "sqlite":
        # A write begins the transaction that keeps all other writers out.
        connection.execute(text(f"UPDATE {_OWN_TABLE} SET status = status WHERE {_IS_IT}"), values)  # noqa: S608
    now = sums_of(connection, trace_id, tables, lock=True)
    if changed := [table for table in now if now[table] != seen.get(table)]:
        raise StillNeededError(f"it has changed while it was compared: {', '.join(changed)}")
    for table, condition in _PARTS:
        if table not in tables:
            continue
        number = connection.execute(text(f"DELETE FROM {table} WHERE {condition}"), values).rowcount  # noqa: S608
        if number != now[table][0]:
            raise StillNeededError(f"it has {number} rows of {table}, and {now[table][0]} were compared")
    check_unneeded(connection, TRACE, trace_id, tables)
    connection.execute(text(f"DELETE FROM {_OWN_TABLE} WHERE {_IS_IT}"), values)  # noqa: S608
