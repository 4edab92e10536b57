"""Chunks on their way into an archive: their artifacts go into packs, their rows into a segment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mlflow_archive.flow.chunk import ArtifactFile, ArtifactUnreadableError, Chunk, Gap, gap_table
from mlflow_archive.flow.report import Progress
from mlflow_archive.format import gaps as gap_codes
from mlflow_archive.kinds import TABLES
from mlflow_archive.writer.base import Base, owned, tables_of_entity
from mlflow_archive.writer.coded import plain
from mlflow_archive.writer.packs import BlobChangedError, FrameBuilder, PackWriter, StoredBlobs
from mlflow_archive.writer.segments import Segment

Came = Callable[[Mapping[str, pa.Table], Sequence[Gap]], None]
"""Hears the tables and all gaps of each chunk, before its rows are staged."""


class ChunkWriter:
    """Writes the chunks of one thread into its ``segment``.

    Entities with gaps that ``base`` has just so are left out, and others with gaps have no fingerprint.
    """

    def __init__(
        self,
        segment: Segment,
        packs: PackWriter,
        stored: StoredBlobs,
        *,
        base: Base | None,
        came: Came,
        progress: Progress,
    ) -> None:
        self._segment, self._packs, self._frames = segment, packs, FrameBuilder(packs, stored)
        self._base, self._came, self._progress = base, came, progress
        self._with_gaps: set[tuple[str, str]] = set()
        self._continuing = False

    def write(self, chunk: Chunk) -> None:
        """Take a chunk; those of one shard come in order."""
        tables = dict(chunk.tables)
        artifacts, gaps = self._store_artifacts(chunk.artifacts)
        if artifacts.num_rows:
            tables["artifacts"] = artifacts
        if gaps:
            new_gaps = gap_table(gaps)
            tables["gaps"] = pa.concat_tables([tables["gaps"], new_gaps]) if "gaps" in tables else new_gaps
        every_gap = [Gap(**row) for row in tables["gaps"].to_pylist()] if "gaps" in tables else []
        self._with_gaps.update((gap.owner_kind, gap.owner_id) for gap in every_gap)
        self._came(tables, every_gap)
        if "fingerprints" in tables and self._with_gaps:
            tables["fingerprints"] = _without_owners(tables["fingerprints"], self._with_gaps)
        if self._base is not None and self._with_gaps and chunk.complete and not self._continuing:
            tables = without_unchanged(tables, self._with_gaps, self._base)
        for name, rows in tables.items():
            self._segment.add(name, rows)
        if "metrics" in tables:
            self._progress.advance("points", tables["metrics"].num_rows)
        self._continuing = not chunk.complete
        if chunk.complete:
            self._with_gaps.clear()
            self._segment.entity_complete()

    def _store_artifacts(self, files: Iterable[ArtifactFile]) -> tuple[pa.Table, list[Gap]]:
        rows: list[dict[str, Any]] = []
        gaps: list[Gap] = []
        for file in files:
            try:
                with file.open() as stream:
                    digest, size = self._packs.add(stream, self._frames)
            except ArtifactUnreadableError as error:
                gaps.append(_gap(file, error.code, str(error)))
                continue
            except BlobChangedError:
                gaps.append(_gap(file, gap_codes.ARTIFACT_SIZE, "the file changed while it was read"))
                continue
            owner = {"owner_id": file.owner_id, "owner_kind": file.owner_kind}
            rows.append({**owner, "path": file.path, "size": size, "digest": digest})
            self._progress.advance("artifacts", 1)
            self._progress.advance("bytes", size)
        self._frames.flush()
        return pa.Table.from_pylist(rows, schema=TABLES["artifacts"].schema), gaps


def _without_owners(rows: pa.Table, owners: set[tuple[str, str]]) -> pa.Table:
    """Leave out fingerprints of entities with gaps, so that a later export tries them again."""
    pairs = zip(rows["owner_kind"].to_pylist(), rows["owner_id"].to_pylist(), strict=True)
    return rows.filter(pa.array([pair not in owners for pair in pairs], pa.bool_()))


def _gap(file: ArtifactFile, code: str, reason: str) -> Gap:
    return Gap(owner_kind=file.owner_kind, owner_id=file.owner_id, path=file.path, code=code, reason=reason)


def without_unchanged(
    tables: Mapping[str, pa.Table], entities: Iterable[tuple[str, str]], base: Base
) -> dict[str, pa.Table]:
    """Return the tables of a chunk without those (kind, id) entities whose rows ``base`` holds just so.

    The tables must hold all rows of these entities.
    """
    remaining = {name: plain(rows, TABLES[name]) for name, rows in tables.items()}
    for kind, entity_id in entities:
        if base.holds_entity(kind, entity_id, remaining):
            for table in tables_of_entity(kind):
                if table.name in remaining:
                    rows = remaining[table.name]
                    remaining[table.name] = rows.filter(pc.invert(owned(rows, table, kind, entity_id)))
    return remaining
