"""Which logged models and traces of a store are selected, cut into shards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

from mlflow_archive.errors import StoreError
from mlflow_archive.flow.chunk import Shard
from mlflow_archive.kinds import LOGGED_MODEL
from mlflow_archive.selecting.model_versions import ModelDependencies
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.filtering.trace_filter import SearchedTrace, TraceFilter
from mlflow_archive.sources.mlruns import logged_models
from mlflow_archive.sources.mlruns.layout import ExperimentFolder
from mlflow_archive.sources.mlruns.location import ArtifactPlaces
from mlflow_archive.sources.mlruns.meta import MetaUnreadableError
from mlflow_archive.sources.mlruns.runs.experiments import Experiment
from mlflow_archive.sources.mlruns.traces import traces
from mlflow_archive.sources.reading.records import Entity

PER_SHARD: Final = 100
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class EntitiesPayload:
    """What a shard holds: logged models or traces of one experiment.

    ``copies`` are further folders with the id of an earlier object; they are left out with a gap.
    """

    kind: str
    experiment: Experiment
    selection: Selection
    folders: tuple[Path, ...] = ()
    copies: tuple[Path, ...] = ()
    listing_problem: str = ""


@dataclass(slots=True, kw_only=True)
class SelectedRuns:
    """The selected runs, and the logged models that are their inputs and outputs.

    With ``only``, as runs are selected by id or filter, nothing but what belongs to them comes.
    """

    only: bool
    run_ids: set[str] = field(default_factory=set)
    model_ids: set[str] = field(default_factory=set)


@dataclass(slots=True, kw_only=True)
class EntityPlanner:
    """Plans the logged models and traces of an export, after its runs.

    With ``runs`` no logged model of another run is selected, with ``required`` only those named there.
    """

    selection: Selection
    places: ArtifactPlaces
    runs: SelectedRuns | None = None
    required: ModelDependencies | None = None
    trace_matches: TraceFilter | None = None
    _planned_ids: set[str] = field(default_factory=set)

    @property
    def planned_ids(self) -> frozenset[str]:
        """The objects of the kind that was planned last."""
        return frozenset(self._planned_ids)

    def shards(self, kind: str, experiments: Iterable[Experiment], stage: int) -> Iterator[Shard]:
        """Yield the shards of a kind, lazily."""
        self._planned_ids.clear()
        for experiment in experiments:
            yield from self._shards_of(kind, experiment, stage)

    def _shards_of(self, kind: str, experiment: Experiment, stage: int) -> Iterator[Shard]:
        copies: list[Path] = []
        folders = self._unique(self._selected(kind, experiment.folder), copies)
        number = 0
        while True:
            part, problem = take(folders, PER_SHARD)
            if part or copies or problem:
                payload = EntitiesPayload(
                    kind=kind,
                    experiment=experiment,
                    selection=self.selection,
                    folders=part,
                    copies=tuple(copies),
                    listing_problem=problem,
                )
                name = f"experiment {experiment.experiment_id}, {kind.replace('_', ' ')}s from {number}"
                yield Shard(name=name, stage=stage, payload=payload)
            copies.clear()
            number += len(part)
            if len(part) < PER_SHARD:
                return

    def _unique(self, folders: Iterable[Path], copies: list[Path]) -> Iterator[Path]:
        for folder in folders:
            if folder.name in self._planned_ids:
                copies.append(folder)
            else:
                self._planned_ids.add(folder.name)
                yield folder

    def _selected(self, kind: str, experiment: ExperimentFolder) -> Iterator[Path]:
        if kind == LOGGED_MODEL:
            return filter(self._wants_model, experiment.logged_models())
        if self.required is not None:
            return iter(())
        folders = filter(self._wants_trace, experiment.traces())
        return folders if self.trace_matches is None else self._matching(folders, experiment, self.trace_matches)

    def _wants_model(self, folder: Path) -> bool:
        if self.required is not None and folder.name not in self.required.logged_models:
            return False
        if not self.selection.deleted and logged_models.is_deleted_model(folder):
            return False
        runs = self.runs
        if runs is None or folder.name in runs.model_ids or (self.required is not None and not runs.only):
            return True
        source_run = logged_models.source_run_of(folder)
        return source_run in runs.run_ids or not (source_run or runs.only)

    def _wants_trace(self, folder: Path) -> bool:
        return self.runs is None or not self.runs.only or traces.source_run_of(folder) in self.runs.run_ids

    def _matching(self, folders: Iterator[Path], experiment: ExperimentFolder, matches: TraceFilter) -> Iterator[Path]:
        """Yield the traces that match a filter, and those that cannot be read, so that they are reported."""
        while batch := tuple(islice(folders, PER_SHARD)):
            entities = {folder: self._entity(folder, experiment) for folder in batch}
            searched = {folder: SearchedTrace.of_rows(entity.rows) for folder, entity in entities.items() if entity}
            ids = {trace.trace_id for trace in matches(list(searched.values()))}
            yield from (folder for folder in batch if folder not in searched or folder.name in ids)

    def _entity(self, folder: Path, experiment: ExperimentFolder) -> Entity | None:
        try:
            return traces.read_trace(folder, experiment, self.places, Selection(artifacts=False))
        except MetaUnreadableError:
            return None


def take(folders: Iterator[T], count: int) -> tuple[tuple[T, ...], str]:
    """Return up to ``count`` folders, and why there are no more where a folder cannot be listed."""
    part: list[T] = []
    try:
        part.extend(islice(folders, count))
    except StoreError as error:
        return tuple(part), str(error)
    return tuple(part), ""
