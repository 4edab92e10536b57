"""Runs that are selected by id, or because a selected model version stands on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mlflow_archive.errors import SelectionError, ServerError
from mlflow_archive.kinds import LOGGED_MODEL
from mlflow_archive.sources.rest.cells import Json
from mlflow_archive.sources.rest.logged_models import fetch_model
from mlflow_archive.sources.rest.runs.runs import Runs
from mlflow_archive.sources.rest.scope import Scope


def named_runs(scopes: Sequence[Scope], runs: Mapping[int, Runs]) -> dict[int, list[Json]]:
    """Return the runs that are selected by id or by model, by ``id`` of their scope; nothing where neither is so.

    Raises SelectionError for an id that is not among what else is selected.
    """
    selection = scopes[0].selection
    if not (selection.runs or selection.models):
        return {}
    found: dict[int, list[Json]] = {}
    for scope in scopes:
        wanted = selection.runs or sorted(scope.standing.runs if scope.standing is not None else ())
        if selection.runs and scope.standing is not None:
            wanted = [run_id for run_id in wanted if run_id in scope.standing.runs]
        found[id(scope)] = runs[id(scope)].named(wanted)
    there = {str(run["info"].get("run_id") or run["info"].get("run_uuid")) for some in found.values() for run in some}
    unknown = [run_id for run_id in dict.fromkeys(selection.runs) if run_id not in there]
    if unknown:
        raise SelectionError(
            f"{scopes[0].session.uri} has no run {', '.join(map(repr, unknown))} among those selected; "
            "ids are 32 hexadecimal digits, as `mlflow-archive ls` and MLflow's UI show them"
        )
    return found


def experiments_of(scope: Scope, runs: Sequence[Json]) -> set[str]:
    """Return the ids of the experiments in which some runs lie, and the logged models that come with them."""
    found = {str(run["info"].get("experiment_id")) for run in runs}
    if not scope.selection.wants_kind(LOGGED_MODEL):
        return found
    models = set(scope.standing.logged_models) if scope.standing is not None else set()
    if scope.standing is None:
        for run in runs:
            for side in ("inputs", "outputs"):
                models |= {str(each.get("model_id")) for each in run.get(side, {}).get(f"model_{side}", [])}
    for model_id in sorted(models):
        try:
            found.add(str(fetch_model(scope, model_id)[0]["info"].get("experiment_id")))
        except ServerError as exc:
            if exc.status is None:
                raise
    return found
