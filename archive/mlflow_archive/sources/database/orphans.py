"""Rows of a database that belong to nothing: their run is gone, or their kind is not known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnClause, ColumnElement, column, exists, func, literal, not_, select, table, text

from mlflow_archive.flow.chunk import Gap
from mlflow_archive.format.gaps import ORPHAN_ROWS, UNKNOWN_ROWS
from mlflow_archive.mlflow_database.mapping import MAPS, ROOTS, Join, Root, TableMap
from mlflow_archive.sources.database.snapshot import Query, Snapshot, column_of

_EDGES = ("inputs", "entity_associations")
"""Tables of several kinds of rows, distinguished by their types."""

DATABASE = "database"
"""Owner kind of gaps that concern no object."""


def orphans(snapshot: Snapshot) -> Iterator[Gap]:
    """Yield a gap for each owner that is gone and each table with rows of it."""
    columns = snapshot.schema.columns
    for root in ROOTS.values():
        if root.parent is not None and root.stored_in in columns:
            yield from _without_parent(snapshot, root)
    for table_map in MAPS.values():
        root = ROOTS[table_map.kind]
        is_elsewhere = table_map.stored_in != root.stored_in and "." not in table_map.owner
        if is_elsewhere and {table_map.stored_in, root.stored_in} <= columns.keys():
            yield from _without_owner(snapshot, table_map, root)
        for join in table_map.joins:
            yield from _without_joined(snapshot, table_map, join)


def unknown_rows(snapshot: Snapshot) -> Iterator[Gap]:
    """Yield a gap for each kind of edge that no archive table holds."""
    for name in _EDGES:
        if name not in snapshot.schema.columns:
            continue
        known = [table_map.where for table_map in MAPS.values() if table_map.stored_in == name]
        kinds: tuple[ColumnClause[Any], ...] = (column("source_type"), column("destination_type"))
        counting = select(*kinds, func.count().label("rows")).select_from(table(name)).group_by(*kinds)
        for batch in snapshot.fetch(counting):
            for source, destination, rows in zip(*(map(_plain, batch[key]) for key in batch), strict=True):
                edge = {"source_type": source, "destination_type": destination}
                if not any(where.items() <= edge.items() for where in known):
                    way = f"lead from {source} to {destination}"
                    reason = f"{rows} rows of {name} {way}; no table of an archive holds them"
                    yield _gap(DATABASE, name, f"{source}/{destination}", reason, code=UNKNOWN_ROWS)


def _without_parent(snapshot: Snapshot, root: Root) -> Iterator[Gap]:
    assert root.parent is not None  # noqa: S101 - asked before
    name, parent = root.parent
    own, theirs = table(root.stored_in), table(parent)
    ids, refers = column_of(own, root.root_id), column_of(own, name)
    parent_rows = exists().select_from(theirs).where(column_of(theirs, name) == refers)
    orphan_rows = select(ids.label("id"), refers.label("parent")).select_from(own).where(not_(parent_rows))
    for batch in snapshot.fetch(orphan_rows):
        for owner, missing in zip(map(_plain, batch["id"]), map(_plain, batch["parent"]), strict=True):
            reason = f"its {name} {missing} is not in {parent}"
            yield _gap(root.kind, str(owner), "", reason)


def _without_owner(snapshot: Snapshot, table_map: TableMap, root: Root) -> Iterator[Gap]:
    own = table(table_map.stored_in)
    owner = column_of(own, table_map.owner)
    for owner_id in _lost_owners(snapshot, table_map, root):
        counting = select(func.count().label("rows")).select_from(own).where(owner == owner_id)
        for place, value in table_map.where.items():
            counting = counting.where(column_of(own, place) == value)
        rows = sum(_plain(batch["rows"][0]) for batch in snapshot.fetch(counting))
        if rows:
            kind = root.kind.replace("_", " ")
            reason = f"{rows} rows of {table_map.stored_in} belong to a {kind} that is not in {root.stored_in}"
            yield _gap(root.kind, str(owner_id), table_map.stored_in, reason)


def _without_joined(snapshot: Snapshot, table_map: TableMap, join: Join) -> Iterator[Gap]:
    """Yield a gap for each owner with rows that refer to nothing, so that no archive row can be made of them."""
    tables = {table_map.stored_in, *(join.table for join in table_map.joins)}
    if not tables <= snapshot.schema.columns.keys() or any("." in ours for ours in join.on.values()):
        return  # what that one refers to is reported with its own rows
    own, theirs = table(table_map.stored_in), table(join.table)
    joined_rows = exists().select_from(theirs)
    for name, ours in join.on.items():
        joined_rows = joined_rows.where(column_of(theirs, name) == column_of(own, ours))
    elsewhere = "." in table_map.owner  # the rows themselves do not say whose they are
    owner: ColumnElement[Any] = literal("") if elsewhere else column_of(own, table_map.owner)
    orphan_rows = select(owner.label("id"), func.count().label("rows")).select_from(own)
    if not elsewhere:
        orphan_rows = orphan_rows.group_by(owner)
    for place, value in table_map.where.items():
        name, dot, col = place.rpartition(".")
        if not dot:
            orphan_rows = orphan_rows.where(column_of(own, col) == value)
        elif name == join.table:
            joined_rows = joined_rows.where(column_of(theirs, col) == value)
    for batch in snapshot.fetch(orphan_rows.where(not_(joined_rows))):
        for owner_value, rows in zip(map(_plain, batch["id"]), map(_plain, batch["rows"]), strict=True):
            reason = f"{rows} rows of {table_map.stored_in} belong to rows of {join.table} that are not there"
            kind, owner_id = (DATABASE, table_map.stored_in) if elsewhere else (table_map.kind, str(owner_value))
            if rows:
                yield _gap(kind, owner_id, f"{table_map.stored_in}/{join.table}", reason)


def _lost_owners(snapshot: Snapshot, table_map: TableMap, root: Root) -> list[Any]:
    """Return owners that are in a table but not in that of their kind."""
    own, theirs = table(table_map.stored_in), table(root.stored_in)
    owner = column_of(own, table_map.owner)
    owner_rows = exists().select_from(theirs).where(column_of(theirs, root.root_id) == owner)
    lost_owners: Query = select(owner.label("id")).select_from(own).where(not_(owner_rows)).distinct()
    if not table_map.where and table_map.owner in snapshot.schema.indexed.get(table_map.stored_in, ()):
        # From one owner to the next along the index: as many steps as there are owners, not rows.
        name, key = table_map.stored_in, table_map.owner
        lost_owners = text(
            f"WITH RECURSIVE owners(id) AS (SELECT MIN({key}) FROM {name} UNION ALL "  # noqa: S608 - names of the map
            f"SELECT (SELECT MIN({key}) FROM {name} WHERE {key} > owners.id) FROM owners "
            f"WHERE owners.id IS NOT NULL) SELECT id FROM owners WHERE id IS NOT NULL AND NOT EXISTS "
            f"(SELECT 1 FROM {root.stored_in} WHERE {root.root_id} = owners.id)"
        )
    return [_plain(value) for batch in snapshot.fetch(lost_owners) for value in batch["id"]]


def _gap(kind: str, owner_id: str, path: str, reason: str, *, code: str = ORPHAN_ROWS) -> Gap:
    return Gap(owner_kind=kind, owner_id=owner_id, path=path, code=code, reason=reason)


def _plain(value: Any) -> Any:
    """Return a value of either form of a column as a Python object."""
    return value.as_py() if hasattr(value, "as_py") else value
