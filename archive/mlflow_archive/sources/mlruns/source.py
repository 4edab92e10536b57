"""A file store as a Source: what is read, shard by shard.

What an object consists of is the matter of the modules beside this one: ``runs``, ``experiments``, ``logged_models``,
``traces`` and ``registry``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from mlflow_archive.artifact_roots.names import printable
from mlflow_archive.flow.chunk import Chunk, Known, Shard
from mlflow_archive.flow.report import Progress
from mlflow_archive.flow.source import SourceFacts
from mlflow_archive.format.gaps import EXPERIMENT_UNREADABLE, METRIC_UNREADABLE, OBJECT_UNREADABLE, RUN_UNREADABLE
from mlflow_archive.kinds import EXPERIMENT, LOGGED_MODEL, REGISTERED_MODEL, RUN, TRACE
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.mlruns.entity import EntityRecord
from mlflow_archive.sources.mlruns.entity_planning import SelectedEntities
from mlflow_archive.sources.mlruns.layout import RunFolder, check_root, find_experiments
from mlflow_archive.sources.mlruns.location import ArtifactPlaces
from mlflow_archive.sources.mlruns.logged_models.logged_models import read_logged_model
from mlflow_archive.sources.mlruns.meta import MetaUnreadableError
from mlflow_archive.sources.mlruns.planning import Planner, SelectedExperiments, SelectedModels, SelectedRuns
from mlflow_archive.sources.mlruns.registry.registry import read_registered_model
from mlflow_archive.sources.mlruns.runs.experiments import Experiment, add_experiment
from mlflow_archive.sources.mlruns.runs.history import read_history
from mlflow_archive.sources.mlruns.runs.runs import METRICS, RunRecord, read_run
from mlflow_archive.sources.mlruns.traces.traces import read_trace
from mlflow_archive.sources.reading.gaplist import GapList
from mlflow_archive.sources.reading.points import Latest, Points
from mlflow_archive.sources.reading.rows import Rows

POINTS_PER_CHUNK: Final = 200_000
ROWS_PER_CHUNK: Final = 50_000
_READERS: Final = MappingProxyType({LOGGED_MODEL: read_logged_model, TRACE: read_trace})


class MlrunsSource:
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
        self._root = root.absolute()
        self._places = ArtifactPlaces(root=self._root, artifact_map=tuple(artifact_map))
        self._points_per_chunk = points_per_chunk

    def facts(self) -> SourceFacts:
        """Say where this data comes from. Raises StoreError if that is no file store."""
        check_root(self._root)
        find_experiments(self._root)
        return SourceFacts(kind="mlruns", uri=f"file:{printable(self._root.as_posix())}")

    def plan(self, selection: Selection, progress: Progress) -> Iterator[Shard]:
        """Yield experiments, then shards of up to 100 runs of one of them, logged models, traces and registered models.

        Each kind has a stage of its own. With runs selected by id or
        filter only their experiments come, else all selected ones. Raises StoreError, and SelectionError before the
        first shard.
        """
        check_root(self._root)
        for shard in Planner(self._root, self._places, selection).shards():
            progress.expect("runs", shard.weight)
            yield shard

    def read(self, shard: Shard, known: Known) -> Iterator[Chunk]:
        """Yield the chunks of a shard. What has gaps has no fingerprint, so that a later export tries it again."""
        selected = shard.payload
        if isinstance(selected, SelectedExperiments):
            yield from self._read_experiments(selected)
        elif isinstance(selected, SelectedRuns):
            yield from self._read_runs(selected, known)
        elif isinstance(selected, SelectedEntities):
            yield from self._read_entities(selected, known)
        elif isinstance(selected, SelectedModels):
            yield from self._read_models(selected)
        else:
            raise TypeError(f"{shard.name} is no shard of a file store")

    def _read_experiments(self, selected: SelectedExperiments) -> Iterator[Chunk]:
        rows = Rows()
        for experiment in selected.experiments:
            add_experiment(rows, experiment)
            if rows.size >= ROWS_PER_CHUNK:
                yield rows.chunk()
                rows = Rows()
        if rows:
            yield rows.chunk()

    def _read_runs(self, selected: SelectedRuns, known: Known) -> Iterator[Chunk]:
        rows = Rows()
        if selected.listing_problem:
            rows.add_gaps(_unlisted(selected.experiment, "runs", EXPERIMENT_UNREADABLE, selected.listing_problem))
        for copy in selected.copies:
            rows.add_gaps(self._left_out(RUN, copy.path, RUN_UNREADABLE))
        for run in selected.runs:
            whole = True
            for part, complete in self._read_run(run, selected, known):
                whole = whole and complete
                if whole:
                    rows.merge(part)
                    continue
                if rows:
                    yield rows.chunk()
                    rows = Rows()
                yield part.chunk(complete=complete)
            if rows.points >= self._points_per_chunk:
                yield rows.chunk()
                rows = Rows()
        if rows:
            yield rows.chunk()

    def close(self) -> None:
        """Release nothing: no file stays open between calls."""

    def _read_entities(self, selected: SelectedEntities, known: Known) -> Iterator[Chunk]:
        """Yield logged models or traces; nothing of those that the sink holds unchanged."""
        kind, rows = selected.kind, Rows()
        if selected.listing_problem:
            rows.add_gaps(_unlisted(selected.experiment, f"{kind}s", OBJECT_UNREADABLE, selected.listing_problem))
        for copy in selected.copies:
            rows.add_gaps(self._left_out(kind, copy, OBJECT_UNREADABLE))
        for folder in selected.folders:
            record = self._entity(folder, selected)
            held = known(kind, record.entity_id)
            if held is None or record.fingerprint() != held:
                record.add_to(rows)
            if rows.size >= ROWS_PER_CHUNK:
                yield rows.chunk()
                rows = Rows()
        if rows:
            yield rows.chunk()

    def _entity(self, folder: Path, selected: SelectedEntities) -> EntityRecord:
        try:
            return _READERS[selected.kind](folder, selected.experiment.folder, self._places, selected.selection)
        except MetaUnreadableError as error:
            record = EntityRecord.new(selected.kind, printable(folder.name))
            record.gaps.add("", OBJECT_UNREADABLE, str(error))
            return record

    def _read_models(self, selected: SelectedModels) -> Iterator[Chunk]:
        rows = Rows()
        if selected.listing_problem:
            gaps = GapList(owner_kind=REGISTERED_MODEL, owner_id="")
            gaps.add("", OBJECT_UNREADABLE, selected.listing_problem)
            rows.add_gaps(gaps)
        for folder in selected.folders:
            read_registered_model(folder, selected.index, self._places, selected.selection).add_to(rows)
        if rows:
            yield rows.chunk()

    def _left_out(self, kind: str, folder: Path, code: str) -> GapList:
        gaps = GapList(owner_kind=kind, owner_id=folder.name)
        place = printable(folder.relative_to(self._root).as_posix())
        what = kind.replace("_", " ")
        gaps.add(place, code, f"a {what} with this id lies in another experiment too; this copy is left out")
        return gaps

    def _read_run(self, run: RunFolder, selected: SelectedRuns, known: Known) -> Iterator[tuple[Rows, bool]]:
        """Yield the rows of a run with whether they are the last; nothing for a run the sink holds unchanged."""
        rows = Rows()
        try:
            record = read_run(run, selected.experiment.folder, self._places, selected.selection)
        except MetaUnreadableError as error:
            gaps = GapList(owner_kind=RUN, owner_id=printable(run.run_id))
            gaps.add("", RUN_UNREADABLE, str(error))
            rows.add_gaps(gaps)
            yield rows, True
            return
        held = known(RUN, record.run_id)
        if held is not None and self._unchanged(record, held):
            return
        record.add_to(rows)
        latest = Latest()
        batches = self._history(record, record.gaps, latest)
        rows.add_points(record.run_id, next(batches))
        for batch in batches:
            yield rows, False
            rows = Rows()
            rows.add_points(record.run_id, batch)
        rows.add_artifacts(record.artifact_files())
        rows.add_gaps(record.gaps)
        if not record.gaps:
            rows.add_fingerprint(RUN, record.run_id, record.fingerprint(latest.points.values()))
        yield rows, True

    def _unchanged(self, record: RunRecord, held: str) -> bool:
        """Say whether the run is as it was; reads the history once without keeping it, as it may be long."""
        gaps = GapList(owner_kind=RUN, owner_id=record.run_id)
        latest = Latest()
        for _ in self._history(record, gaps, latest):
            pass
        return not gaps and not record.gaps and record.fingerprint(latest.points.values()) == held

    def _history(self, record: RunRecord, gaps: GapList, latest: Latest) -> Iterator[Points]:
        bad = gaps.under(METRICS, METRIC_UNREADABLE)
        return read_history(record.folder.path / METRICS, latest, bad, limit=self._points_per_chunk)


def _unlisted(experiment: Experiment, what: str, code: str, problem: str) -> GapList:
    gaps = GapList(owner_kind=EXPERIMENT, owner_id=experiment.experiment_id)
    gaps.add(what, code, problem)
    return gaps
