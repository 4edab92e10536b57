"""Chunks of all kinds but runs: whole, or where they have fingerprints only what has changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import ColumnClause, column, func, select, table

from mlflow_archive.artifact_roots.attachments import attachments_in, attachments_in_files, missing_attachments
from mlflow_archive.flow.chunk import Chunk, Gap, Known
from mlflow_archive.format.fingerprint import Fingerprint, entity_fingerprint
from mlflow_archive.kinds import EXPERIMENT, INCREMENTAL, LOGGED_MODEL, REGISTERED_MODEL, TABLES, TRACE, UPLOADS
from mlflow_archive.mlflow_database.mapping import MAPS, TableMap
from mlflow_archive.selecting.catalog import RowRegistry
from mlflow_archive.selecting.model_versions import VersionPlaces
from mlflow_archive.selecting.selector import Selector
from mlflow_archive.sources.database.artifacts import ArtifactFinder, FoundFiles
from mlflow_archive.sources.database.catalog import DatabaseCatalog
from mlflow_archive.sources.database.changed import ReadObjects
from mlflow_archive.sources.database.columns import Columns, plain_values
from mlflow_archive.sources.database.converting import texts_of
from mlflow_archive.sources.database.gaps import MalformedValues, with_gaps
from mlflow_archive.sources.database.old_traces import OldTraces
from mlflow_archive.sources.database.planning import IdBlock
from mlflow_archive.sources.database.reading import Reading
from mlflow_archive.sources.database.runs import plain
from mlflow_archive.sources.database.snapshot import Snapshot, UnevenColumnError, among

BYTES_PER_CHUNK: Final = 32 * 1024 * 1024
SPANS_AT_ONCE: Final = 5_000
_SPANS: Final = MAPS["spans"]
_POINTS: Final = pa.schema([("run_id", pa.string()), ("key", pa.string()), ("value", pa.int64())])


def maps_of(kind: str) -> list[TableMap]:
    """Return what the rows of a kind are read from; datasets come with the experiment they lie in."""
    maps = [table_map for table_map in MAPS.values() if table_map.kind == kind]
    if kind == EXPERIMENT:
        maps.append(replace(MAPS["datasets"], owner="experiment_id"))
    return maps


class EntityReader:
    """Reads the blocks of one export; used by several threads."""

    def __init__(self, snapshot: Snapshot, reading: Reading, finder: ArtifactFinder | None, selector: Selector) -> None:
        self._snapshot, self._reading, self._finder, self._selector = snapshot, reading, finder, selector
        self._old_traces = OldTraces(Columns(snapshot), snapshot.schema.columns)

    def chunks(self, block: IdBlock, known: Known) -> Iterator[Chunk]:
        """Yield a block. An entity with gaps has no fingerprint, so that a later export tries it again."""
        malformed = MalformedValues(block.kind)
        maps = [table_map for table_map in maps_of(block.kind) if table_map.table != _SPANS.table]
        tables = {table_map.table: self._reading.rows(table_map, block.ids, malformed.add) for table_map in maps}
        tables = self._selector.versions.keep(tables)
        finds = self._files(block.kind, tables)
        if block.kind == TRACE:
            tables = self._old_traces.filled(tables)
        if block.kind in INCREMENTAL:
            yield from self._changed(block.kind, tables, finds, malformed, known)
            return
        files = [file for owner_files in finds.files.values() for file in owner_files]
        yield Chunk(tables=with_gaps(tables, [*finds.gaps, *malformed.gaps()]), artifacts=files)

    def _files(self, kind: str, tables: Mapping[str, pa.Table]) -> FoundFiles:
        if self._finder is None:
            return FoundFiles()
        if kind == LOGGED_MODEL:
            return self._finder.of_logged_models(plain(tables["logged_models"]), plain(tables["logged_model_tags"]))
        if kind == TRACE:
            return self._finder.of_traces(plain(tables["traces"]), plain(tables["trace_tags"]))
        if kind == REGISTERED_MODEL:
            versions = plain(tables["model_versions"])
            places = VersionPlaces(RowRegistry(DatabaseCatalog(Columns(self._snapshot), "")), versions)
            return self._finder.of_versions(versions, places, self._selector.among)
        if uploads := UPLOADS.get(kind):
            return self._finder.of_uploads(kind, plain(tables[uploads.versions]))
        return FoundFiles()

    def _changed(
        self, kind: str, tables: Mapping[str, pa.Table], finds: FoundFiles, malformed: MalformedValues, known: Known
    ) -> Iterator[Chunk]:
        fingerprints = _fingerprints(tables, finds)
        objects = ReadObjects(
            kind=kind,
            tables=tables,
            ids=list(fingerprints),
            fingerprints=lambda: fingerprints,
            files=finds.files,
            gaps=finds.gaps,
            malformed=malformed,
        )
        changed = objects.changed_ids(known)
        if kind != TRACE:
            yield from objects.chunks(changed, "", lambda ids: ())
            return
        objects.gaps.extend(_attachment_gaps_of_files(changed, finds))
        yield from objects.chunks(changed, _SPANS.table, lambda ids: self._spans_of(ids, objects, finds))

    def _spans_of(self, traces: Sequence[str], objects: ReadObjects, finds: FoundFiles) -> Iterator[pa.Table]:
        """Yield the spans of some traces, and add gaps for attachments that they name and that are missing."""
        for spans in self._spans(traces, objects.malformed):
            if self._finder is not None:
                objects.gaps.extend(_attachment_gaps(spans, finds))
            yield spans

    def _spans(self, traces: Sequence[str], malformed: MalformedValues) -> Iterator[pa.Table]:
        """Yield the spans of some traces, about BYTES_PER_CHUNK at a time."""
        waiting: list[pa.Table] = []
        size = 0
        for trace_ids in self._in_slices(traces):
            for batch in self._reading.batches(_SPANS, trace_ids, malformed.add):
                rows = self._old_traces.filled_spans(batch)
                if waiting and size + rows.nbytes > BYTES_PER_CHUNK:
                    yield pa.concat_tables(waiting)
                    waiting, size = [], 0
                waiting.append(rows)
                size += rows.nbytes
        if waiting:
            yield pa.concat_tables(waiting)

    def _in_slices(self, traces: Sequence[str]) -> Iterator[Sequence[str]]:
        """Cut traces so that the spans of each piece are not too many to be fetched at once."""
        numbers = count_spans(self._snapshot, traces)
        piece: list[str] = []
        spans = 0
        for trace_id in traces:
            number = numbers.get(trace_id, 0)
            if piece and spans + number > SPANS_AT_ONCE:
                yield piece
                piece, spans = [], 0
            if number:
                piece.append(trace_id)
                spans += number
        if piece:
            yield piece


def count_points(snapshot: Snapshot, run_ids: Sequence[str]) -> pa.Table:
    """Return the numbers of points of some runs: a row with ``run_id``, ``key`` and ``value`` for each metric."""
    points = MAPS["metrics"]
    if not run_ids or points.stored_in not in snapshot.schema.columns:
        return _POINTS.empty_table()
    owner: ColumnClause[Any] = column(points.owner)
    key: ColumnClause[Any] = column("key")
    query = select(owner.label("run_id"), key, func.count().label("value")).select_from(table(points.stored_in))
    query = query.where(among(owner, run_ids)).group_by(owner, key)
    try:
        batches = list(snapshot.fetch_fast(query))
    except UnevenColumnError:
        batches = list(snapshot.fetch(query))
    pieces = [
        pa.table([texts_of(batch["run_id"]), texts_of(batch["key"]), plain_values(batch["value"])], schema=_POINTS)
        for batch in batches
    ]
    return pa.concat_tables(pieces) if pieces else _POINTS.empty_table()


def count_spans(snapshot: Snapshot, traces: Sequence[str]) -> dict[str, int]:
    """Return how many rows of ``spans`` there are, of those traces that have any."""
    if not traces or _SPANS.stored_in not in snapshot.schema.columns:
        return {}
    owner: ColumnClause[Any] = column(_SPANS.owner)
    query = select(owner.label("id"), func.count().label("spans")).select_from(table(_SPANS.stored_in))
    counts: dict[str, int] = {}
    for batch in snapshot.fetch(query.where(among(owner, traces)).group_by(owner)):
        counts.update(zip(map(str, plain_values(batch["id"])), plain_values(batch["spans"]), strict=True))
    return counts


def _fingerprints(tables: Mapping[str, pa.Table], finds: FoundFiles) -> dict[str, Fingerprint]:
    """Return the fingerprint of each entity, by id, in the order of the identity table."""
    identity = next(name for name in tables if TABLES[name].key == TABLES[name].owner)
    rows: dict[str, dict[str, list[Mapping[str, Any]]]] = {
        owner_id: {} for owner_id in tables[identity][TABLES[identity].owner[0]].to_pylist()
    }
    for name, table_rows in tables.items():
        owner = TABLES[name].owner[0]
        for row in plain(table_rows):
            if (own_rows := rows.get(row[owner])) is not None:
                own_rows.setdefault(name, []).append(row)
    return {
        owner_id: entity_fingerprint(own_rows, finds.files.get(owner_id, ())) for owner_id, own_rows in rows.items()
    }


def _attachment_gaps(spans: pa.Table, finds: FoundFiles) -> Iterator[Gap]:
    """Yield a gap for each attachment that a span names and that is missing, or could not be looked for."""
    hits = spans.filter(pc.match_substring(spans["content"], "mlflow-attachment://"))
    for trace_id, content in zip(hits["trace_id"].to_pylist(), hits["content"].to_pylist(), strict=True):
        yield from _unfound(attachments_in(content.encode(), trace_id), trace_id, finds)


def _attachment_gaps_of_files(traces: Sequence[str], finds: FoundFiles) -> Iterator[Gap]:
    """Yield the same for traces whose payload is a file."""
    for trace_id in traces:
        paths = attachments_in_files(finds.files.get(trace_id, ()), trace_id)
        yield from _unfound(paths, trace_id, finds)


def _unfound(paths: Sequence[str], trace_id: str, finds: FoundFiles) -> list[Gap]:
    if paths and trace_id in finds.unreachable:
        return [finds.unreachable[trace_id]]
    return missing_attachments(paths, finds.listed.get(trace_id, ()), trace_id)
