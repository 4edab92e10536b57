"""Folders of a file store that hold files and look like MLflow's, but of which no meta.yaml says what they are.

They are told with the number of their files. Folders without a file, which git drops, and folders that have neither
the name nor the parts of an object are left alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from mlflow_archive.artifact_roots.names import printable
from mlflow_archive.errors import StoreError
from mlflow_archive.flow.chunk import Gap
from mlflow_archive.format.gaps import FOLDER_UNKNOWN, SOURCE
from mlflow_archive.kinds import EXPERIMENT, LOGGED_MODEL, REGISTERED_MODEL, RUN, TRACE
from mlflow_archive.sources.mlruns.layout import (
    MODELS,
    TRACES,
    TRASH,
    ExperimentFolder,
    experiment_like,
    find_registered_models,
    folders_in,
    logged_model_like,
    registered_model_like,
    run_like,
    trace_like,
)


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
