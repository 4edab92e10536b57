"""What an archive holds of some objects: their rows as sums, and what else decides whether they may go."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pyarrow.compute as pc

from mlflow_archive.kinds import BY_ROW, IDENTITIES, TABLES
from mlflow_archive.reader.archive import Archive
from mlflow_archive.retiring.contents import RowSums, Sums, tables_of

OF_EXPERIMENT: Final = ("experiment_id", "name", "creation_time", "workspace")
"""What must be the same of an experiment, as an id alone identifies nothing: SQLite gives it to the next one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptEntity:
    """An object of an archive. ``row`` is that of its identity table, ``has_gaps`` says that something is missing."""

    row: Mapping[str, Any]
    sums: Sums
    has_gaps: bool


class KeptEntities:
    """Reads objects of an archive. ``hidden`` are columns (``table.column``) that the source does not show."""

    def __init__(self, archive: Archive, hidden: Collection[str] = ()) -> None:
        self._archive, self._hidden = archive, hidden
        self._experiments = {row["experiment_id"]: row for row in archive.table("experiments").to_pylist()}

    def of(self, kind: str, ids: Collection[str]) -> dict[str, KeptEntity]:
        """Return those of some objects that the archive holds."""
        identity = IDENTITIES[kind]
        rows = self._archive.table(identity.name, owners=ids).to_pylist() if ids else []
        if not rows:
            return {}
        owners = [row[identity.owner[0]] for row in rows]
        contents = RowSums(kind, self._hidden)
        for table in tables_of(kind):
            for batch in self._archive.batches(table.name, owners=owners):
                mine = batch.filter(pc.equal(batch["owner_kind"], kind)) if table.entity == BY_ROW else batch
                contents.add(table.name, mine)
        gaps = self._archive.table("gaps", owners=owners)
        lacking = set(gaps.filter(pc.equal(gaps["owner_kind"], kind))["owner_id"].to_pylist())
        return {
            owner: KeptEntity(row=row, sums=contents.of(owner), has_gaps=owner in lacking)
            for owner, row in zip(owners, rows, strict=True)
        }

    def files(self, kind: str, owner_id: str) -> list[str]:
        """Return the paths of the artifacts that the archive holds of an object."""
        rows = self._archive.table("artifacts", owners=[owner_id])
        return [row["path"] for row in rows.to_pylist() if row["owner_kind"] == kind]

    def tags(self, trace_id: str) -> dict[str, str]:
        """Return the tags that the archive holds of a trace."""
        rows = self._archive.table("trace_tags", owners=[trace_id])
        return {row["key"]: row["value"] or "" for row in rows.to_pylist()}

    def is_same_experiment(self, row: Mapping[str, Any]) -> bool:
        """Return whether an experiment of the source is that of the archive: by id, name and time of creation."""
        archived = self._experiments.get(row["experiment_id"])
        return archived is not None and all(archived[name] == row[name] for name in OF_EXPERIMENT)


TABLE_WORDS: Final = {name: name.replace("_", " ") for name in TABLES}
"""What a reason calls the rows of a table."""
