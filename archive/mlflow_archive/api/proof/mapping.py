"""Rows of the archive with the ids of the target in place of those of the source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from mlflow_archive.api.proof.identities import Identities
from mlflow_archive.kinds import GATEWAY_ENDPOINT, IDENTITIES, RUN, TRACE, WORKSPACE, Table
from mlflow_archive.sinks.replay.writing.rows import Row

_KIND_OF: Final = MappingProxyType(
    {
        **{table.owner[0]: kind for kind, table in IDENTITIES.items() if len(table.owner) == 1 and kind != WORKSPACE},
        "source_run_id": RUN,
        "action_endpoint_id": GATEWAY_ENDPOINT,
    }
)
"""Of what kind the id in a column is, in every table."""

_BY_ROW: Final[Mapping[tuple[str, str], Callable[[Row], str | None]]] = MappingProxyType(
    {
        ("trace_links", "destination_id"): lambda row: RUN if row["destination_type"] == "run" else None,
        ("gateway_endpoint_bindings", "resource_id"): lambda row: row["resource_type"],
        ("budget_policies", "target_value"): lambda row: (
            GATEWAY_ENDPOINT if row["target_scope"] == "ENDPOINT" else None
        ),
        ("review_queue_items", "item_id"): lambda row: TRACE,
        ("artifacts", "owner_id"): lambda row: row["owner_kind"],
    }
)


def references(table: Table, row: Row) -> Mapping[str, str]:
    """Return which columns of a row hold ids, and of what kind."""
    kinds: dict[str, str] = {}
    for name in table.column_names:
        by_row = _BY_ROW.get((table.name, name))
        kind = by_row(row) if by_row else _KIND_OF.get(name)
        if kind is not None and row[name]:
            kinds[name] = kind
    return kinds


def mapped(table: Table, row: Row, ids: Identities) -> dict[str, Any]:
    """Return a row with the ids of the target; an id that is not known there stays."""
    return {**row, **{name: ids.of(kind).get(row[name], row[name]) for name, kind in references(table, row).items()}}


def without_unknown(table: Table, row: Row, source: Row, ids: Identities) -> dict[str, Any]:
    """Return a mapped row in which references to what is not in the target are null."""
    nullable = {column.name for column in table.columns if column.nullable}
    unknown = [
        name
        for name, kind in references(table, source).items()
        if name in nullable and source[name] not in ids.of(kind)
    ]
    return {**row, **dict.fromkeys(unknown)}
