"""What of a store is selected, cut into shards: experiments first, then runs, then what refers to them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Final

from mlflow_archive.artifact_roots.names import printable
from mlflow_archive.errors import StoreError
from mlflow_archive.flow.absences import absences
from mlflow_archive.flow.chunk import Gap, Shard, gap_shards
from mlflow_archive.format.gaps import FOLDER_UNKNOWN, SOURCE
from mlflow_archive.kinds import EXPERIMENT, KINDS, LOGGED_MODEL, REGISTERED_MODEL, RUN, TRACE
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.selecting.selector import Passes, Selector
from mlflow_archive.sources.filtering.run_filter import Matches, compile_filter
from mlflow_archive.sources.filtering.trace_filter import SearchedTrace, TraceFilter, compile_trace_filter
from mlflow_archive.sources.mlruns.catalog import Folder, StoreCatalog, id_of, path_of
from mlflow_archive.sources.mlruns.index import StoreIndex
from mlflow_archive.sources.mlruns.layout import (
    METRICS,
    MODELS,
    TRACES,
    TRASH,
    ExperimentFolder,
    RunFolder,
    experiment_like,
    find_experiments,
    find_registered_models,
    folders_in,
    logged_model_like,
    registered_model_like,
    run_like,
    trace_like,
)
from mlflow_archive.sources.mlruns.location import ArtifactPlaces
from mlflow_archive.sources.mlruns.meta import MetaUnreadableError
from mlflow_archive.sources.mlruns.registry.registry import model_name
from mlflow_archive.sources.mlruns.runs.experiments import Experiment, load_experiments
from mlflow_archive.sources.mlruns.runs.history import read_latest
from mlflow_archive.sources.mlruns.runs.runs import read_run
from mlflow_archive.sources.mlruns.traces.traces import read_trace
from mlflow_archive.sources.reading.records import Entity

EXPERIMENTS_PER_SHARD: Final = 100
PER_SHARD: Final = 100
MODELS_PER_SHARD: Final = 20
_STAGES: Final = MappingProxyType({kind: stage for stage, kind in enumerate(KINDS)})
_PER_EXPERIMENT: Final = (RUN, LOGGED_MODEL, TRACE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentsPayload:
    """What a shard holds: experiments with the datasets of their runs."""

    experiments: tuple[Experiment, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldersPayload:
    """What a shard holds: runs, logged models or traces of one experiment.

    ``copies`` are further folders with the id of an earlier object; they are left out with a gap.
    """

    kind: str
    experiment: Experiment
    selection: Selection
    folders: tuple[Folder, ...] = ()
    copies: tuple[Path, ...] = ()
    listing_problem: str = ""

    @property
    def runs(self) -> list[RunFolder]:
        """The folders of runs."""
        return [folder for folder in self.folders if isinstance(folder, RunFolder)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelsPayload:
    """What a shard holds: registered models with their versions."""

    selection: Selection
    folders: tuple[Path, ...] = ()
    listing_problem: str = ""


class StorePlanner:
    """Plans one export. Raises SelectionError for what matches nothing or is not in MLflow's search syntax."""

    def __init__(self, root: Path, places: ArtifactPlaces, selection: Selection) -> None:
        self._root, self._places, self._selection = root, places, selection
        places.check()
        self.index = StoreIndex(root)
        self._catalog = StoreCatalog(root, load_experiments(find_experiments(root)), self.index)
        self.selector = Selector(self._catalog, selection, self._filters())
        self._experiments = self._catalog.narrow(self.selector.experiments)
        self._planned: dict[str, set[str]] = {kind: set() for kind in _PER_EXPERIMENT}

    def shards(self) -> Iterator[Shard]:
        """Yield the shards, lazily."""
        yield from absences(self.selector.missing)
        yield from gap_shards("folders without meta.yaml", tuple(self._strays()))
        carried = set(self.selector.carried_experiments)
        experiments = [experiment for experiment in self._experiments if experiment.experiment_id in carried]
        for at in range(0, len(experiments), EXPERIMENTS_PER_SHARD):
            part = tuple(experiments[at : at + EXPERIMENTS_PER_SHARD])
            yield Shard(name=f"experiments from {at}", payload=ExperimentsPayload(experiments=part))
        for kind in filter(self._selection.wants_kind, _PER_EXPERIMENT):
            for experiment in self._experiments:
                yield from self._shards_of(kind, experiment)
        if self._selection.wants_kind(REGISTERED_MODEL):
            yield from self._registry()

    def _filters(self) -> dict[str, Passes]:
        filters: dict[str, Passes] = {}
        if self._selection.filter_string:
            filters[RUN] = partial(self._matching_runs, compile_filter(self._selection.filter_string))
        if self._selection.trace_filter:
            filters[TRACE] = partial(self._matching_traces, compile_trace_filter(self._selection.trace_filter))
        return filters

    def _matching_runs(self, matches: Matches, ids: Sequence[str]) -> list[str]:
        """Return the runs that match a filter, and those that cannot be read, so that they are reported."""
        return [i for i in ids if any(self._matches(matches, *place) for place in self._catalog.met(RUN, [i]))]

    def _matches(self, matches: Matches, experiment: Experiment, run: Folder) -> bool:
        assert isinstance(run, RunFolder)  # noqa: S101 - as runs are asked for
        try:
            record = read_run(run, experiment.folder, self._places, Selection(artifacts=False))
        except MetaUnreadableError:
            return True
        return matches(record, read_latest(run.path / METRICS).points.values())

    def _matching_traces(self, matches: TraceFilter, ids: Sequence[str]) -> list[str]:
        places = [(path_of(folder), experiment.folder) for experiment, folder in self._catalog.met(TRACE, ids)]
        entities = {folder.name: self._trace(folder, experiment) for folder, experiment in places}
        searched = {i: SearchedTrace.of_rows(entity.rows) for i, entity in entities.items() if entity is not None}
        matching = {trace.trace_id for trace in matches(list(searched.values()))}
        return [trace_id for trace_id in ids if trace_id not in searched or trace_id in matching]

    def _trace(self, folder: Path, experiment: ExperimentFolder) -> Entity | None:
        try:
            return read_trace(folder, experiment, self._places, Selection(artifacts=False))
        except MetaUnreadableError:
            return None

    def _strays(self) -> Iterator[Gap]:
        """Yield gaps for folders that may hold objects; where single objects are selected, for none."""
        selection = self._selection
        if selection.only_named or selection.leaves_out_runs or selection.kinds:
            return
        if selection.everything:
            yield from stray_folders(self._root, find_experiments(self._root))
        for experiment in self._experiments:
            yield from strays_in_experiment(self._root, experiment.folder)

    def _registry(self) -> Iterator[Shard]:
        selection, stage = self._selection, _STAGES[REGISTERED_MODEL]
        payload = ModelsPayload(selection=selection)
        names = self.selector.registered
        if not (selection.models or selection.everything):
            return
        try:
            folders = find_registered_models(self._root)
        except StoreError as error:
            yield Shard(name="registered models", stage=stage, payload=replace(payload, listing_problem=str(error)))
            return
        if names is not None:
            folders = [folder for folder in folders if model_name(folder) in names]
        for at in range(0, len(folders), MODELS_PER_SHARD):
            part = tuple(folders[at : at + MODELS_PER_SHARD])
            yield Shard(name=f"registered models from {at}", stage=stage, payload=replace(payload, folders=part))

    def _shards_of(self, kind: str, experiment: Experiment) -> Iterator[Shard]:
        copies: list[Folder] = []
        folders = self._selected(kind, experiment, copies)
        number = 0
        while True:
            part, problem = _take(folders)
            if part or copies or problem:
                payload = FoldersPayload(
                    kind=kind,
                    experiment=experiment,
                    selection=self._selection,
                    folders=part,
                    copies=tuple(path_of(folder) for folder in copies),
                    listing_problem=problem,
                )
                name = _name(kind, experiment, number, len(part))
                yield Shard(name=name, stage=_STAGES[kind], kind=kind, weight=len(part), payload=payload)
            copies.clear()
            number += len(part)
            if len(part) < PER_SHARD:
                return

    def _selected(self, kind: str, experiment: Experiment, copies: list[Folder]) -> Iterator[Folder]:
        """Yield the selected folders of an experiment, and add those with the id of an earlier one to ``copies``."""
        folders, planned = self._catalog.folders(kind, experiment), self._planned[kind]
        problem = ""
        while not problem:
            part, problem = _take(folders)
            selected_ids = self.selector.among(kind, [id_of(folder) for folder in part])
            for folder in part:
                if id_of(folder) in planned:
                    copies += [folder] if id_of(folder) in selected_ids else []
                elif id_of(folder) in selected_ids:
                    planned.add(id_of(folder))
                    yield folder
            if len(part) < PER_SHARD:
                break
        if problem:
            raise StoreError(problem)


def _take(folders: Iterator[Folder]) -> tuple[tuple[Folder, ...], str]:
    """Return some of the folders, and why there are no more where a folder cannot be listed."""
    part: list[Folder] = []
    try:
        part.extend(islice(folders, PER_SHARD))
    except StoreError as error:
        return tuple(part), str(error)
    return tuple(part), ""


def _name(kind: str, experiment: Experiment, start: int, count: int) -> str:
    objects = f", {kind.replace('_', ' ')}s {start}-{start + count - 1}" if count else ""
    return f"experiment {experiment.experiment_id}{objects}"


def stray_folders(root: Path, experiments: Iterable[ExperimentFolder]) -> Iterator[Gap]:
    """Yield a gap for each folder beside the experiments and registered models of a store, with number of files."""
    known = {experiment.path for experiment in experiments}
    for parent in (root, root / TRASH):
        yield from _strays(root, [path for path in folders_in(parent) if experiment_like(path)], known, EXPERIMENT)
    models = [path for path in folders_in(root / MODELS) if registered_model_like(path)]
    yield from _strays(root, models, set(find_registered_models(root)), REGISTERED_MODEL)


def strays_in_experiment(root: Path, experiment: ExperimentFolder) -> Iterator[Gap]:
    """Yield a gap for each folder beside the runs, logged models and traces of an experiment."""
    path = experiment.path
    for parent, kind, looks, objects in (
        (path, RUN, run_like, (run.path for run in experiment.runs())),
        (path / TRASH, RUN, run_like, (run.path for run in experiment.runs())),
        (path / MODELS, LOGGED_MODEL, logged_model_like, experiment.logged_models()),
        (path / TRACES, TRACE, trace_like, experiment.traces()),
    ):
        try:
            yield from _strays(root, [folder for folder in folders_in(parent) if looks(folder)], set(objects), kind)
        except StoreError:
            continue  # a folder that cannot be listed is reported where its objects are


def _strays(root: Path, folders: Iterable[Path], known: set[Path], kind: str) -> Iterator[Gap]:
    for folder in folders:
        if folder not in known and (files := _file_count(folder)):
            place = printable(folder.relative_to(root).as_posix())
            noun = kind.replace("_", " ")
            reason = f"no meta.yaml says that this folder is a {noun}; {files} files in it are left out"
            yield Gap(owner_kind=SOURCE, owner_id=place, path="", code=FOLDER_UNKNOWN, reason=reason)


def _file_count(folder: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(folder))
