"""Reads objects of a source in full, artifacts to their last byte, beside what an archive holds of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa

from mlflow_archive.flow.chunk import ArtifactFile, ArtifactUnreadableError, Chunk, nothing_known
from mlflow_archive.flow.copy import chunks_of
from mlflow_archive.flow.report import Progress
from mlflow_archive.flow.source import Source
from mlflow_archive.kinds import IDENTITIES, LOGGED_MODEL, RUN, TRACE
from mlflow_archive.retiring.contents import RowSums, Sums
from mlflow_archive.retiring.kept import KeptEntities, KeptEntity
from mlflow_archive.selecting.selection import Selection

RETIRED_KINDS: Final = (RUN, LOGGED_MODEL, TRACE)
HOLD: Final = "mlflow_archive.hold"
"""The tag, of an object or its experiment, whose bearer stays whatever its value."""
_TAGS: Final = {RUN: "tags", LOGGED_MODEL: "logged_model_tags", TRACE: "trace_tags"}
SOURCE_RUN: Final = "mlflow.sourceRun"
"""The metadata of a trace that names the run it was made in."""
_BLOCK: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceEntity:
    """An object of the source, read in full, and what the archive holds of it, None for nothing.

    ``gap`` says what of it could not be read, empty for nothing. ``holder`` is what bears the tag HOLD: itself or its
    experiment, empty for neither. ``runs`` are those that a trace was made in or is linked to.
    """

    kind: str
    id: str
    row: Mapping[str, Any]
    experiment: Mapping[str, Any] | None
    sums: Sums
    archived: KeptEntity | None
    gap: str
    holder: str
    runs: frozenset[str] = frozenset()


@dataclass(slots=True)
class _Waiting:
    """What came of some objects of one kind so far."""

    contents: RowSums
    archived: dict[str, KeptEntity] = field(default_factory=dict)
    rows: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    gaps: dict[str, str] = field(default_factory=dict)
    held_ids: set[str] = field(default_factory=set)
    runs: dict[str, set[str]] = field(default_factory=dict)


class EntityReading:
    """One reading of a source. ``hidden`` are columns (``table.column``) that do not count."""

    def __init__(self, kept_entities: KeptEntities, hidden: frozenset[str], progress: Progress) -> None:
        self._kept_entities, self._hidden, self._progress = kept_entities, hidden, progress
        self._experiments: dict[str, Mapping[str, Any]] = {}
        self._held_experiments: set[str] = set()
        self._waiting = self._nothing()

    def objects(self, source: Source, selection: Selection) -> Iterator[SourceEntity]:
        """Yield the runs, logged models and traces that are selected; close the source. Raises as a source does."""
        with closing(source):
            source.facts()
            for shard in source.plan(selection, self._progress):
                for chunk in chunks_of(source, shard, nothing_known):
                    self._take(chunk)
                    if chunk.complete:
                        yield from self._entities()
                        self._waiting = self._nothing()

    def alone(self, chunks: Iterable[Chunk], kind: str) -> SourceEntity | None:
        """Return the one object of a kind that is in some chunks, None where there is none."""
        for chunk in chunks:
            self._take(chunk)
        return next((entity for entity in self._entities() if entity.kind == kind), None)

    def _nothing(self) -> dict[str, _Waiting]:
        return {kind: _Waiting(RowSums(kind, self._hidden)) for kind in RETIRED_KINDS}

    def _take(self, chunk: Chunk) -> None:
        for row in chunk.tables["experiments"].to_pylist() if "experiments" in chunk.tables else ():
            self._experiments[row["experiment_id"]] = row
        for row in chunk.tables["experiment_tags"].to_pylist() if "experiment_tags" in chunk.tables else ():
            if row["key"] == HOLD:
                self._held_experiments.add(row["experiment_id"])
        for kind, waiting in self._waiting.items():
            self._take_kind(kind, waiting, chunk)
        for file in chunk.artifacts:
            if file.owner_kind in self._waiting:
                _read(file, self._waiting[file.owner_kind])

    def _take_kind(self, kind: str, waiting: _Waiting, chunk: Chunk) -> None:
        identity = IDENTITIES[kind]
        if identity.name in chunk.tables:
            rows = {row[identity.key[0]]: row for row in chunk.tables[identity.name].to_pylist()}
            waiting.rows |= rows
            waiting.archived |= self._kept_entities.of(kind, list(rows))
            self._progress.advance(kind, len(rows))
        for name, table in chunk.tables.items():
            waiting.contents.add(name, table)
        tags = chunk.tables.get(_TAGS[kind])
        if tags is not None:
            owner = tags.column_names[0]
            waiting.held_ids.update(row[owner] for row in tags.to_pylist() if row["key"] == HOLD)
        for owner_id, run_id in _runs_of_traces(chunk.tables) if kind == TRACE else ():
            waiting.runs.setdefault(owner_id, set()).add(run_id)
        for gap in chunk.tables["gaps"].to_pylist() if "gaps" in chunk.tables else ():
            if gap["owner_kind"] == kind:
                waiting.gaps.setdefault(gap["owner_id"], f"{gap['path']}: {gap['reason']}".removeprefix(": "))

    def _entities(self) -> Iterator[SourceEntity]:
        for kind, waiting in self._waiting.items():
            for owner_id, row in waiting.rows.items():
                experiment_id = row["experiment_id"]
                holder = f"{kind.replace('_', ' ')} {owner_id}" if owner_id in waiting.held_ids else ""
                if experiment_id in self._held_experiments:
                    holder = f"experiment {experiment_id}"
                yield SourceEntity(
                    kind=kind,
                    id=owner_id,
                    row=row,
                    experiment=self._experiments.get(experiment_id),
                    sums=waiting.contents.of(owner_id),
                    archived=waiting.archived.get(owner_id),
                    gap=waiting.gaps.get(owner_id, ""),
                    holder=holder,
                    runs=frozenset(waiting.runs.get(owner_id, ())),
                )


def _runs_of_traces(tables: Mapping[str, pa.Table]) -> Iterator[tuple[str, str]]:
    """Yield traces with the runs that they were made in or are linked to."""
    for row in tables["trace_metadata"].to_pylist() if "trace_metadata" in tables else ():
        if row["key"] == SOURCE_RUN and row["value"]:
            yield row["trace_id"], row["value"]
    for row in tables["trace_links"].to_pylist() if "trace_links" in tables else ():
        if row["destination_type"] == RUN:
            yield row["trace_id"], row["destination_id"]


def _read(file: ArtifactFile, waiting: _Waiting) -> None:
    """Read an artifact of an object that the archive holds; others stay anyway."""
    if file.owner_id not in waiting.archived:
        return
    digest, size = hashlib.sha256(), 0
    try:
        with file.open() as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
                size += len(block)
    except ArtifactUnreadableError as error:
        waiting.gaps.setdefault(file.owner_id, f"{file.path}: {error}")
        return
    waiting.contents.add_file(file.owner_kind, file.owner_id, file.path, size, digest.hexdigest())
