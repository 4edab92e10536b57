"""A logged model, trace or other object with a few rows, on its way into a chunk."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from mlflow_archive.artifact_roots.local import FoundFile
from mlflow_archive.flow.chunk import ArtifactFile
from mlflow_archive.format.fingerprint import entity_fingerprint
from mlflow_archive.kinds import INCREMENTAL
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.exim.files import as_artifacts
from mlflow_archive.sources.reading.gaplist import GapList
from mlflow_archive.sources.reading.rows import Rows

Row = dict[str, Any]


@dataclass(slots=True, kw_only=True)
class Entity:
    """An object: its rows by table, its files, its gaps; ``shared`` are rows that others bring, too."""

    kind: str
    owner_id: str
    gaps: GapList
    rows: dict[str, list[Row]] = field(default_factory=dict)
    shared: list[tuple[str, Row]] = field(default_factory=list)
    artifacts: list[ArtifactFile] = field(default_factory=list)

    def add(self, table: str, **row: Any) -> None:
        """Add a row."""
        self.rows.setdefault(table, []).append(row)

    def take_files(self, files: Iterable[FoundFile], selection: Selection, *, prefix: str = "") -> None:
        """Add the files that are selected; ``prefix`` is before their paths."""
        wanted = [file for file in files if selection.wants_artifact(prefix + file.path, file.size)]
        self.artifacts += as_artifacts(self.kind, self.owner_id, wanted, prefix)

    def fingerprint(self) -> str | None:
        """Return what a later export compares, None for kinds that come whole each time and where there are gaps."""
        if self.gaps or self.kind not in INCREMENTAL:
            return None
        return entity_fingerprint(self.rows, [(file.path, file.size) for file in self.artifacts])

    def add_to(self, rows: Rows, fingerprint: str | None) -> None:
        """Add all to a chunk."""
        rows.add_all(self.rows)
        for table, row in self.shared:
            rows.add(table, row)
        rows.add_artifacts(self.artifacts)
        rows.add_gaps(self.gaps)
        if fingerprint is not None:
            rows.add_fingerprint(self.kind, self.owner_id, fingerprint)
