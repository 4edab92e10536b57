"""What each export of an archive did to it: objects that it added, changed, or found deleted at the source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from mlflow_archive.api.differences import BLOCK, Comparison, FieldChange, field_changes
from mlflow_archive.format.manifest import Export
from mlflow_archive.kinds import IDENTITIES
from mlflow_archive.kinds.version_source import TOMBSTONE
from mlflow_archive.reader.archive import Archive, owner_ids
from mlflow_archive.reader.inspection.rows import Moment

_DELETED: Final[Mapping[str, str]] = {"lifecycle_stage": "deleted", "current_stage": TOMBSTONE}
"""By column of an identity table, what marks an object that is deleted at the source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportChanges:
    """An export, and by kind how many objects it ``added``, ``changed`` and ``removed``.

    Removed are those that the source showed as deleted then and not before; they stay in the archive.
    """

    export: Export
    added: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    removed: Counter[str] = field(default_factory=Counter)

    def to_json(self) -> dict[str, Any]:
        """Return one line of ``ls ARCHIVE exports --json``."""
        return {
            "export": self.export.number,
            "created": Moment(self.export.created_ms),
            "source": self.export.source.get("uri"),
            "selection": dict(self.export.selection),
            "added": dict(self.added),
            "changed": dict(self.changed),
            "removed": dict(self.removed),
            "gaps": self.export.gaps,
            "tool": self.export.tool,
        }


def export_changes(archive: Archive) -> Iterator[ExportChanges]:
    """Yield what each export did, oldest first. Only what an export holds is compared with what was there before it.

    Of a delta without its base only its own exports are told of. Raises DamagedError.
    """
    exports = archive.manifest.exports
    delta = archive.manifest.delta
    first = 1 if delta is None else delta.export + 1
    for export in exports[first - 1 :]:
        changes = ExportChanges(export=export)
        for kind in IDENTITIES:
            holding = owners_of(archive, kind, [export.number])
            before = owners_of(archive, kind, range(1, export.number))
            changes.added.update({kind: number} if (number := len(holding.keys() - before.keys())) else {})
            _compare(archive, changes, kind, {owner: key for owner, key in holding.items() if owner in before})
        yield changes


def owners_of(archive: Archive, kind: str, exports: Sequence[int]) -> dict[str, str]:
    """Return owner id to first key column of the objects of a kind that some exports hold."""
    identity = IDENTITIES[kind]
    key_of: dict[str, str] = {}
    for member in archive.parts(identity.name):
        if member.export in exports:
            for rows in archive.open_part(member).groups(None, identity.owner):
                keys = rows[identity.key[0]].to_pylist()
                key_of.update(zip(owner_ids(rows, identity).to_pylist(), keys, strict=True))
    return key_of


def _compare(archive: Archive, changes: ExportChanges, kind: str, owners: Mapping[str, str]) -> None:
    """Count which objects that were there before are other ones after an export."""
    if not owners:
        return
    number = changes.export.number
    before, after = archive.after(number - 1), archive.after(number)
    pairs = iter(sorted(owners.items()))
    while block := dict(islice(pairs, BLOCK)):
        for fields in field_changes(before, after, kind, block, Comparison()).values():
            is_removed = any(_marks_deleted(change, kind) for change in fields)
            (changes.removed if is_removed else changes.changed)[kind] += 1


def _marks_deleted(change: FieldChange, kind: str) -> bool:
    return change.table == IDENTITIES[kind].name and _DELETED.get(change.field) == change.after is not None
