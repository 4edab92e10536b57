"""What selected registered models stand on: the runs and logged models of their versions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mlflow_archive.errors import SelectionError
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.mlruns.index import StoreIndex
from mlflow_archive.sources.mlruns.layout import find_registered_models
from mlflow_archive.sources.mlruns.logged_models.logged_models import source_run_of
from mlflow_archive.sources.mlruns.registry.registry import model_name, version_metas

_NAMED_IN_ERRORS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Ids of runs and logged models of the store."""

    run_ids: frozenset[str]
    model_ids: frozenset[str]


def selected_models(root: Path, selection: Selection) -> list[Path]:
    """Return the folders of the selected registered models by name.

    Raises SelectionError for a pattern that matches none, StoreError.
    """
    found = [(model_name(folder), folder) for folder in find_registered_models(root)]
    names = [name for name, _ in found]
    if unmatched := selection.unmatched_models(names):
        shown = ", ".join(map(repr, names[:_NAMED_IN_ERRORS])) or "none"
        more = f" and {len(names) - _NAMED_IN_ERRORS} more" if len(names) > _NAMED_IN_ERRORS else ""
        missing = ", ".join(map(repr, unmatched))
        raise SelectionError(f"no registered model of {root} matches {missing}; there are {shown}{more}")
    return [folder for name, folder in found if selection.matches_model(name)]


def standing_of(folders: Iterable[Path], index: StoreIndex) -> Standing:
    """Return what these registered models stand on; a run of a logged model counts, too."""
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
    return Standing(run_ids=frozenset(run_ids), model_ids=frozenset(model_ids))
