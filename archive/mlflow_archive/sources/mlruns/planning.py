"""What of a store is selected, cut into shards: experiments first, then runs, then what refers to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Final

from mlflow_archive.errors import SelectionError, StoreError
from mlflow_archive.flow.absences import Absences
from mlflow_archive.flow.chunk import Gap, Shard
from mlflow_archive.kinds import EXPERIMENT, KINDS, LOGGED_MODEL, REGISTERED_MODEL, RUN, TABLES, TRACE
from mlflow_archive.selecting.model_versions import PROMPT_EXPERIMENTS, ModelDependencies, prompt_experiments
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.filtering.run_filter import Matches, compile_filter
from mlflow_archive.sources.filtering.trace_filter import compile_trace_filter
from mlflow_archive.sources.mlruns.entity_planning import EntitiesPayload, EntityPlanner, SelectedRuns, take
from mlflow_archive.sources.mlruns.index import StoreIndex
from mlflow_archive.sources.mlruns.keyfiles import read_values
from mlflow_archive.sources.mlruns.layout import METRICS, TAGS, RunFolder, find_experiments, find_registered_models
from mlflow_archive.sources.mlruns.location import ArtifactPlaces
from mlflow_archive.sources.mlruns.logged_models import source_run_of
from mlflow_archive.sources.mlruns.meta import MetaUnreadableError
from mlflow_archive.sources.mlruns.registry.registry import model_name, version_metas
from mlflow_archive.sources.mlruns.registry.version_files import Carried
from mlflow_archive.sources.mlruns.runs.experiments import Experiment, load_experiments
from mlflow_archive.sources.mlruns.runs.history import read_latest
from mlflow_archive.sources.mlruns.runs.inputs import read_edges
from mlflow_archive.sources.mlruns.runs.runs import is_deleted, read_run, read_run_meta, start_time
from mlflow_archive.sources.mlruns.strays import stray_folders, strays_in_experiment
from mlflow_archive.sources.reading.gaplist import GapList
from mlflow_archive.sources.reading.no_match import deleted_hint, no_match

EXPERIMENTS_PER_SHARD: Final = 100
RUNS_PER_SHARD: Final = 100
MODELS_PER_SHARD: Final = 20
_STAGES: Final = MappingProxyType({kind: stage for stage, kind in enumerate(KINDS)})
_IN_EXPERIMENTS: Final = frozenset(table.entity for table in TABLES.values() if "experiment_id" in table.column_names)
_NAMED_IN_ERRORS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentsPayload:
    """What a shard holds: experiments with the datasets of their runs."""

    experiments: tuple[Experiment, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunsPayload:
    """What a shard holds: runs of one experiment.

    ``copies`` are further folders with the id of an earlier run; they are left out with a gap.
    """

    experiment: Experiment
    selection: Selection
    runs: tuple[RunFolder, ...] = ()
    copies: tuple[RunFolder, ...] = ()
    listing_problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelsPayload:
    """What a shard holds: registered models with their versions."""

    selection: Selection
    index: StoreIndex
    folders: tuple[Path, ...] = ()
    listing_problem: str = ""
    carried: Carried = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StrayPayload:
    """What a shard holds: gaps for folders of which nothing says what they are."""

    gaps: tuple[Gap, ...]


class StorePlanner:
    """Plans one export."""

    def __init__(self, root: Path, places: ArtifactPlaces, selection: Selection) -> None:
        self._root = root
        self._places = places
        self._selection = selection
        self._absences = Absences(selection)
        self._run_ids: set[str] = set()
        self._logged_models: frozenset[str] = frozenset()
        self._matches: Matches | None = None
        self._required: ModelDependencies | None = None
        narrowed = bool(selection.runs or selection.filter_string)
        self._selected = SelectedRuns(only=narrowed) if narrowed or selection.leaves_out_runs else None

    @cached_property
    def _index(self) -> StoreIndex:
        return StoreIndex(self._root)

    def shards(self) -> Iterator[Shard]:
        """Yield the shards, lazily.

        Raises SelectionError before the first one for what matches nothing or is not in MLflow's search syntax.
        """
        selection = self._selection
        self._places.check()
        experiments = self._experiments()
        self._check_runs(experiments)
        if selection.models:
            folders = self._registered_models()
            self._required = _dependencies_of(folders, self._index)
        if selection.filter_string:
            self._matches = compile_filter(selection.filter_string)
        if strays := tuple(self._strays(experiments)):
            yield Shard(name="folders without meta.yaml", payload=StrayPayload(gaps=strays))
        entities = EntityPlanner(selection=selection, places=self._places, runs=self._selected, required=self._required)
        if selection.trace_filter:
            entities.trace_matches = compile_trace_filter(selection.trace_filter)
        yield from self._absences.shards()
        if not selection.kinds or _IN_EXPERIMENTS.intersection(selection.kinds):
            yield from self._in_experiments(entities, experiments)
        if selection.wants_kind(REGISTERED_MODEL) and (selection.models or self._everything):
            yield from self._registry()

    def _strays(self, experiments: list[Experiment]) -> Iterator[Gap]:
        """Yield gaps for folders that may hold objects; where single objects are selected, for none."""
        selection = self._selection
        if self._selected is not None or self._required is not None or selection.kinds:
            return
        if self._everything:
            yield from stray_folders(self._root, find_experiments(self._root))
        for experiment in experiments:
            yield from strays_in_experiment(self._root, experiment.folder)

    @property
    def _everything(self) -> bool:
        """Whether nothing is left out by experiment, run or time: what lies in no experiment is selected only then."""
        s = self._selection
        return not (s.experiments or s.runs or s.filter_string) and s.since_ms is None and s.until_ms is None

    def _in_experiments(self, entities: EntityPlanner, experiments: list[Experiment]) -> Iterator[Shard]:
        """Yield experiments and what lies in them; where single runs or models are selected, only those of these."""
        shards = self._of_experiments(entities, experiments)
        if (self._selected is not None and self._selected.only) or self._required is not None:
            planned = list(shards)
            used = {_experiment_of(shard) for shard in planned}
            used |= self._required.experiments if self._required is not None else set()
            experiments = [experiment for experiment in experiments if experiment.experiment_id in used]
            shards = iter(planned)
        for at in range(0, len(experiments), EXPERIMENTS_PER_SHARD):
            part = tuple(experiments[at : at + EXPERIMENTS_PER_SHARD])
            yield Shard(name=f"experiments from {at}", payload=ExperimentsPayload(experiments=part))
        yield from shards

    def _of_experiments(self, entities: EntityPlanner, experiments: list[Experiment]) -> Iterator[Shard]:
        for experiment in experiments:
            yield from self._shards_of(experiment)
        for kind in (LOGGED_MODEL, TRACE):
            if self._selection.wants_kind(kind):
                yield from entities.shards(kind, experiments, _STAGES[kind])
                if kind == LOGGED_MODEL:
                    self._logged_models = entities.planned_ids

    def _registry(self) -> Iterator[Shard]:
        try:
            folders = self._registered_models()
        except StoreError as error:
            payload = ModelsPayload(selection=self._selection, index=self._index, listing_problem=str(error))
            yield Shard(name="registered models", stage=_STAGES[REGISTERED_MODEL], payload=payload)
            return
        carried = self._carried()
        for at in range(0, len(folders), MODELS_PER_SHARD):
            part = tuple(folders[at : at + MODELS_PER_SHARD])
            payload = ModelsPayload(selection=self._selection, index=self._index, folders=part, carried=carried)
            yield Shard(name=f"registered models from {at}", stage=_STAGES[REGISTERED_MODEL], payload=payload)

    def _carried(self) -> Carried:
        """Return the runs and logged models that come, None where all do."""
        selection = self._selection
        if not (selection.kinds or selection.models or selection.leaves_out_runs):
            return None
        return frozenset(self._run_ids if selection.wants_kind(RUN) else ()) | self._logged_models

    def _experiments(self) -> list[Experiment]:
        selection = self._selection
        experiments = load_experiments(find_experiments(self._root))
        if not selection.deleted:
            experiments = [experiment for experiment in experiments if not experiment.deleted]
        pairs = [(experiment.experiment_id, experiment.name) for experiment in experiments]
        if unmatched := selection.unmatched_experiments(pairs):
            names = [f"{name!r} (id {number})" for number, name in pairs]
            error = no_match("experiment", self._root, unmatched, names, deleted_hint(deleted=selection.deleted))
            self._absences.add(EXPERIMENT, unmatched, selection.experiments, error)
        return [e for e in experiments if selection.matches_experiment(e.experiment_id, e.name)]

    def _registered_models(self) -> list[Path]:
        """Return the folders of the selected registered models by name.

        Raises SelectionError for a pattern that matches none, StoreError.
        """
        models = [(model_name(folder), folder) for folder in find_registered_models(self._root)]
        if unmatched := self._selection.unmatched_models([name for name, _ in models]):
            error = no_match("registered model", self._root, unmatched, [repr(name) for name, _ in models])
            self._absences.add(REGISTERED_MODEL, unmatched, self._selection.models, error)
        return [folder for name, folder in models if self._selection.matches_model(name)]

    def _check_runs(self, experiments: list[Experiment]) -> None:
        missing = set(self._selection.runs)
        examples: list[str] = []
        for experiment in experiments if missing else []:
            try:
                runs = list(experiment.folder.runs())
            except StoreError:
                continue  # becomes a gap of the experiment
            missing.difference_update([run.run_id for run in runs if run.run_id in missing and self._is_in_reach(run)])
            examples += [run.run_id for run in runs[: _NAMED_IN_ERRORS - len(examples)]]
            if not missing:
                return
        if missing:
            hint = deleted_hint(deleted=self._selection.deleted)
            ellipsis = ", …" if len(examples) == _NAMED_IN_ERRORS else ""
            error = SelectionError(
                f"no run {', '.join(sorted(missing))} in the selected experiments of {self._root}; "
                f"there are {', '.join(examples) or 'none'}{ellipsis}{hint}"
            )
            self._absences.add(RUN, missing, self._selection.runs, error)

    def _shards_of(self, experiment: Experiment) -> Iterator[Shard]:
        copies: list[RunFolder] = []
        runs = self._selected_runs(experiment, copies)
        number = 0
        while True:
            part, problem = take(runs, RUNS_PER_SHARD)
            last = len(part) < RUNS_PER_SHARD
            if not self._selection.wants_kind(RUN):  # still planned, as other objects are selected by their runs
                part = ()
                copies.clear()
            if part or copies or problem:
                payload = RunsPayload(
                    experiment=experiment,
                    selection=self._selection,
                    runs=part,
                    copies=tuple(copies),
                    listing_problem=problem,
                )
                name = _name(experiment, number, len(part))
                yield Shard(name=name, stage=_STAGES[RUN], weight=len(part), payload=payload)
            copies.clear()
            number += RUNS_PER_SHARD
            if last:
                return

    def _selected_runs(self, experiment: Experiment, copies: list[RunFolder]) -> Iterator[RunFolder]:
        for run in experiment.folder.runs():
            if self._selection.runs and run.run_id not in self._selection.runs:
                continue
            if self._required is not None and run.run_id not in self._required.runs:
                continue
            if not self._is_selected(run, experiment):
                continue
            if run.run_id in self._run_ids:
                copies.append(run)
                continue
            self._run_ids.add(run.run_id)
            if self._selected is not None:
                self._selected.run_ids.add(run.run_id)
                unused = GapList(owner_kind=RUN, owner_id=run.run_id)  # the run has its own when it is carried
                self._selected.model_ids |= read_edges(run.path, experiment.folder.path, unused).model_ids()
            yield run

    def _is_selected(self, run: RunFolder, experiment: Experiment) -> bool:
        """Return whether a run is selected; one that cannot be read is, so that it is reported."""
        if not self._is_in_reach(run):
            return False
        try:
            if self._matches is None:
                return True
            record = read_run(run, experiment.folder, self._places, Selection(artifacts=False))
        except MetaUnreadableError:
            return True
        return self._matches(record, read_latest(run.path / METRICS).points.values())

    def _is_in_reach(self, run: RunFolder) -> bool:
        """Return whether a run's stage and start are selected."""
        selection = self._selection
        if selection.deleted and selection.since_ms is None and selection.until_ms is None:
            return True
        try:
            meta = read_run_meta(run)
        except MetaUnreadableError:
            return True
        return selection.in_window(start_time(meta)) and (selection.deleted or not is_deleted(run, meta))


def _ignore(key: str, reason: str) -> None:
    """Leave it: the same files are read again when the run is carried, and reported then."""


def _experiment_of(shard: Shard) -> str:
    payload = shard.payload
    assert isinstance(payload, RunsPayload | EntitiesPayload)  # noqa: S101 - shards of this planner
    return payload.experiment.experiment_id


def _name(experiment: Experiment, start: int, count: int) -> str:
    runs = f", runs {start}-{start + count - 1}" if count else ""
    return f"experiment {experiment.experiment_id}{runs}"


def _dependencies_of(folders: Sequence[Path], index: StoreIndex) -> ModelDependencies:
    """Return the runs and logged models that these registered models stand on, and the runs of these logged models."""
    run_ids: set[str] = set()
    model_ids: set[str] = set()
    for folder in folders:
        for meta in version_metas(folder):
            locations = (meta.text("source"), meta.text("storage_location"))
            run_ids |= index.runs_in(meta.text("run_id"), *locations)
            model_ids |= index.logged_models_in(meta.text("model_id"), *locations)
    for model_id in model_ids:
        place = index.logged_model(model_id)
        run_ids |= index.runs_in(None if place is None else source_run_of(place))
    tags = [read_values(folder / TAGS, _ignore) for folder in folders]
    return ModelDependencies(
        names=tuple(folder.name for folder in folders),
        runs=frozenset(run_ids),
        logged_models=frozenset(model_ids),
        experiments=prompt_experiments(values.get(PROMPT_EXPERIMENTS) for values in tags),
    )
