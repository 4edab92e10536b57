"""One logged model, trace or registered model as it goes into a chunk: rows by table, artifacts, gaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from mlflow_archive.artifact_roots.local import FoundFile
from mlflow_archive.flow.chunk import ArtifactFile
from mlflow_archive.format.fingerprint import entity_fingerprint
from mlflow_archive.kinds import INCREMENTAL
from mlflow_archive.sources.mlruns.keyfiles import OnBad
from mlflow_archive.sources.reading.gaplist import GapList
from mlflow_archive.sources.reading.rows import Row, Rows


@dataclass(slots=True, kw_only=True)
class EntityRecord:
    """An object with all that is its own."""

    kind: str
    entity_id: str
    gaps: GapList
    rows: dict[str, list[Row]] = field(default_factory=dict)
    files: Sequence[FoundFile] = ()

    @classmethod
    def new(cls, kind: str, entity_id: str) -> EntityRecord:
        """Return a record that holds nothing yet."""
        return cls(kind=kind, entity_id=entity_id, gaps=GapList(owner_kind=kind, owner_id=entity_id))

    def add(self, table: str, row: Row) -> None:
        """Add a row to a table."""
        self.rows.setdefault(table, []).append(row)

    def bad(self, folder: str = "") -> OnBad:
        """Return a function that adds a gap for a field or for a key in a folder."""
        return self.gaps.under(folder)

    def fingerprint(self) -> str | None:
        """Return the fingerprint (spec/format.md, "Fingerprints"); None for kinds without one and where gaps are."""
        if self.gaps or self.kind not in INCREMENTAL:
            return None
        return entity_fingerprint(self.rows, [(file.path, file.size) for file in self.files])

    def add_to(self, rows: Rows) -> None:
        """Add everything to what a chunk will hold."""
        rows.add_all(self.rows)
        rows.add_gaps(self.gaps)
        rows.add_artifacts(
            ArtifactFile(owner_kind=self.kind, owner_id=self.entity_id, path=file.path, size=file.size, open=file.open)
            for file in self.files
        )
        if fingerprint := self.fingerprint():
            rows.add_fingerprint(self.kind, self.entity_id, fingerprint)
