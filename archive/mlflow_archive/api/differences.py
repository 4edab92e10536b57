"""What differs between two archives, object by object and field by field.

Objects are the same if kind and id are. Blocks of objects are read from both sides and compared as Arrow tables first,
so that what is equal costs little, and memory does not grow with the archives.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from mlflow_archive.api.announced import Announced
from mlflow_archive.format.gaps import ARTIFACT_GAPS
from mlflow_archive.kinds import BY_ROW, DEFAULT_WORKSPACE, IDENTITIES, TABLES, WORKSPACE, Table
from mlflow_archive.reader.archive import Archive, owner_ids
from mlflow_archive.reader.inspection.rows import plain_rows, plain_values

BLOCK: Final = 100
"""How many objects are compared at a time."""

_NOT_CONTENT: Final = frozenset({"fingerprints"})
_LOCATIONS: Final = frozenset(
    {
        "experiments.artifact_location",
        "runs.artifact_uri",
        "logged_models.artifact_location",
        "model_versions.storage_location",
    }
)
_TRACE_LOCATIONS: Final = ("mlflow.artifactLocation", "mlflow.trace.archiveLocation")
_REFERENCES: Final = ("runs:/", "models:/")
"""How a source of a model version begins that names an object and no location."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldChange:
    """One difference in an object both sides have: ``key`` names the row in the table, ``field`` the column.

    A row that only one side has is one change with the field empty; ``before`` and ``after`` are the row or None. Of
    a history (metrics) ``before`` and ``after`` count its points, and ``first`` is the first one that differs.
    """

    table: str
    key: Mapping[str, Any]
    field: str
    before: Any
    after: Any

    def to_json(self) -> dict[str, Any]:
        """Return ``table``, ``key``, ``field``, ``before`` and ``after``, as ``diff --json`` prints them."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectChange:
    """An object that was ``added``, ``removed`` or ``changed``."""

    kind: str
    id: str
    change: str
    fields: Sequence[FieldChange] = ()

    def to_json(self) -> dict[str, Any]:
        """Return ``kind``, ``id``, ``change`` and ``fields``, one line of ``diff --json``."""
        return {"kind": self.kind, "id": self.id, "change": self.change, "fields": [f.to_json() for f in self.fields]}


@dataclass(frozen=True, slots=True)
class Comparison:
    """How to compare. ``hidden`` are columns (``table.column``) that one side does not show: they are not compared.

    Without ``locations`` it is not compared where artifacts lie, which is another place after a move. ``announced`` is
    what a restore of the first side into the second said.
    """

    artifacts: bool = True
    locations: bool = True
    hidden: frozenset[str] = field(default_factory=frozenset)
    announced: Announced = field(default_factory=lambda: Announced({}))

    def tables(self, kind: str) -> list[Table]:
        """Return the tables whose rows an object of a kind owns, without those that are not compared."""
        return [
            table
            for table in TABLES.values()
            if table.entity in (kind, BY_ROW)
            and table.name not in _NOT_CONTENT
            and (self.artifacts or table.name != "artifacts")
        ]

    def columns(self, table: Table) -> list[str]:
        """Return the columns of a table that are compared, in its order."""
        hidden = self.hidden if self.locations else self.hidden | _LOCATIONS
        return [name for name in table.column_names if f"{table.name}.{name}" not in hidden]

    def is_left_out(self, table: Table, change: FieldChange) -> bool:
        """Return whether a change is one of artifacts, or of a location that has no column of its own."""
        if not self.artifacts and table.name == "gaps" and str(change.key.get("code")) in ARTIFACT_GAPS:
            return True
        if self.locations:
            return False
        if change.field == "source" and table.name == "model_versions":
            return not any(str(value).startswith(_REFERENCES) for value in (change.before, change.after))
        return table.name == "trace_tags" and change.key.get("key") in _TRACE_LOCATIONS


def hidden_columns(before: Archive, after: Archive) -> frozenset[str]:
    """Return the columns that one side has no value in at all, where the two were read from sources of other kinds.

    A REST API hides columns that a database has (spec/tables.md): that is not a difference between the objects.
    """
    kinds = {archive.newest_export.source.get("kind") for archive in (before, after)}
    if len(kinds) == 1:
        return frozenset()
    hidden = set()
    for table in TABLES.values():
        for column in table.columns:
            if column.nullable and _is_empty(before, table.name, column.name) != _is_empty(
                after, table.name, column.name
            ):
                hidden.add(f"{table.name}.{column.name}")
    return frozenset(hidden)


def _is_empty(archive: Archive, table: str, column: str) -> bool:
    return all(rows[column].null_count == rows.num_rows for rows in archive.batches(table, columns=[column]))


def differences(before: Archive, after: Archive, comparison: Comparison | None = None) -> Iterator[ObjectChange]:
    """Yield what differs, kind by kind, by id. Raises DamagedError."""
    comparison = comparison or Comparison()
    for kind, identity in IDENTITIES.items():
        sides = [_owners(archive, identity) for archive in (before, after)]
        everything = sorted(sides[0].keys() | sides[1].keys())
        for at in range(0, len(everything), BLOCK):
            block = everything[at : at + BLOCK]
            shared = [owner_id for owner_id in block if owner_id in sides[0] and owner_id in sides[1]]
            changed = field_changes(
                before, after, kind, {owner_id: sides[0][owner_id] for owner_id in shared}, comparison
            )
            for owner_id in block:
                if kind == WORKSPACE and owner_id == DEFAULT_WORKSPACE and owner_id not in shared:
                    continue  # every server has it, and not every source shows it
                if owner_id not in sides[0]:
                    yield ObjectChange(kind=kind, id=owner_id, change="added")
                elif owner_id not in sides[1]:
                    yield ObjectChange(kind=kind, id=owner_id, change="removed")
                elif fields := changed.get(owner_id):
                    yield ObjectChange(kind=kind, id=owner_id, change="changed", fields=fields)


def _owners(archive: Archive, identity: Table) -> dict[str, str]:
    """Return owner id to first key column of all objects of a kind."""
    key_of: dict[str, str] = {}
    for rows in archive.batches(identity.name, columns=list(identity.owner)):
        key_of.update(zip(owner_ids(rows, identity).to_pylist(), rows[identity.key[0]].to_pylist(), strict=True))
    return key_of


def field_changes(
    before: Archive, after: Archive, kind: str, owners: Mapping[str, str], comparison: Comparison
) -> dict[str, list[FieldChange]]:
    """Return by id how objects differ that both sides have; ``owners`` maps their ids to their first key column."""
    changes: dict[str, list[FieldChange]] = {}
    if not owners:
        return changes
    for table in comparison.tables(kind):
        columns = comparison.columns(table)
        old, new = (
            _rows(archive, table, kind, owners, comparison.announced).select(columns).combine_chunks()
            for archive in (before, after)
        )
        if old.equals(new):
            continue
        compare = _histories if not table.unique else _records
        for owner, change in compare(table, old, new, columns):
            if owner in owners and not comparison.is_left_out(table, change):
                changes.setdefault(owner, []).append(change)
    return changes


def _rows(archive: Archive, table: Table, kind: str, owners: Mapping[str, str], announced: Announced) -> pa.Table:
    keys = owners.keys() if table.entity == BY_ROW else set(owners.values())
    rows = archive.table(table.name, owners=keys)
    if table.entity == BY_ROW:
        rows = rows.filter(pc.equal(rows["owner_kind"], kind))
    order = [(name, "ascending") for name in table.column_names]
    return announced.as_stored(table, rows).sort_by(order)


def _records(table: Table, old: pa.Table, new: pa.Table, columns: Sequence[str]) -> Iterator[tuple[str, FieldChange]]:
    """Compare rows one by one, by key."""
    sides = [dict(zip(_keys(table, rows), plain_rows(rows), strict=True)) for rows in (old, new)]
    owners: dict[tuple[Any, ...], str] = {}
    for rows in (old, new):
        owners.update(zip(_keys(table, rows), owner_ids(rows, table).to_pylist(), strict=True))
    for key in sorted(sides[0].keys() | sides[1].keys(), key=repr):
        before, after = (side.get(key) for side in sides)
        row = before or after or {}
        rest = {name: row[name] for name in table.key if name not in (*table.owner, "owner_kind")}
        if before is None or after is None:
            cells = [None if record is None else _rest(table, record) for record in (before, after)]
            yield owners[key], FieldChange(table=table.name, key=rest, field="", before=cells[0], after=cells[1])
            continue
        for name in columns:
            if name not in table.key and not _same(before[name], after[name]):
                change = FieldChange(table=table.name, key=rest, field=name, before=before[name], after=after[name])
                yield owners[key], change


def _keys(table: Table, rows: pa.Table) -> Iterator[tuple[Any, ...]]:
    return zip(*(plain_values(rows[name]) for name in table.key), strict=True)


def _histories(table: Table, old: pa.Table, new: pa.Table, columns: Sequence[str]) -> Iterator[tuple[str, FieldChange]]:
    """Compare histories as a whole: of each owner and key the number of points, and the first that differs."""
    sides: list[dict[tuple[str, str], list[tuple[Any, ...]]]] = []
    for rows in (old, new):
        values = zip(*(plain_values(rows[name]) for name in columns), strict=True)
        owner, key = columns.index(table.owner[0]), columns.index("key")
        grouped = groupby(values, key=lambda row: (row[owner], row[key]))
        sides.append(
            {owner_and_key: [tuple(map(_comparable, row)) for row in points] for owner_and_key, points in grouped}
        )
    for owner_id, name in sorted(sides[0].keys() | sides[1].keys()):
        before, after = (side.get((owner_id, name), []) for side in sides)
        if before == after:
            continue
        at = next((n for n, pair in enumerate(zip(before, after, strict=False)) if pair[0] != pair[1]), None)
        key_of = {"key": name}
        if at is None:
            yield (
                owner_id,
                FieldChange(table=table.name, key=key_of, field="points", before=len(before), after=len(after)),
            )
        else:
            first = [dict(zip(columns, side[at], strict=True)) for side in (before, after)]
            point = [{n: row[n] for n in ("step", "timestamp", "value")} for row in first]
            yield (
                owner_id,
                FieldChange(
                    table=table.name, key={**key_of, "point": at}, field="point", before=point[0], after=point[1]
                ),
            )


def _rest(table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in (*table.key, *table.owner) and value is not None}


def _same(before: object, after: object) -> bool:
    return _comparable(before) == _comparable(after)


def _comparable(value: object) -> object:
    return "NaN" if isinstance(value, float) and value != value else value  # noqa: PLR0124 - NaN is not itself
