"""Which entities of a database are selected."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cached_property
from typing import Any, Final

from mlflow_archive.errors import SelectionError
from mlflow_archive.flow.absences import Absences
from mlflow_archive.kinds import (
    DEFAULT_WORKSPACE,
    EVALUATION_DATASET,
    EXPERIMENT,
    LOGGED_MODEL,
    REGISTERED_MODEL,
    RUN,
    TRACE,
    WORKSPACE,
)
from mlflow_archive.mlflow_database.mapping import ROOTS
from mlflow_archive.selecting.model_versions import ModelDependencies, dependencies_of
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.database.columns import Columns, slices
from mlflow_archive.sources.database.registry import DatabaseRegistry
from mlflow_archive.sources.reading.no_match import deleted_hint, no_match

_JUDGED_AT_ONCE: Final = 128
_EDGES: Final = ("model_inputs", "model_outputs")

Matching = Callable[[Sequence[str]], Sequence[str]]
"""Given ids of runs, returns those that a filter takes."""
MatchingTraces = Callable[[Sequence[str], Collection[str]], Sequence[str]]
"""Given ids of traces and those of all selected experiments, returns the traces that a filter takes."""


class Selected:
    """The entities of a database that a selection takes. Raises SelectionError for a pattern that matches nothing.

    ``uri`` is what messages call the database. ``runs_matching`` and ``traces_matching`` apply filters; None where
    there are none.
    """

    def __init__(
        self,
        columns: Columns,
        selection: Selection,
        uri: str,
        *,
        runs_matching: Matching | None = None,
        traces_matching: MatchingTraces | None = None,
    ) -> None:
        self._columns, self._selection, self._uri = columns, selection, uri
        self._runs_matching, self._traces_matching = runs_matching, traces_matching
        self.absences = Absences(selection)
        self._in_reach_of: dict[str, str] = self._experiments()
        self._dependencies = self._dependencies_of_models() if selection.models else None
        self._check_runs()

    @property
    def everything(self) -> bool:
        """Whether nothing is left out by experiment, run, model or time."""
        s = self._selection
        return not (s.experiments or self._only_of_runs) and s.since_ms is None and s.until_ms is None

    @property
    def _only_of_runs(self) -> bool:
        s = self._selection
        return bool(s.runs or s.filter_string or s.models)

    def experiments(self) -> list[str]:
        """Return the ids of the experiments that come, in the order of the database."""
        if not self._only_of_runs:
            return list(self._in_reach_of)
        experiment_ids = self._experiments_of("runs", "run_uuid", set(self._chosen_runs()))
        if self._dependencies is not None:
            experiment_ids |= self._experiments_of("logged_models", "model_id", set(self._of_versions()))
            experiment_ids |= self._dependencies.experiments
        return [experiment for experiment in self._in_reach_of if experiment in experiment_ids]

    def runs(self) -> Iterator[str]:
        """Yield the ids of the selected runs, sorted."""
        return self._chosen_runs() if self._selection.wants_kind(RUN) else iter(())

    def ids(self, kind: str) -> Iterator[str]:
        """Yield the selected entities of a kind; what lies in no experiment only where everything is selected."""
        if not self._columns.has(ROOTS[kind].stored_in):
            return iter(())
        if kind == WORKSPACE:
            return self._all(kind) if self.everything else iter(sorted(self._workspaces()))
        if not self._selection.wants_kind(kind):
            return iter(())
        owner_ids = self._ids(kind)
        matching = self._traces_matching
        if kind != TRACE or matching is None:
            return owner_ids
        return self._judged(owner_ids, lambda traces: matching(traces, self._in_reach_of))

    def carries(self, kind: str, ids: Collection[str]) -> set[str]:
        """Return those of some runs or logged models that are selected."""
        if not ids or not self._selection.wants_kind(kind):
            return set()
        if kind == RUN:
            run_ids = [run_id for run_id in self._in_reach(among=ids) if run_id in set(ids)]
            return set(run_ids if self._runs_matching is None else self._runs_matching(run_ids))
        if self._only_of_runs:
            return self._logged_models & set(ids)
        return set(self._with_their_runs(self._in_experiments(kind, among=ids)))

    @cached_property
    def _logged_models(self) -> set[str]:
        return set(self.ids(LOGGED_MODEL))

    def _chosen_runs(self) -> Iterator[str]:
        run_ids = self._in_reach()
        return run_ids if self._runs_matching is None else self._judged(run_ids, self._runs_matching)

    def _judged(self, ids: Iterator[str], matching: Matching) -> Iterator[str]:
        for id_slice in slices(list(ids), _JUDGED_AT_ONCE):
            yield from matching(id_slice)

    def _in_reach(self, among: Collection[str] | None = None) -> Iterator[str]:
        """Yield the runs that everything but a filter takes, sorted; of some of them in any order."""
        names = ("run_uuid", "experiment_id", "lifecycle_stage", "start_time")
        if among is None:
            among = self._selection.runs or (None if self._dependencies is None else self._dependencies.runs)
        where = None if among is None else ("run_uuid", among)
        rows: Any = self._columns.rows("runs", names, order_by="run_uuid", where=where)
        for run_id, experiment, stage, start in rows if where is None else sorted(rows, key=lambda row: str(row[0])):
            if self._selection.runs and run_id not in self._selection.runs:
                continue
            if self._dependencies is not None and run_id not in self._dependencies.runs:
                continue
            if str(experiment) in self._in_reach_of and self._wants(stage, start):
                yield str(run_id)

    def _wants(self, stage: object, start: Any) -> bool:
        in_window = self._selection.in_window(start if isinstance(start, int) else None)
        return in_window and self._wants_stage(stage)

    def _wants_stage(self, stage: object) -> bool:
        return self._selection.deleted or stage != "deleted"

    def _experiments(self) -> dict[str, str]:
        rows = self._columns.rows("experiments", ("experiment_id", "name", "lifecycle_stage"), order_by="experiment_id")
        experiments = [(str(i), str(name)) for i, name, stage in rows if self._wants_stage(stage)]
        if unmatched := self._selection.unmatched_experiments(experiments):
            names = [f"{name!r} (id {number})" for number, name in experiments]
            hint = deleted_hint(deleted=self._selection.deleted)
            error = no_match("experiment", self._uri, unmatched, names, hint)
            self.absences.add(EXPERIMENT, unmatched, self._selection.experiments, error)
        return {number: name for number, name in experiments if self._selection.matches_experiment(number, name)}

    def _dependencies_of_models(self) -> ModelDependencies:
        """Return the models selected by name, and the runs and logged models that their versions need."""
        has_models = self._columns.has("registered_models")
        rows = self._columns.rows("registered_models", ("name",), order_by="name") if has_models else iter(())
        all_names = list(dict.fromkeys(str(name) for (name,) in rows))
        if unmatched := self._selection.unmatched_models(all_names):
            error = no_match("registered model", self._uri, unmatched, [repr(name) for name in all_names])
            self.absences.add(REGISTERED_MODEL, unmatched, self._selection.models, error)
        names = tuple(name for name in all_names if self._selection.matches_model(name))
        registry = DatabaseRegistry(self._columns)
        return dependencies_of(names, registry.versions(names), registry, registry.experiments(names))

    def _check_runs(self) -> None:
        if self._selection.runs:
            missing = set(self._selection.runs) - set(self._in_reach())
            if missing:
                hint = "" if self._selection.deleted else "; deleted ones are left out"
                missing_ids = ", ".join(sorted(missing))
                error = SelectionError(f"no run {missing_ids} in the selected experiments of {self._uri}{hint}")
                self.absences.add(RUN, missing, self._selection.runs, error)

    def _experiments_of(self, name: str, key: str, ids: set[str]) -> set[str]:
        if not self._columns.has(name):
            return set()
        return {str(experiment) for _, experiment in self._columns.rows(name, (key, "experiment_id"), where=(key, ids))}

    def _ids(self, kind: str) -> Iterator[str]:
        if self._dependencies is not None and kind in (REGISTERED_MODEL, LOGGED_MODEL):
            return iter(self._dependencies.names if kind == REGISTERED_MODEL else self._of_versions())
        if self._only_of_runs:
            return iter(sorted(self._of_runs(kind)) if self._dependencies is None else ())
        if kind == EVALUATION_DATASET and not self.everything:
            linked = self._columns.linked(
                "evaluation_dataset_experiments", "dataset_id", "experiment_id", self._in_reach_of
            )
            return iter(sorted(linked))
        if kind == LOGGED_MODEL:
            return self._with_their_runs(self._in_experiments(kind))
        if ROOTS[kind].parent is not None:
            return self._in_experiments(kind)
        return self._all(kind) if self.everything else iter(())

    def _workspaces(self) -> set[str]:
        """Return the workspaces of what comes."""
        ids = [int(experiment) for experiment in self.experiments()]
        rows = [*self._columns.rows("experiments", ("experiment_id", "workspace"), where=("experiment_id", ids))]
        if self._dependencies is not None:
            names = self._dependencies.names
            rows += self._columns.rows("registered_models", ("name", "workspace"), where=("name", names))
        known_names = {str(name) for (name,) in self._columns.rows("workspaces", ("name",))}
        return known_names & {str(workspace or DEFAULT_WORKSPACE) for _, workspace in rows}

    def _with_their_runs(self, models: Iterator[str]) -> Iterator[str]:
        """Yield those of some logged models that a selected run made or names, or that no run made."""
        if not self._selection.leaves_out_runs:
            yield from models
            return
        for ids in slices(list(models), _JUDGED_AT_ONCE):
            made_by = self._columns.links("logged_models", "source_run_id", "model_id", ids)
            runs_of = [made_by, *(self._columns.links(name, "run_id", "model_id", ids) for name in _EDGES)]
            selected_runs = set(self._in_reach(among={run_id for pairs in runs_of for run_id, _ in pairs}))
            made_ids = {model_id for run_id, model_id in made_by if run_id}
            taken_ids = {model_id for pairs in runs_of for run_id, model_id in pairs if run_id in selected_runs}
            yield from (model_id for model_id in ids if model_id in taken_ids or model_id not in made_ids)

    def _of_versions(self) -> list[str]:
        assert self._dependencies is not None  # noqa: S101 - asked before
        return sorted(self._in_experiments(LOGGED_MODEL, among=self._dependencies.logged_models))

    def _in_experiments(self, kind: str, among: Collection[str] | None = None) -> Iterator[str]:
        root = ROOTS[kind]
        if not self._columns.has(root.stored_in):
            return
        names = (root.root_id, "experiment_id", "lifecycle_stage")
        where = None if among is None else (root.root_id, among)
        for owner, experiment, stage in self._columns.rows(root.stored_in, names, order_by=root.root_id, where=where):
            if str(experiment) in self._in_reach_of and self._wants_stage(stage):
                yield str(owner)

    def _all(self, kind: str) -> Iterator[str]:
        root = ROOTS[kind]
        last = None
        for (owner,) in self._columns.rows(root.stored_in, (root.root_id,), order_by=root.root_id):
            if owner != last:  # one name in several workspaces is read once
                yield str(owner)
            last = owner

    def _of_runs(self, kind: str) -> set[str]:
        runs = set(self._chosen_runs())
        linked = self._columns.linked
        if kind == LOGGED_MODEL:
            made_ids = linked("logged_models", "model_id", "source_run_id", runs)
            return made_ids.union(*(linked(name, "model_id", "run_id", runs) for name in _EDGES))
        return linked("trace_links", "trace_id", "destination_id", runs) if kind == TRACE else set()
