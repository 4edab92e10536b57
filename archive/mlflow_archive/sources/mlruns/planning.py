"""Which experiments and runs are selected, cut into shards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from mlflow_archive.errors import SelectionError, StoreError
from mlflow_archive.pipeline import Selection, Shard
from mlflow_archive.sources.mlruns.experiments import Experiment, load_experiments
from mlflow_archive.sources.mlruns.history import Latest, read_latest
from mlflow_archive.sources.mlruns.layout import RunFolder, find_experiments
from mlflow_archive.sources.mlruns.location import ArtifactPlaces
from mlflow_archive.sources.mlruns.meta import MetaUnreadableError
from mlflow_archive.sources.mlruns.runs import METRICS, is_deleted, read_run, read_run_meta, start_time
from mlflow_archive.sources.run_filter import Matches, compile_filter

RUNS_PER_SHARD: Final = 100
_NAMED_IN_ERRORS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedRuns:
    """What a shard holds: runs of one experiment, with ``with_experiment`` the experiment's own rows too.

    ``copies`` are further folders with the id of a run found before; they are left out with a gap.
    """

    experiment: Experiment
    selection: Selection
    with_experiment: bool
    runs: tuple[RunFolder, ...] = ()
    copies: tuple[RunFolder, ...] = ()
    listing_problem: str = ""


class Planner:
    """Plans one export."""

    def __init__(self, root: Path, places: ArtifactPlaces, selection: Selection) -> None:
        self._root = root
        self._places = places
        self._selection = selection
        self._seen: set[str] = set()
        self._matches: Matches | None = None

    def shards(self) -> Iterator[Shard]:
        """Yield the shards, lazily.

        Raises SelectionError before the first one for what matches nothing or is no filter of MLflow's.
        """
        self._places.check()
        experiments = self._experiments()
        self._check_runs(experiments)
        if self._selection.filter_string:
            self._matches = compile_filter(self._selection.filter_string)
        for experiment in experiments:
            yield from self._shards_of(experiment)

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
        only_with_runs = bool(self._selection.runs or self._selection.filter_string)
        copies: list[RunFolder] = []
        runs = self._wanted(experiment, copies)
        number = 0
        while True:
            part, problem = _take(runs, RUNS_PER_SHARD)
            if part or copies or problem or (number == 0 and not only_with_runs):
                payload = SelectedRuns(
                    experiment=experiment,
                    selection=self._selection,
                    with_experiment=number == 0,
                    runs=part,
                    copies=tuple(copies),
                    listing_problem=problem,
                )
                yield Shard(name=_name(experiment, number, len(part)), weight=len(part), payload=payload)
            copies.clear()
            number += len(part)
            if len(part) < RUNS_PER_SHARD:
                return

    def _wanted(self, experiment: Experiment, copies: list[RunFolder]) -> Iterator[RunFolder]:
        for run in experiment.folder.runs():
            if self._selection.runs and run.run_id not in self._selection.runs:
                continue
            if not self._is_selected(run, experiment):
                continue
            if run.run_id in self._seen:
                copies.append(run)
            else:
                self._seen.add(run.run_id)
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


def _take(runs: Iterator[RunFolder], count: int) -> tuple[tuple[RunFolder, ...], str]:
    """Return up to ``count`` runs, and why there are no more where a folder cannot be listed."""
    taken: list[RunFolder] = []
    try:
        taken.extend(islice(runs, count))
    except StoreError as error:
        return tuple(taken), str(error)
    return tuple(taken), ""


def _name(experiment: Experiment, start: int, count: int) -> str:
    runs = f", runs {start}-{start + count - 1}" if count else ""
    return f"experiment {experiment.experiment_id}{runs}"
