"""Which entities each export of a damaged archive still holds whole enough to be kept, and which rows are theirs.

A row is kept if the entity that owns it has its own row in the same export (E051), where none of these rows is damaged
all are. Without that, rows of a lost newer state would count together with an older one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import cache

import pyarrow as pa
import pyarrow.compute as pc

from mlflow_archive.errors import DamagedError
from mlflow_archive.format.manifest import Member
from mlflow_archive.kinds import BY_ROW, EXPERIMENT, IDENTITIES, RUN, Table, is_identity
from mlflow_archive.reader.archive import Archive, owner_ids
from mlflow_archive.reader.stored.parts import Part
from mlflow_archive.verification.tables import KeyRange

_GAPS = "gaps"
"""Its rows may tell of what could not be read at all."""


class Holdings:
    """What is left of an archive. ``unsound`` are the paths of its damaged members, ``damaged`` the rows that are lost.

    ``dropped`` collects, as (kind, id) to export, the owners of rows that are not kept.
    """

    def __init__(self, archive: Archive, damaged: Sequence[KeyRange], unsound: Collection[str]) -> None:
        self._archive, self._unsound = archive, unsound
        self._exports = [export.number for export in archive.manifest.exports]
        self._hit = {(hit.table.entity, hit.export) for hit in damaged if is_identity(hit.table)}
        self._experiments_hit = any(kind == EXPERIMENT for kind, _ in self._hit)
        self.dropped: dict[tuple[str, str], int] = {}
        self.entities = cache(self._entities)
        self._newer = cache(self._held_later)

    def groups(self, member: Member) -> Iterator[pa.Table]:
        """Yield the row groups of a part that are sound.

        One whose bytes are not the right ones, and which decodes all the same, is not: some value in it is another.
        """
        try:
            part = self._archive.open_part(member)
            numbers = [group.index for group in part.row_groups()]
        except DamagedError:
            return
        if member.path in self._unsound:
            readable = [number for number in numbers if _decodes(part, number)]
            numbers = readable if len(readable) < len(numbers) else []
        for number in numbers:
            yield part.read(number)

    def _entities(self, kind: str, export: int) -> dict[str, str]:
        """Return the entities of a kind that an export holds: their ids, with the first column of their key."""
        table = IDENTITIES[kind]
        entities: dict[str, str] = {}
        for member in self._archive.parts(table.name):
            for rows in self.groups(member) if member.export == export else ():
                kept_rows = self._in_held_experiment(rows, table)
                first_keys = kept_rows[table.key[0]].to_pylist()
                entities.update(zip(owner_ids(kept_rows, table).to_pylist(), first_keys, strict=True))
        return entities

    def _held_later(self, kind: str, export: int) -> frozenset[str]:
        return frozenset(owner for number in self._exports if number > export for owner in self.entities(kind, number))

    def is_current(self, kind: str, owner: str, export: int) -> bool:
        """Return whether no later export holds an entity, so that its rows of this one count."""
        return kind not in IDENTITIES or owner not in self._newer(kind, export)

    def may_drop(self, table: Table, export: int) -> bool:
        """Return whether rows of a table in an export may belong to an entity that is lost."""
        if table.entity is None or table.name == _GAPS:
            return False
        if table.entity == BY_ROW:
            return any(self._is_hit(kind, export) for kind in IDENTITIES)
        return self._is_hit(table.entity, export)

    def _is_hit(self, kind: str, export: int) -> bool:
        return (kind, export) in self._hit or (self._experiments_hit and _is_in_experiment(IDENTITIES[kind]))

    def keep(self, rows: pa.Table, table: Table, export: int) -> pa.Table:
        """Return the rows whose owners the export holds; note the owners of the others."""
        if not self.may_drop(table, export) or not rows.num_rows:
            return rows
        kinds: list[str] = rows["owner_kind"].unique().to_pylist() if table.entity == BY_ROW else [table.entity or ""]
        for kind in kinds:
            if kind in IDENTITIES and self._is_hit(kind, export):
                rows = self._keep_of(kind, rows, table, export)
        return rows

    def _keep_of(self, kind: str, rows: pa.Table, table: Table, export: int) -> pa.Table:
        entity_ids = pa.array(self.entities(kind, export), pa.string())
        owners = owner_ids(rows, table)
        is_lost = pc.invert(pc.is_in(owners, value_set=entity_ids))
        if table.entity == BY_ROW:
            is_lost = pc.and_(is_lost, pc.equal(rows["owner_kind"], kind))
        for owner in pc.unique(owners.filter(is_lost)).to_pylist():
            self.dropped.setdefault((kind, owner), export)
        return rows.filter(pc.invert(is_lost))

    def with_experiment(self, rows: pa.Table, table: Table, export: int) -> pa.Table:
        """Return the rows of an identity table that lie in an experiment which is held; note the others as lost."""
        kept_rows = self._in_held_experiment(rows, table)
        if kept_rows.num_rows < rows.num_rows and table.entity is not None:
            kept_ids = pa.array(owner_ids(kept_rows, table).to_pylist(), pa.string())
            owners = owner_ids(rows, table)
            for owner in owners.filter(pc.invert(pc.is_in(owners, value_set=kept_ids))).to_pylist():
                self.dropped.setdefault((table.entity, owner), export)
        return kept_rows

    def _in_held_experiment(self, rows: pa.Table, table: Table) -> pa.Table:
        if not self._experiments_hit or not _is_in_experiment(table):
            return rows
        experiments = [owner for number in self._exports for owner in self.entities(EXPERIMENT, number)]
        return rows.filter(pc.is_in(rows["experiment_id"], value_set=pa.array(experiments, pa.string())))


def _decodes(part: Part, number: int) -> bool:
    try:
        part.read(number)
    except DamagedError:
        return False
    return True


def _is_in_experiment(table: Table) -> bool:
    """Return whether the entities of an identity table must have their experiment in the archive (E051)."""
    return table.entity != EXPERIMENT and (table.entity == RUN or "experiment_id" in table.owner)
