"""A file store as a Source: what is read, shard by shard.

What an object consists of is said by the families beside this module: ``runs``, ``logged_models``, ``traces`` and
``registry``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Final

from mlflow_archive.artifact_roots.names import printable
from mlflow_archive.flow.chunk import Chunk, Known, Shard
from mlflow_archive.flow.report import Progress
from mlflow_archive.flow.source import SourceFacts
from mlflow_archive.format.gaps import EXPERIMENT_UNREADABLE, METRIC_UNREADABLE, OBJECT_UNREADABLE, RUN_UNREADABLE
from mlflow_archive.kinds import EXPERIMENT, KINDS, LOGGED_MODEL, REGISTERED_MODEL, RUN, TRACE
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.mlruns.catalog import path_of
from mlflow_archive.sources.mlruns.layout import METRICS, RunFolder, check_root, find_experiments
from mlflow_archive.sources.mlruns.location import ArtifactPlaces
from mlflow_archive.sources.mlruns.logged_models import read_logged_model
from mlflow_archive.sources.mlruns.meta import MetaUnreadableError
from mlflow_archive.sources.mlruns.planning import ExperimentsPayload, FoldersPayload, ModelsPayload, StorePlanner
from mlflow_archive.sources.mlruns.registry.registry import read_registered_model
from mlflow_archive.sources.mlruns.runs.experiments import add_experiment
from mlflow_archive.sources.mlruns.runs.history import read_history
from mlflow_archive.sources.mlruns.runs.runs import read_run
from mlflow_archive.sources.mlruns.traces.traces import read_trace
from mlflow_archive.sources.reading.gaplist import GapList, unreadable
from mlflow_archive.sources.reading.lending import SelectionLender
from mlflow_archive.sources.reading.points import Latest, Points
from mlflow_archive.sources.reading.records import Entity, RunRecord
from mlflow_archive.sources.reading.rows import Rows
from mlflow_archive.sources.reading.unknown_fields import UnknownFields

POINTS_PER_CHUNK: Final = 200_000
ROWS_PER_CHUNK: Final = 50_000
_READERS: Final = MappingProxyType({LOGGED_MODEL: read_logged_model, TRACE: read_trace})


class MlrunsSource(SelectionLender):
    """The file store in the folder ``root``.

    ``artifact_map`` holds (FROM, TO) pairs: artifact URIs that start with FROM lie in the folder TO. A chunk holds
    up to twice ``points_per_chunk`` metric points of whole runs, or ``points_per_chunk`` of one longer history.
    """

    def __init__(
        self,
        root: Path,
        *,
        artifact_map: Sequence[tuple[str, str]] = (),
        points_per_chunk: int = POINTS_PER_CHUNK,
    ) -> None:
        super().__init__()
        self._root = root.absolute()
        self._places = ArtifactPlaces(root=self._root, artifact_map=tuple(artifact_map))
        self._points_per_chunk = points_per_chunk

    @cached_property
    def _planner(self) -> StorePlanner:
        return StorePlanner(self._root, self._places, self._selection)

    def facts(self) -> SourceFacts:
        """Return where this data comes from. Raises StoreError if that is not a file store."""
        check_root(self._root)
        find_experiments(self._root)
        return SourceFacts(kind="mlruns", uri=f"file:{printable(self._root.as_posix())}")

    def plan(self, selection: Selection, progress: Progress) -> Iterator[Shard]:
        """Yield experiments, then shards of up to 100 runs of one of them, logged models, traces and registered models.

        Each kind has a stage of its own. With runs selected by id or filter only their experiments come, else all
        selected ones. Raises StoreError, and SelectionError before the first shard.
        """
        check_root(self._root)
        self._unknown, self._selection = UnknownFields(), selection
        self.__dict__.pop("_planner", None)
        for shard in self._planner.shards():
            progress.expect(KINDS[shard.kind].plural, shard.weight)
            yield shard
        yield self._unknown.shard(len(KINDS))

    def read(self, shard: Shard, known: Known) -> Iterator[Chunk]:
        """Yield the chunks of a shard. What has gaps has no fingerprint, so that a later export tries it again."""
        payload = shard.payload
        if isinstance(payload, ExperimentsPayload):
            yield from self._read_experiments(payload)
        elif isinstance(payload, FoldersPayload):
            yield from (self._read_runs if payload.kind == RUN else self._read_entities)(payload, known)
        elif isinstance(payload, ModelsPayload):
            yield from self._read_models(payload)
        else:
            raise TypeError(f"{shard.name} is no shard of a file store")

    def borrow(self, lent: object) -> None:
        super().borrow(lent)
        check_root(self._root)

    def _read_experiments(self, payload: ExperimentsPayload) -> Iterator[Chunk]:
        rows = Rows()
        for experiment in payload.experiments:
            self._unknown.add_all(add_experiment(rows, experiment))
            yield from rows.drain(size=ROWS_PER_CHUNK)
        yield from rows.drain()

    def _read_runs(self, payload: FoldersPayload, known: Known) -> Iterator[Chunk]:
        rows = self._left_out(payload, EXPERIMENT_UNREADABLE)
        for run in payload.runs:
            whole = True
            for part, complete in self._read_run(run, payload, known):
                whole = whole and complete
                if whole:
                    rows.merge(part)
                    continue
                yield from rows.drain()
                yield part.chunk(complete=complete)
            yield from rows.drain(points=self._points_per_chunk)
        yield from rows.drain()

    def close(self) -> None:
        """Release nothing: no file stays open between calls."""

    def _read_entities(self, payload: FoldersPayload, known: Known) -> Iterator[Chunk]:
        """Yield logged models or traces; nothing of those that the sink holds unchanged."""
        rows = self._left_out(payload, OBJECT_UNREADABLE)
        for folder in payload.folders:
            entity = self._entity(path_of(folder), payload)
            entity.add_to(rows, known)
            self._unknown.add_all(entity.gaps)
            yield from rows.drain(size=ROWS_PER_CHUNK)
        yield from rows.drain()

    def _entity(self, folder: Path, payload: FoldersPayload) -> Entity:
        try:
            return _READERS[payload.kind](folder, payload.experiment.folder, self._places, payload.selection)
        except MetaUnreadableError as error:
            entity = Entity.new(payload.kind, printable(folder.name))
            entity.gaps.add("", OBJECT_UNREADABLE, str(error))
            return entity

    def _read_models(self, payload: ModelsPayload) -> Iterator[Chunk]:
        rows, planner = Rows(), self._planner
        if payload.listing_problem:
            rows.add_gap(REGISTERED_MODEL, "", "", OBJECT_UNREADABLE, payload.listing_problem)
        for folder in payload.folders:
            model = read_registered_model(folder, planner.index, self._places, payload.selection, planner.selector)
            model.add_to(rows)
            self._unknown.add_all(model.gaps)
        yield from rows.drain()

    def _left_out(self, payload: FoldersPayload, unlisted: str) -> Rows:
        """Return gaps of what is not read of an experiment: what cannot be listed, and copies of other objects."""
        rows, kind = Rows(), payload.kind
        if payload.listing_problem:
            owner = payload.experiment.experiment_id
            rows.add_gap(EXPERIMENT, owner, f"{kind}s", unlisted, payload.listing_problem)
        for copy in payload.copies:
            place = printable(copy.relative_to(self._root).as_posix())
            noun = kind.replace("_", " ")
            reason = f"a {noun} with this id lies in another experiment too; this copy is left out"
            rows.add_gap(kind, copy.name, place, unreadable(kind), reason)
        return rows

    def _read_run(self, run: RunFolder, payload: FoldersPayload, known: Known) -> Iterator[tuple[Rows, bool]]:
        """Yield the rows of a run with whether they are the last; nothing for a run the sink holds unchanged."""
        rows = Rows()
        try:
            record = read_run(run, payload.experiment.folder, self._places, payload.selection)
        except MetaUnreadableError as error:
            rows.add_gap(RUN, printable(run.run_id), "", RUN_UNREADABLE, str(error))
            yield rows, True
            return
        self._unknown.add_all(record.gaps)
        fingerprint = known(RUN, record.run_id)
        if fingerprint is not None and self._unchanged(run, record, fingerprint):
            return
        record.begin(rows)
        batches = self._history(run, record.gaps, record.latest)
        rows.add_points(record.run_id, next(batches))
        for batch in batches:
            yield rows, False
            rows = Rows()
            rows.add_points(record.run_id, batch)
        record.finish(rows)
        yield rows, True

    def _unchanged(self, run: RunFolder, record: RunRecord, fingerprint: str) -> bool:
        """Return whether the run is as it was; reads the history once without keeping it, as it may be long."""
        gaps = GapList(owner_kind=RUN, owner_id=record.run_id)
        latest = Latest()
        for _ in self._history(run, gaps, latest):
            pass
        current = None if gaps else replace(record, latest=latest).fingerprint()
        return current is not None and current.agrees_with(fingerprint)

    def _history(self, run: RunFolder, gaps: GapList, latest: Latest) -> Iterator[Points]:
        bad = gaps.under(METRICS, METRIC_UNREADABLE)
        return read_history(run.path / METRICS, latest, bad, limit=self._points_per_chunk)
