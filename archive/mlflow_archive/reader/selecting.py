"""What of an archive is selected: the ids of each kind, runs by their depth below their parents."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from mlflow_archive.errors import SelectionError
from mlflow_archive.kinds import (
    EVALUATION_DATASET,
    IDENTITIES,
    LOGGED_MODEL,
    REGISTERED_MODEL,
    RUN,
    TABLES,
    TIMESTAMP,
    TRACE,
    WORKSPACE,
)
from mlflow_archive.kinds.version_source import TOMBSTONE
from mlflow_archive.reader.archive import Archive
from mlflow_archive.reader.run_levels import by_depth
from mlflow_archive.selecting.model_versions import (
    PROMPT_EXPERIMENTS,
    ModelDependencies,
    Version,
    dependencies_of,
    prompt_experiments,
)
from mlflow_archive.selecting.selection import Selection

_NAMED_IN_ERRORS: Final = 5
_VERSION_COLUMNS: Final = [c.name for c in TABLES["model_versions"].columns if c.type != TIMESTAMP]
"""Without times, which may lie beyond those of Python."""
_MODELS: Final = ("logged_models", "model_id", "artifact_location")
_PARENT_TAG: Final = "mlflow.parentRunId"
_LINK: Final = ("run_id", "value")


class ArchiveSelection:
    """The entities of an archive that a selection takes. Raises SelectionError for what matches nothing.

    With experiments selected, what lies in no experiment (the registry, the gateway, …) is left out; with runs
    selected, so is all but the experiments, logged models and traces of these runs; with models selected, all but
    these and what they stand on. ``experiments`` maps ids to names. Other ids are sorted arrays: there may be millions.
    """

    def __init__(self, archive: Archive, selection: Selection) -> None:
        self._archive, self._selection = archive, selection
        self.experiments = self._experiments(selection)
        self._dependencies = _dependencies(archive, selection) if selection.models else None
        self._run_ids, lying_in = self._runs(selection)
        if selection.runs or self._dependencies is not None:
            experiment_ids = {*lying_in, *self._experiments_of_models()}
            self.experiments = {key: name for key, name in self.experiments.items() if key in experiment_ids}
        self.runs = self._run_ids if selection.wants_kind(RUN) else _NONE

    def run_levels(self) -> Iterator[pa.StringArray]:
        """Yield the run ids, those without a selected parent first, then their children, and so on."""
        links = (
            (rows["run_id"], rows["value"]) for rows in self._archive.keyed("tags", "key", _PARENT_TAG, columns=_LINK)
        )
        return by_depth(self.runs, links)

    def ids(self, kind: str) -> pa.StringArray:
        """Return the selected entities of a kind other than runs and experiments by their first key column."""
        if kind == WORKSPACE:
            return self._workspaces()
        if not self._selection.wants_kind(kind):
            return _NONE
        if self._dependencies is not None:
            return self._of_models(kind)
        return self._of_runs(kind) if self._selection.runs else self._of_experiments(kind)

    def _of_experiments(self, kind: str) -> pa.StringArray:
        identity, selection = IDENTITIES[kind], self._selection
        if kind == EVALUATION_DATASET and selection.experiments:
            return self._where("evaluation_dataset_experiments", "dataset_id", "experiment_id", self.experiments)
        if "experiment_id" in identity.column_names and "experiment_id" not in identity.owner:
            outside = not selection.experiments  # gateway endpoints may have an experiment for their traces
            inside = self._where(identity.name, identity.key[0], "experiment_id", self.experiments, or_null=outside)
            return self._with_their_runs(inside) if kind == LOGGED_MODEL and selection.leaves_out_runs else inside
        return _NONE if selection.experiments else self._where(identity.name, identity.key[0])

    def _workspaces(self) -> pa.StringArray:
        """Return the workspaces of what comes; all of them where nothing is left out."""
        selection = self._selection
        if not (selection.experiments or selection.runs or selection.models):
            return self._where("workspaces", "name")
        names = [self._where("experiments", "workspace", "experiment_id", self.experiments)]
        if self._dependencies is not None:
            names.append(self._where("registered_models", "workspace", "name", self._dependencies.names))
        return _among(_sorted(names), self._where("workspaces", "name"))

    def _of_models(self, kind: str) -> pa.StringArray:
        assert self._dependencies is not None  # noqa: S101 - asked before
        if kind == REGISTERED_MODEL:
            return _texts(self._dependencies.names)
        if kind == LOGGED_MODEL:
            inside = self._where("logged_models", "model_id", "experiment_id", self.experiments)
            return _among(inside, _texts(self._dependencies.logged_models))
        return _NONE

    def _experiments_of_models(self) -> list[str]:
        if self._dependencies is None:
            return []
        models = self._dependencies.logged_models
        of_models = self._where("logged_models", "experiment_id", "model_id", models).to_pylist() if models else []
        return [*of_models, *self._dependencies.experiments]

    def _with_their_runs(self, models: pa.StringArray) -> pa.StringArray:
        """Return those of some logged models that a selected run made or names, or that no run made."""
        without_run = self._where("logged_models", "model_id", "source_run_id", [""], or_null=True)
        return _among(models, _sorted([self._of_runs(LOGGED_MODEL), without_run]))

    def _of_runs(self, kind: str) -> pa.StringArray:
        if kind == LOGGED_MODEL:
            of_runs = self._where("logged_models", "model_id", "source_run_id", self._run_ids)
            linked = [
                self._where(name, "model_id", "run_id", self._run_ids) for name in ("model_inputs", "model_outputs")
            ]
            return _sorted([of_runs, *linked])
        if kind == TRACE:
            return self._where("trace_links", "trace_id", "destination_id", self._run_ids)
        return _NONE

    def _where(
        self,
        table: str,
        column: str,
        by: str | None = None,
        among: Collection[str] | pa.StringArray = (),
        *,
        or_null: bool = False,
    ) -> pa.StringArray:
        """Return the different values of a column, sorted, of rows whose column ``by`` is one of ``among``."""
        staged = "lifecycle_stage" in TABLES[table].column_names and not self._selection.deleted
        columns = [column, *([by] if by else []), *(["lifecycle_stage"] if staged else [])]
        values = pa.concat_arrays([_texts(among), pa.nulls(1 if or_null else 0, pa.string())])
        arrays = []
        for rows in self._archive.batches(table, columns=columns):
            matches = rows.filter(pc.is_in(rows[by], value_set=values)) if by else rows
            if staged:
                matches = matches.filter(_not_deleted(matches))
            arrays.append(matches[column].unique())
        return _sorted(arrays)

    def _experiments(self, selection: Selection) -> dict[str, str]:
        rows = self._archive.table("experiments", columns=["experiment_id", "name", "lifecycle_stage"]).to_pylist()
        visible = [row for row in rows if selection.deleted or row["lifecycle_stage"] != "deleted"]
        pairs = [(row["experiment_id"], row["name"]) for row in visible]
        if missing := selection.unmatched_experiments(pairs):
            have = ", ".join(repr(name) for _, name in pairs[:_NAMED_IN_ERRORS]) or "none"
            hidden = "" if selection.deleted else "; deleted ones are left out"
            message = f"no experiment {missing[0]!r} in {self._archive.path}; it has {have}{hidden}"
            raise SelectionError(message)
        return {key: name for key, name in pairs if selection.matches_experiment(key, name)}

    def _runs(self, selection: Selection) -> tuple[pa.StringArray, set[str]]:
        """Return the chosen runs and the experiments they lie in."""
        arrays: list[pa.Array] = []
        lying_in: set[str] = set()
        for rows in self._archive.batches("runs", columns=["run_id", "experiment_id", "lifecycle_stage", "start_time"]):
            selected = rows.filter(self._takes(rows))
            arrays.append(selected["run_id"].unique())
            lying_in.update(selected["experiment_id"].unique().to_pylist())
        run_ids = _sorted(arrays)
        present = set(_among(_texts(selection.runs), run_ids).to_pylist())
        if missing := [run for run in selection.runs if run not in present]:
            known = self._archive.table("runs", columns=["run_id"], owners=missing[:1]).num_rows
            hint = " among what else is selected" if known else ""
            raise SelectionError(f"no run {missing[0]!r} in {self._archive.path}{hint}")
        return run_ids, lying_in

    def _takes(self, rows: pa.Table) -> Any:
        """Return for each run, a row of ``runs``, whether it is selected."""
        selection = self._selection
        mask = pc.is_in(rows["experiment_id"], value_set=_texts(self.experiments))
        if selection.runs:
            mask = pc.and_(mask, pc.is_in(rows["run_id"], value_set=_texts(selection.runs)))
        if not selection.deleted:
            mask = pc.and_(mask, _not_deleted(rows))
        if selection.since_ms is not None or selection.until_ms is not None:
            starts = rows["start_time"].cast(pa.int64()).to_pylist()
            mask = pc.and_(mask, pa.array([selection.in_window(start) for start in starts], pa.bool_()))
        if self._dependencies is not None:
            mask = pc.and_(mask, pc.is_in(rows["run_id"], value_set=_texts(self._dependencies.runs)))
        return mask


def _dependencies(archive: Archive, selection: Selection) -> ModelDependencies:
    """Return the models that are selected by name, and what they stand on. Raises SelectionError."""
    stored_names = sorted(set(archive.table("registered_models", columns=["name"])["name"].to_pylist()))
    if missing := selection.unmatched_models(stored_names):
        have = ", ".join(repr(name) for name in stored_names[:_NAMED_IN_ERRORS]) or "none"
        raise SelectionError(f"no registered model {missing[0]!r} in {archive.path}; it has {have}")
    names = [name for name in stored_names if selection.matches_model(name)]
    versions = archive.table("model_versions", columns=_VERSION_COLUMNS, owners=names).to_pylist()
    tags = archive.table("registered_model_tags", columns=["name", "key", "value"], owners=names).to_pylist()
    experiments = prompt_experiments(tag["value"] for tag in tags if tag["key"] == PROMPT_EXPERIMENTS)
    return dependencies_of(names, versions, _ArchiveRegistry(archive), experiments)


class _ArchiveRegistry:
    """The Registry of an archive."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    def roots(self, kind: str, ids: Collection[str]) -> Mapping[str, str | None]:
        name, key, location = ("runs", "run_id", "artifact_uri") if kind == RUN else _MODELS
        rows = self._archive.table(name, columns=[key, location], owners=ids)
        return dict(zip(rows[key].to_pylist(), rows[location].to_pylist(), strict=True))

    def makers(self, models: Collection[str]) -> set[str]:
        rows = self._archive.table("logged_models", columns=["source_run_id"], owners=models)
        return {run_id for run_id in rows["source_run_id"].to_pylist() if run_id}

    def version(self, workspace: str, name: str, version: int | None, alias: str | None) -> Version | None:
        if alias is not None:
            aliases = self._archive.table("registered_model_aliases", owners=[name]).to_pylist()
            numbers = [row["version"] for row in aliases if (row["workspace"], row["alias"]) == (workspace, alias)]
            version = numbers[0] if numbers else None
        for row in self._archive.table("model_versions", columns=_VERSION_COLUMNS, owners=[name]).to_pylist():
            if (row["workspace"], row["version"]) == (workspace, version) and row["current_stage"] != TOMBSTONE:
                return row  # type: ignore[no-any-return]
        return None


def _not_deleted(rows: pa.Table) -> Any:
    return pc.fill_null(pc.not_equal(rows["lifecycle_stage"], "deleted"), True)


def _texts(values: Iterable[str] | pa.StringArray) -> pa.StringArray:
    return values if isinstance(values, pa.StringArray) else pa.array(sorted(values), pa.string())


def _among(values: pa.StringArray, allowed: pa.StringArray) -> pa.StringArray:
    return values.filter(pc.is_in(values, value_set=allowed))


def _sorted(arrays: list[pa.Array]) -> pa.StringArray:
    """Return the different values of some arrays, sorted."""
    return pa.chunked_array(arrays, pa.string()).unique().drop_null().sort()


_NONE: Final = pa.array([], pa.string())
