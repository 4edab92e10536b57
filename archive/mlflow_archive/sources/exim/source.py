"""A folder of mlflow-export-import as a Source: what is read, shard by shard."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Final, cast

from mlflow_archive.artifact_roots.names import printable
from mlflow_archive.flow.chunk import Chunk, Known, Shard
from mlflow_archive.flow.report import Progress
from mlflow_archive.flow.source import SourceFacts
from mlflow_archive.format.location import without_password
from mlflow_archive.kinds import EVALUATION_DATASET, EXPERIMENT, KINDS, LOGGED_MODEL, RUN, TRACE
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.exim.documents import DocumentUnreadableError
from mlflow_archive.sources.exim.evaluation import read_dataset
from mlflow_archive.sources.exim.index import Index, build_index
from mlflow_archive.sources.exim.logged_models import read_logged_model
from mlflow_archive.sources.exim.planning import EximPlanner, ObjectsPayload
from mlflow_archive.sources.exim.registry.registry import read_model
from mlflow_archive.sources.exim.runs.runs import add_experiment, points_in_parts, read_run
from mlflow_archive.sources.exim.traces.traces import read_trace
from mlflow_archive.sources.reading.gaplist import unreadable
from mlflow_archive.sources.reading.lending import SelectionLender
from mlflow_archive.sources.reading.records import Entity
from mlflow_archive.sources.reading.rows import Rows
from mlflow_archive.sources.reading.unknown_fields import UnknownFields

POINTS_PER_CHUNK: Final = 200_000


class EximSource(SelectionLender):
    """The exported folder ``root``, the outermost or any inner one.

    A chunk holds whole objects with up to twice ``points_per_chunk`` metric points, or that many of one longer run.
    """

    def __init__(self, root: Path, *, points_per_chunk: int = POINTS_PER_CHUNK) -> None:
        super().__init__()
        self._root = root.absolute()
        self._points_per_chunk = points_per_chunk

    @cached_property
    def _planner(self) -> EximPlanner:
        return EximPlanner(self._index, self._selection)

    @cached_property
    def _index(self) -> Index:
        return build_index(self._root)

    def facts(self) -> SourceFacts:
        """Return where this data comes from; reads all documents. Raises StoreError if there are none.

        What mlflow-export-import says of the newest one is in ``extra``: its own version (``package_version``), the
        server it read (``tracking_uri``) and when (``exported_ms``, since the epoch).
        """
        system = self._index.system
        extra = {name: system[field] for name, field in _EXTRA.items() if isinstance(system.get(field), str)}
        if "tracking_uri" in extra:
            extra["tracking_uri"] = without_password(extra["tracking_uri"])
        if isinstance(system.get("export_time"), int):
            extra["exported_ms"] = str(system["export_time"] * 1000)
        version = system.get("mlflow_version")
        return SourceFacts(
            kind="exim",
            uri=f"file:{printable(self._root.as_posix())}",
            mlflow_version=version if isinstance(version, str) else None,
            extra={name: value for name, value in extra.items() if value},
        )

    def plan(self, selection: Selection, progress: Progress) -> Iterator[Shard]:
        """Yield shards of up to 100 objects of one kind; experiments first, parents before their children.

        Raises StoreError, and SelectionError before the first shard.
        """
        self._unknown, self._selection, stage = UnknownFields(), selection, 0
        self.__dict__.pop("_planner", None)
        for shard in self._planner.shards():
            progress.expect(KINDS[shard.kind].plural, shard.weight)
            stage = shard.stage
            yield shard
        yield self._unknown.shard(stage + 1)

    def read(self, shard: Shard, known: Known) -> Iterator[Chunk]:
        """Yield the chunks of a shard. What has gaps has no fingerprint, so that a later export tries it again."""
        payload = cast(ObjectsPayload, shard.payload)
        rows = Rows()
        for object_id in payload.ids:
            if payload.kind != RUN:
                self._read_object(object_id, payload, known, rows)
                continue
            *parts, last = self._read_run(object_id, payload.selection, known)
            if parts:
                yield from rows.drain()
            for part in parts:
                yield part.chunk(complete=False)
            if parts:
                yield last.chunk()
            else:
                rows.merge(last)
            yield from rows.drain(points=self._points_per_chunk)
        yield from rows.drain()

    def close(self) -> None:
        """Release nothing: no file stays open between calls."""

    def _read_run(self, run_id: str, selection: Selection, known: Known) -> list[Rows]:
        """Return the rows of a run in parts, the last with its artifacts; an empty one if the sink has it unchanged."""
        rows = Rows()
        try:
            record, points = read_run(self._index.runs[run_id], self._index.gaps, selection, self._root)
        except DocumentUnreadableError as error:
            rows.add_gap(RUN, run_id, "", unreadable(RUN), str(error))
            return [rows]
        self._unknown.add_all(record.gaps)
        fingerprint = record.fingerprint()
        if fingerprint is not None and fingerprint.agrees_with(known(RUN, run_id)):
            return [rows]
        record.begin(rows)
        parts = []
        for part in points_in_parts(points, self._points_per_chunk):
            rows.add_points(run_id, part)
            parts.append(rows)
            rows = Rows()
        record.finish(parts[-1])
        return parts

    def _read_object(self, object_id: str, payload: ObjectsPayload, known: Known, rows: Rows) -> None:
        try:
            if payload.kind == EXPERIMENT:
                gaps = add_experiment(rows, self._index.experiments[object_id], self._index.gaps, self._root)
                self._unknown.add_all(gaps)
                return
            entity = self._entity(object_id, payload)
            entity.add_to(rows, known)
            self._unknown.add_all(entity.gaps)
        except DocumentUnreadableError as error:
            rows.add_gap(payload.kind, object_id, "", unreadable(payload.kind), str(error))

    def _entity(self, object_id: str, payload: ObjectsPayload) -> Entity:
        index, selection = self._index, payload.selection
        if payload.kind == LOGGED_MODEL:
            return read_logged_model(index.logged_models[object_id], index.gaps, selection, self._root)
        if payload.kind == TRACE:
            return read_trace(index.traces[object_id], index.gaps, selection, self._root)
        if payload.kind == EVALUATION_DATASET:
            return read_dataset(index.datasets[object_id], index.gaps, self._root)
        return read_model(index.models[object_id], index, selection, self._planner.selector)


_EXTRA: Final = {"package_version": "package_version", "tracking_uri": "mlflow_tracking_uri"}
