"""Everything an archive holds of one object of any kind: its own row, and all rows that it owns.

Runs and experiments, which people look at most, have views of their own in ``details``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

import pyarrow.compute as pc

from mlflow_archive.errors import SelectionError
from mlflow_archive.kinds import BY_ROW, IDENTITIES, OWNER_SEPARATOR, TABLES, Table, is_identity, is_named
from mlflow_archive.reader.archive import Archive, owner_ids
from mlflow_archive.reader.inspection.listing import Record, list_artifacts
from mlflow_archive.reader.inspection.rows import plain_rows

_NAMES: Final = {"trace": "trace_name", "run": "run_name", "gateway_secret": "secret_name"}
_NAMED_IN_ERRORS: Final = 5
_NAMES_COMPARED: Final = 5_000

ObjectId = tuple[str, str]
"""Kind and owner id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectDetails:
    """An object: ``info`` is its own row, ``tables`` the rows it owns by table, without the columns of the owner.

    ``pairs`` are those tables that hold one value a key, as mappings.
    """

    kind: str
    owner_id: str
    info: Record
    pairs: dict[str, dict[str, Any]]
    tables: dict[str, list[Record]]
    artifacts: list[Record]
    gaps: list[Record]

    def to_json(self) -> dict[str, Any]:
        artifacts = [{name: row[name] for name in ("path", "size", "digest")} for row in self.artifacts]
        rest = {**self.pairs, **self.tables, "artifacts": artifacts, "gaps": self.gaps}
        return {"kind": self.kind, self.kind: self.info, **rest}


def find_object(archive: Archive, text: str, kind: str | None = None) -> tuple[str, str]:
    """Return kind and owner id of the object that a text names: its id or, for the kinds that have names, its name.

    Ids are looked for first, then the beginnings of ids, then names, in all kinds or in the one given. Raises
    SelectionError if nothing is named so, or several objects are.
    """
    kinds = list(IDENTITIES) if kind is None else [kind]
    ids = ObjectIds(archive, kinds)

    def named(name: str) -> list[ObjectId]:
        return [(object_kind, value) for object_kind in kinds for value in owners_named(archive, object_kind, name)]

    for find in (ids.equal, ids.starting, named):
        if candidates := find(text):
            return only_one(archive, text, candidates, hint="give more of the id or a --kind")
    noun = "object" if kind is None else kind.replace("_", " ")
    hint = f"`mlflow-archive ls {archive.path} --help` says how to list what there is"
    if near := get_close_matches(text, ids.names(archive), _NAMED_IN_ERRORS):
        hint = f"did you mean {' or '.join(map(repr, near))}?"
    raise SelectionError(f"no {noun} of {archive.path} has the id or name {text!r}; {hint}")


class ObjectIds:
    """The owner ids of all objects of some kinds."""

    def __init__(self, archive: Archive, kinds: Iterable[str]) -> None:
        tables = {kind: IDENTITIES[kind] for kind in kinds}
        self._ids = {
            kind: owner_ids(archive.table(table.name, columns=list(table.owner)), table)
            for kind, table in tables.items()
        }

    def equal(self, text: str) -> list[ObjectId]:
        """Return the objects with this id; several kinds may have one."""
        return [(kind, text) for kind, ids in self._ids.items() if pc.any(pc.equal(ids, text)).as_py()]

    def starting(self, text: str) -> list[ObjectId]:
        """Return the objects whose id starts with a text, which is not empty; names do not count as ids."""
        return [
            (kind, str(value))
            for kind, ids in self._ids.items()
            if text and not is_named(IDENTITIES[kind])
            for value in ids.filter(pc.starts_with(ids, pattern=text)).to_pylist()
        ]

    def names(self, archive: Archive) -> list[str]:
        """Return the names of all these objects that have one, for a hint; of very many only the first."""
        names: dict[str, None] = {}
        for kind in self._ids:
            table = IDENTITIES[kind]
            if (column := _NAMES.get(kind, "name")) in table.column_names:
                names |= dict.fromkeys(filter(None, archive.table(table.name, columns=[column])[column].to_pylist()))
        return list(names)[:_NAMES_COMPARED]


def only_one(archive: Archive, text: str, candidates: Sequence[ObjectId], *, hint: str) -> ObjectId:
    """Return the one object that a text names. Raises SelectionError, which ends with ``hint``, for several."""
    if len(candidates) == 1:
        return candidates[0]
    examples = ", ".join(f"{kind.replace('_', ' ')} {owner}" for kind, owner in candidates[:_NAMED_IN_ERRORS])
    ellipsis = ", …" if len(candidates) > _NAMED_IN_ERRORS else ""
    raise SelectionError(f"{len(candidates)} objects of {archive.path} match {text!r}: {examples}{ellipsis}; {hint}")


def owners_named(archive: Archive, kind: str, text: str) -> list[str]:
    """Return the owner ids of the objects of a kind that have a name; none of a kind without names."""
    table = IDENTITIES[kind]
    column = _NAMES.get(kind, "name")
    if column not in table.column_names:
        return []
    rows = archive.table(table.name, columns=list({*table.owner, column}))
    matches = rows.filter(pc.equal(rows[column], text))
    return [str(value) for value in owner_ids(matches, table).to_pylist()]


def object_details(archive: Archive, kind: str, owner_id: str) -> ObjectDetails:
    """Read everything about an object by kind and owner id. Raises SelectionError, DamagedError."""
    identity = IDENTITIES[kind]
    own_rows = _owned(archive, identity, owner_id)
    if not own_rows:
        raise SelectionError(f"no {kind.replace('_', ' ')} {owner_id!r} in {archive.path}")
    pairs: dict[str, dict[str, Any]] = {}
    tables: dict[str, list[Record]] = {}
    for table, rows in _rows_owned(archive, kind, owner_id):
        if table.key == (*table.owner, "key") and "value" in table.column_names:
            pairs[table.name] = {row["key"]: row["value"] for row in rows}
        else:
            tables[table.name] = _cut(rows, [name for name in table.column_names if name not in table.owner])
    gaps = [row for row in archive.table("gaps", owners=[owner_id]).to_pylist() if row["owner_kind"] == kind]
    return ObjectDetails(
        kind=kind,
        owner_id=owner_id,
        info=own_rows[0],
        pairs=pairs,
        tables=tables,
        artifacts=list_artifacts(archive, owner_id, kind=kind),
        gaps=_cut(gaps, ("path", "code", "reason")),
    )


def _cut(rows: Iterable[Record], names: Sequence[str]) -> list[Record]:
    return [{name: row[name] for name in names} for row in rows]


def _rows_owned(archive: Archive, kind: str, owner_id: str) -> Iterator[tuple[Table, list[Record]]]:
    """Yield the tables that have rows which belong to an object, with these."""
    for table in TABLES.values():
        if table.entity == kind and not is_identity(table) and (rows := _owned(archive, table, owner_id)):
            yield table, rows


def _owned(archive: Archive, table: Table, owner_id: str) -> list[Record]:
    """Return the rows of a table that an object owns."""
    assert table.entity != BY_ROW  # noqa: S101 - those are read by kind
    first = owner_id.rpartition("/")[2] if is_named(table) else owner_id.partition(OWNER_SEPARATOR)[0]
    rows = archive.table(table.name, owners={owner_id, first})
    return plain_rows(rows.filter(pc.equal(owner_ids(rows, table), owner_id))) if rows.num_rows else []
