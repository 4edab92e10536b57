"""What of a store is selected, cut into shards: experiments first, then runs, then what refers to them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Final

from mlflow_archive.errors import SelectionError, StoreError
from mlflow_archive.flow.chunk import Shard
from mlflow_archive.kinds import KINDS, LOGGED_MODEL, REGISTERED_MODEL, RUN, TABLES, TRACE
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.filtering.run_filter import Matches, compile_filter
from mlflow_archive.sources.filtering.trace_filter import compile_trace_filter
from mlflow_archive.sources.mlruns.entity_planning import EntityPlanner, SelectedEntities, TakenRuns, take
from mlflow_archive.sources.mlruns.index import StoreIndex
from mlflow_archive.sources.mlruns.layout import RunFolder, find_experiments
from mlflow_archive.sources.mlruns.location import ArtifactPlaces
from mlflow_archive.sources.mlruns.meta import MetaUnreadableError
from mlflow_archive.sources.mlruns.runs.experiments import Experiment, load_experiments
from mlflow_archive.sources.mlruns.runs.history import read_latest
from mlflow_archive.sources.mlruns.runs.inputs import read_edges
from mlflow_archive.sources.mlruns.runs.runs import METRICS, is_deleted, read_run, read_run_meta, start_time
from mlflow_archive.sources.mlruns.standing import Standing, selected_models, standing_of
from mlflow_archive.sources.reading.points import Latest

EXPERIMENTS_PER_SHARD: Final = 100
RUNS_PER_SHARD: Final = 100
MODELS_PER_SHARD: Final = 20
_STAGES: Final = MappingProxyType({kind: stage for stage, kind in enumerate(KINDS)})
_IN_EXPERIMENTS: Final = frozenset(table.entity for table in TABLES.values() if "experiment_id" in table.column_names)
_NAMED_IN_ERRORS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedExperiments:
    """What a shard holds: experiments with the datasets of their runs."""

    experiments: tuple[Experiment, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedRuns:
    """What a shard holds: runs of one experiment.

    ``copies`` are further folders with the id of a run found before; they are left out with a gap.
    """

    experiment: Experiment
    selection: Selection
    runs: tuple[RunFolder, ...] = ()
    copies: tuple[RunFolder, ...] = ()
    listing_problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedModels:
    """What a shard holds: registered models with their versions."""

    selection: Selection
    index: StoreIndex
    folders: tuple[Path, ...] = ()
    listing_problem: str = ""


class Planner:
    """Plans one export."""

    def __init__(self, root: Path, places: ArtifactPlaces, selection: Selection) -> None:
        self._root = root
        self._places = places
        self._selection = selection
        self._seen: set[str] = set()
        self._matches: Matches | None = None
        self._standing: Standing | None = None
        self._taken = TakenRuns() if selection.runs or selection.filter_string else None

    @cached_property
    def _index(self) -> StoreIndex:
        return StoreIndex(self._root)

    def shards(self) -> Iterator[Shard]:
        """Yield the shards, lazily.

        Raises SelectionError before the first one for what matches nothing or is no filter of MLflow's.
        """
        selection = self._selection
        self._places.check()
        experiments = self._experiments()
        self._check_runs(experiments)
        if selection.models:
            self._standing = standing_of(selected_models(self._root, selection), self._index)
        if selection.filter_string:
            self._matches = compile_filter(selection.filter_string)
        entities = EntityPlanner(selection=selection, places=self._places, taken=self._taken, standing=self._standing)
        if selection.trace_filter:
            entities.trace_matches = compile_trace_filter(selection.trace_filter)
        if not selection.kinds or _IN_EXPERIMENTS.intersection(selection.kinds):
            yield from self._in_experiments(entities, experiments)
        if selection.wants_kind(REGISTERED_MODEL) and (selection.models or self._everything):
            yield from self._registry()

    @property
    def _everything(self) -> bool:
        """Whether nothing is left out by experiment, run or time: what lies in no experiment is taken only then."""
        s = self._selection
        return not (s.experiments or s.runs or s.filter_string) and s.since_ms is None and s.until_ms is None

    def _in_experiments(self, entities: EntityPlanner, experiments: list[Experiment]) -> Iterator[Shard]:
        """Yield experiments and what lies in them; where single runs or models are selected, only those of these."""
        found = self._of_experiments(entities, experiments)
        if self._taken is not None or self._standing is not None:
            planned = list(found)
            used = {_experiment_of(shard) for shard in planned}
            experiments = [experiment for experiment in experiments if experiment.experiment_id in used]
            found = iter(planned)
        for at in range(0, len(experiments), EXPERIMENTS_PER_SHARD):
            some = tuple(experiments[at : at + EXPERIMENTS_PER_SHARD])
            yield Shard(name=f"experiments from {at}", payload=SelectedExperiments(experiments=some))
        yield from found

    def _of_experiments(self, entities: EntityPlanner, experiments: list[Experiment]) -> Iterator[Shard]:
        for experiment in experiments:
            yield from self._shards_of(experiment)
        for kind in (LOGGED_MODEL, TRACE):
            if self._selection.wants_kind(kind):
                yield from entities.shards(kind, experiments, _STAGES[kind])

    def _registry(self) -> Iterator[Shard]:
        try:
            folders = selected_models(self._root, self._selection)
        except StoreError as error:
            payload = SelectedModels(selection=self._selection, index=self._index, listing_problem=str(error))
            yield Shard(name="registered models", stage=_STAGES[REGISTERED_MODEL], payload=payload)
            return
        for at in range(0, len(folders), MODELS_PER_SHARD):
            some = tuple(folders[at : at + MODELS_PER_SHARD])
            payload = SelectedModels(selection=self._selection, index=self._index, folders=some)
            yield Shard(name=f"registered models from {at}", stage=_STAGES[REGISTERED_MODEL], payload=payload)

    def _experiments(self) -> list[Experiment]:
        found = load_experiments(find_experiments(self._root))
        if not self._selection.deleted:
            found = [experiment for experiment in found if not experiment.deleted]
        pairs = [(experiment.experiment_id, experiment.name) for experiment in found]
        if unmatched := self._selection.unmatched_experiments(pairs):
            names = ", ".join(f"{name!r} (id {number})" for number, name in pairs[:_NAMED_IN_ERRORS])
            more = f" and {len(pairs) - _NAMED_IN_ERRORS} more" if len(pairs) > _NAMED_IN_ERRORS else ""
            hint = "" if self._selection.deleted else "; deleted ones are left out"
            raise SelectionError(
                f"no experiment of {self._root} matches {', '.join(map(repr, unmatched))}; there are {names or 'none'}"
                f"{more}{hint}"
            )
        return [each for each in found if self._selection.matches_experiment(each.experiment_id, each.name)]

    def _check_runs(self, experiments: list[Experiment]) -> None:
        missing = set(self._selection.runs)
        some: list[str] = []
        for experiment in experiments if missing else []:
            try:
                runs = list(experiment.folder.runs())
            except StoreError:
                continue  # becomes a gap of the experiment
            missing.difference_update([run.run_id for run in runs if run.run_id in missing and self._is_in_reach(run)])
            some += [run.run_id for run in runs[: _NAMED_IN_ERRORS - len(some)]]
            if not missing:
                return
        if missing:
            hint = "" if self._selection.deleted else "; deleted ones are left out"
            raise SelectionError(
                f"no run {', '.join(sorted(missing))} in the selected experiments of {self._root}; "
                f"there are {', '.join(some) or 'none'}{', …' if len(some) == _NAMED_IN_ERRORS else ''}{hint}"
            )

    def _shards_of(self, experiment: Experiment) -> Iterator[Shard]:
        copies: list[RunFolder] = []
        runs = self._wanted(experiment, copies)
        number = 0
        while True:
            part, problem = take(runs, RUNS_PER_SHARD)
            last = len(part) < RUNS_PER_SHARD
            if not self._selection.wants_kind(RUN):  # looked at all the same, for what refers to them
                part = ()
                copies.clear()
            if part or copies or problem:
                payload = SelectedRuns(
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

    def _wanted(self, experiment: Experiment, copies: list[RunFolder]) -> Iterator[RunFolder]:
        for run in experiment.folder.runs():
            if self._selection.runs and run.run_id not in self._selection.runs:
                continue
            if self._standing is not None and run.run_id not in self._standing.run_ids:
                continue
            if not self._is_selected(run, experiment):
                continue
            if run.run_id in self._seen:
                copies.append(run)
                continue
            self._seen.add(run.run_id)
            if self._taken is not None:
                self._taken.run_ids.add(run.run_id)
                self._taken.model_ids |= read_edges(run.path, experiment.folder.path, _ignore).model_ids()
            yield run

    def _is_selected(self, run: RunFolder, experiment: Experiment) -> bool:
        """Say whether a run is selected; one that cannot be read is, so that it is reported."""
        if not self._is_in_reach(run):
            return False
        try:
            if self._matches is None:
                return True
            record = read_run(run, experiment.folder, self._places, Selection(artifacts=False))
        except MetaUnreadableError:
            return True
        latest: Latest = read_latest(run.path / METRICS)
        return self._matches(record, latest.points.values())

    def _is_in_reach(self, run: RunFolder) -> bool:
        """Say whether a run's stage and start are selected."""
        selection = self._selection
        if selection.deleted and selection.since_ms is None and selection.until_ms is None:
            return True
        try:
            meta = read_run_meta(run)
        except MetaUnreadableError:
            return True
        return selection.in_window(start_time(meta)) and (selection.deleted or not is_deleted(run, meta))


def _ignore(key: str, reason: str) -> None:
    """Leave it: the same files are read again, and told of, when the run is carried."""


def _experiment_of(shard: Shard) -> str:
    payload = shard.payload
    assert isinstance(payload, SelectedRuns | SelectedEntities)  # noqa: S101 - shards of this planner
    return payload.experiment.experiment_id


def _name(experiment: Experiment, start: int, count: int) -> str:
    runs = f", runs {start}-{start + count - 1}" if count else ""
    return f"experiment {experiment.experiment_id}{runs}"
