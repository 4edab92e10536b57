"""What of an archive is selected: the ids of each kind, runs by their depth below their parents."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from mlflow_archive.errors import SelectionError
from mlflow_archive.format.tables import (
    EVALUATION_DATASET,
    IDENTITIES,
    LOGGED_MODEL,
    REGISTERED_MODEL,
    RUN,
    TABLES,
    TRACE,
    WORKSPACE,
)
from mlflow_archive.pipeline import Selection
from mlflow_archive.reader.archive import Archive
from mlflow_archive.reader.standing import stand_on

_PARENT_TAG: Final = "mlflow.parentRunId"


class SelectedEntities:
    """The entities of an archive that a selection takes. Raises SelectionError for what matches nothing.

    With experiments selected, what lies in no experiment (the registry, the gateway, …) is left out; with runs
    selected, so is all but the experiments, logged models and traces of these runs; with models selected, all but
    these and what they stand on. ``experiments`` maps ids to names, ``runs`` maps run ids to experiment ids.
    """

    def __init__(self, archive: Archive, selection: Selection) -> None:
        self._archive, self._selection = archive, selection
        self.experiments = self._experiments(selection)
        self._standing = stand_on(archive, selection) if selection.models else None
        self._chosen = self._runs(selection, set(self.experiments))
        if selection.runs or self._standing is not None:
            wanted = {*self._chosen.values(), *self._experiments_of_models()}
            self.experiments = {key: name for key, name in self.experiments.items() if key in wanted}
        self.runs = self._chosen if selection.wants_kind(RUN) else {}

    def run_levels(self) -> list[list[str]]:
        """Return the run ids, those without a selected parent first, then their children, and so on."""
        return self._levels(self.runs)

    def ids(self, kind: str) -> list[str]:
        """Return the selected entities of a kind other than runs and experiments by their first key column."""
        if kind == WORKSPACE:
            return self._workspaces()
        if not self._selection.wants_kind(kind):
            return []
        if self._standing is not None:
            return self._of_models(kind)
        return self._of_runs(kind) if self._selection.runs else self._of_experiments(kind)

    def _of_experiments(self, kind: str) -> list[str]:
        identity, selection = IDENTITIES[kind], self._selection
        if kind == EVALUATION_DATASET and selection.experiments:
            return self._where("evaluation_dataset_experiments", "dataset_id", "experiment_id", self.experiments)
        if "experiment_id" in identity.column_names and "experiment_id" not in identity.owner:
            outside = not selection.experiments  # gateway endpoints may have an experiment for their traces
            return self._where(identity.name, identity.key[0], "experiment_id", self.experiments, or_null=outside)
        return [] if selection.experiments else self._where(identity.name, identity.key[0])

    def _workspaces(self) -> list[str]:
        """Return the workspaces of what comes; all of them where nothing is left out."""
        selection = self._selection
        if not (selection.experiments or selection.runs or selection.models):
            return self._where("workspaces", "name")
        there = set(self._where("experiments", "workspace", "experiment_id", self.experiments))
        if self._standing is not None:
            there |= set(self._where("registered_models", "workspace", "name", self._standing.names))
        return sorted(there & set(self._where("workspaces", "name")))

    def _of_models(self, kind: str) -> list[str]:
        assert self._standing is not None  # noqa: S101 - asked before
        if kind == REGISTERED_MODEL:
            return sorted(self._standing.names)
        if kind == LOGGED_MODEL:
            inside = self._where("logged_models", "model_id", "experiment_id", self.experiments)
            return sorted(self._standing.logged_models & set(inside))
        return []

    def _experiments_of_models(self) -> list[str]:
        models = () if self._standing is None else self._standing.logged_models
        return self._where("logged_models", "experiment_id", "model_id", models) if models else []

    def _of_runs(self, kind: str) -> list[str]:
        if kind == LOGGED_MODEL:
            made = self._where("logged_models", "model_id", "source_run_id", self._chosen)
            named = [
                self._where(name, "model_id", "run_id", self._chosen) for name in ("model_inputs", "model_outputs")
            ]
            return sorted({*made, *(model for models in named for model in models)})
        if kind == TRACE:
            return self._where("trace_links", "trace_id", "destination_id", self._chosen)
        return []

    def _where(
        self, table: str, column: str, by: str | None = None, among: Collection[str] = (), *, or_null: bool = False
    ) -> list[str]:
        """Return the different values of a column, sorted, of rows whose column ``by`` is one of ``among``."""
        staged = "lifecycle_stage" in TABLES[table].column_names and not self._selection.deleted
        columns = [column, *([by] if by else []), *(["lifecycle_stage"] if staged else [])]
        values = pa.array([*sorted(among), *([None] if or_null else [])], pa.string())
        found: set[str] = set()
        for rows in self._archive.batches(table, columns=columns):
            kept = rows.filter(pc.is_in(rows[by], value_set=values)) if by else rows
            if staged:
                kept = kept.filter(pc.fill_null(pc.not_equal(kept["lifecycle_stage"], "deleted"), True))
            found.update(kept[column].unique().to_pylist())
        return sorted(found)

    def _experiments(self, selection: Selection) -> dict[str, str]:
        rows = self._archive.table("experiments").to_pylist()
        kept = [row for row in rows if selection.deleted or row["lifecycle_stage"] != "deleted"]
        found = [(row["experiment_id"], row["name"]) for row in kept]
        if missing := selection.unmatched_experiments(found):
            have = ", ".join(repr(name) for _, name in found[:5]) or "none"
            hidden = "" if selection.deleted else "; deleted ones are left out"
            message = f"no experiment {missing[0]!r} in {self._archive.path}; it has {have}{hidden}"
            raise SelectionError(message)
        return {key: name for key, name in found if selection.matches_experiment(key, name)}

    def _runs(self, selection: Selection, experiments: set[str]) -> dict[str, str]:
        columns = ["run_id", "experiment_id", "lifecycle_stage", "start_time"]
        rows = self._archive.table("runs", columns=columns)
        wanted = set(selection.runs)
        starts = pc.cast(rows["start_time"], pa.int64()).to_pylist()
        names = ("run_id", "experiment_id", "lifecycle_stage")
        found = {
            run: experiment
            for run, experiment, stage, start in zip(*(rows[n].to_pylist() for n in names), starts, strict=True)
            if experiment in experiments
            and (not wanted or run in wanted)
            and (selection.deleted or stage != "deleted")
            and selection.in_window(start)
            and (self._standing is None or run in self._standing.runs)
        }
        if missing := [run for run in selection.runs if run not in found]:
            hint = "" if missing[0] not in rows["run_id"].to_pylist() else " among what else is selected"
            raise SelectionError(f"no run {missing[0]!r} in {self._archive.path}{hint}")
        return found

    def _levels(self, runs: Mapping[str, str]) -> list[list[str]]:
        """Split runs by their depth below the topmost selected parent; a cycle is cut where it is met."""
        parents: dict[str, str] = {}
        for rows in self._archive.batches("tags"):
            found = rows.filter(pc.equal(rows["key"], _PARENT_TAG))
            pairs = zip(found["run_id"].to_pylist(), found["value"].to_pylist(), strict=True)
            parents.update((child, parent) for child, parent in pairs if {child, parent} <= runs.keys())
        depths: dict[str, int] = {}
        for run in runs:
            path = [run]
            # A run that is its own ancestor has no depth: the chain is cut where it closes.
            while path[-1] in parents and path[-1] not in depths and parents[path[-1]] not in path:
                path.append(parents[path[-1]])
            depth = depths.get(path[-1], 0)
            for below, node in enumerate(reversed(path)):
                depths.setdefault(node, depth + below)
        levels: list[list[str]] = [[] for _ in range(max(depths.values(), default=-1) + 1)]
        for run in sorted(runs):  # as they lie in the archive
            levels[depths[run]].append(run)
        return [level for level in levels if level]
