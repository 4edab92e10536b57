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
"""Tables of several kinds of rows, told apart by their types."""

DATABASE = "database"
"""Owner kind of gaps that concern no object."""


def orphans(snapshot: Snapshot) -> Iterator[Gap]:
    """Yield a gap for each owner that is gone and each table with rows of it."""
    columns = snapshot.schema.columns
    for root in ROOTS.values():
        if root.parent is not None and root.stored_in in columns:
            yield from _without_parent(snapshot, root)
    for each in MAPS.values():
        root = ROOTS[each.kind]
        if (
            each.stored_in in columns
            and root.stored_in in columns
            and each.stored_in != root.stored_in
            and "." not in each.owner
        ):
            yield from _without_owner(snapshot, each, root)
        if all(name in columns for name in (each.stored_in, *(join.table for join in each.joins))):
            for join in each.joins:
                yield from _without_joined(snapshot, each, join)


def unknown_rows(snapshot: Snapshot) -> Iterator[Gap]:
    """Yield a gap for each kind of edge that no archive table holds."""
    for name in _EDGES:
        if name not in snapshot.schema.columns:
            continue
        known = [each.where for each in MAPS.values() if each.stored_in == name]
        kinds: tuple[ColumnClause[Any], ...] = (column("source_type"), column("destination_type"))
        counting = select(*kinds, func.count().label("rows")).select_from(table(name)).group_by(*kinds)
        for batch in snapshot.fetch(counting):
            for source, destination, rows in zip(*(map(_plain, batch[key]) for key in batch), strict=True):
                found = {"source_type": source, "destination_type": destination}
                if not any(where.items() <= found.items() for where in known):
                    reason = (
                        f"{rows} rows of {name} lead from {source} to {destination}; no table of an archive holds them"
                    )
                    path = f"{source}/{destination}"
                    yield Gap(owner_kind=DATABASE, owner_id=name, path=path, code=UNKNOWN_ROWS, reason=reason)


def _without_parent(snapshot: Snapshot, root: Root) -> Iterator[Gap]:
    assert root.parent is not None  # noqa: S101 - asked before
    name, parent = root.parent
    own, theirs = table(root.stored_in), table(parent)
    ids, refers = column_of(own, root.root_id), column_of(own, name)
    there = exists().select_from(theirs).where(column_of(theirs, name) == refers)
    lost = select(ids.label("id"), refers.label("parent")).select_from(own).where(not_(there))
    for batch in snapshot.fetch(lost):
        for owner, missing in zip(map(_plain, batch["id"]), map(_plain, batch["parent"]), strict=True):
            reason = f"its {name} {missing} is not in {parent}"
            yield Gap(owner_kind=root.kind, owner_id=str(owner), path="", code=ORPHAN_ROWS, reason=reason)


def _without_owner(snapshot: Snapshot, each: TableMap, root: Root) -> Iterator[Gap]:
    own = table(each.stored_in)
    owner = column_of(own, each.owner)
    for lost in _lost_owners(snapshot, each, root):
        counting = select(func.count().label("rows")).select_from(own).where(owner == lost)
        for place, value in each.where.items():
            counting = counting.where(column_of(own, place) == value)
        rows = sum(_plain(batch["rows"][0]) for batch in snapshot.fetch(counting))
        if rows:
            kind = root.kind.replace("_", " ")
            reason = f"{rows} rows of {each.stored_in} belong to a {kind} that is not in {root.stored_in}"
            yield Gap(owner_kind=root.kind, owner_id=str(lost), path=each.stored_in, code=ORPHAN_ROWS, reason=reason)


def _without_joined(snapshot: Snapshot, each: TableMap, join: Join) -> Iterator[Gap]:
    """Yield a gap for each owner with rows that refer to nothing, so that no archive row can be made of them."""
    if any("." in ours for ours in join.on.values()):
        return  # what that one refers to is told of with its own rows
    own, theirs = table(each.stored_in), table(join.table)
    there = exists().select_from(theirs)
    for name, ours in join.on.items():
        there = there.where(column_of(theirs, name) == column_of(own, ours))
    elsewhere = "." in each.owner
    owner: ColumnElement[Any] = literal("") if elsewhere else column_of(own, each.owner)
    lost = select(owner.label("id"), func.count().label("rows")).select_from(own)
    if not elsewhere:
        lost = lost.group_by(owner)
    for place, value in each.where.items():
        name, dot, col = place.rpartition(".")
        if not dot:
            lost = lost.where(column_of(own, col) == value)
        elif name == join.table:
            there = there.where(column_of(theirs, col) == value)
    for batch in snapshot.fetch(lost.where(not_(there))):
        for found, rows in zip(map(_plain, batch["id"]), map(_plain, batch["rows"]), strict=True):
            reason = f"{rows} rows of {each.stored_in} belong to rows of {join.table} that are not there"
            kind, owner_id = (DATABASE, each.stored_in) if elsewhere else (each.kind, str(found))
            path = f"{each.stored_in}/{join.table}"
            if rows:
                yield Gap(owner_kind=kind, owner_id=owner_id, path=path, code=ORPHAN_ROWS, reason=reason)


def _lost_owners(snapshot: Snapshot, each: TableMap, root: Root) -> list[Any]:
    """Return owners that are in a table but not in that of their kind."""
    own, theirs = table(each.stored_in), table(root.stored_in)
    owner = column_of(own, each.owner)
    there = exists().select_from(theirs).where(column_of(theirs, root.root_id) == owner)
    lost: Query = select(owner.label("id")).select_from(own).where(not_(there)).distinct()
    if not each.where and each.owner in snapshot.schema.indexed.get(each.stored_in, ()):
        # From one owner to the next along the index: as many steps as there are owners, not rows.
        lost = text(
            f"WITH RECURSIVE owners(id) AS (SELECT MIN({each.owner}) FROM {each.stored_in} UNION ALL "  # noqa: S608 - names of the map
            f"SELECT (SELECT MIN({each.owner}) FROM {each.stored_in} WHERE {each.owner} > owners.id) FROM owners "
            f"WHERE owners.id IS NOT NULL) SELECT id FROM owners WHERE id IS NOT NULL AND NOT EXISTS "
            f"(SELECT 1 FROM {root.stored_in} WHERE {root.root_id} = owners.id)"
        )
    return [_plain(value) for batch in snapshot.fetch(lost) for value in batch["id"]]


def _plain(value: Any) -> Any:
    """Return a value of either form of a column as a Python object."""
    return value.as_py() if hasattr(value, "as_py") else value
