"""Where the objects of a file store lie; names of folders only, no content.

    <root>/<experiment id>/meta.yaml                    .trash/<experiment id>/ once deleted
    <root>/<experiment id>/<run id>/meta.yaml
    <root>/<experiment id>/models/<model id>/meta.yaml
    <root>/<experiment id>/traces/<trace id>/trace_info.yaml
    <root>/models/<name>/meta.yaml                      registered models, version-<number>/meta.yaml in each

The folder's name is the id. Folders that hold nothing of MLflow's are left alone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mlflow_archive.errors import StoreError
from mlflow_archive.sources.mlruns.meta import META_FILE

TRASH = ".trash"
TAGS = "tags"
PARAMS = "params"
METRICS = "metrics"
ARTIFACTS = "artifacts"
DATASETS = "datasets"
MODELS = "models"
TRACES = "traces"
TRACE_INFO_FILE = "trace_info.yaml"
VERSION_PREFIX = "version-"
_RESERVED = frozenset({TAGS, DATASETS, TRACES, MODELS, TRASH, ".ipynb_checkpoints"})
_RUN_DATA = (PARAMS, METRICS, TAGS, ARTIFACTS, "inputs", "outputs")
_MODEL_DATA = (PARAMS, METRICS, TAGS, ARTIFACTS)
_TRACE_DATA = (TAGS, "request_metadata", "assessments", ARTIFACTS)
_RUN_ID_SHAPE = re.compile(r"[0-9a-f]{32}")
_MODEL_ID_SHAPE = re.compile(r"m-[0-9a-f]{32}")
_TRACE_ID_SHAPE = re.compile(r"(tr-)?[0-9a-f]{32}")
_EXPERIMENT_ID_SHAPE = re.compile(r"[0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFolder:
    """The folder of a run, even of one that lost its meta.yaml; ``trashed`` if it lies in ``.trash``."""

    path: Path
    trashed: bool = False

    @property
    def run_id(self) -> str:
        return self.path.name


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentFolder:
    """The folder of an experiment, even of one that lost its meta.yaml; ``trashed`` if it lies in ``.trash``."""

    path: Path
    trashed: bool

    @property
    def experiment_id(self) -> str:
        return self.path.name

    def runs(self) -> Iterator[RunFolder]:
        """Yield the runs' folders by id; the first MLflow versions to delete runs moved them to a trash folder here."""
        yield from _runs_in(self.path, trashed=False)
        yield from _runs_in(self.path / TRASH, trashed=True)

    def logged_models(self) -> Iterator[Path]:
        """Yield the folders of the experiment's logged models by id. Raises StoreError."""
        for path in folders_in(self.path / MODELS):
            if _has_file(path, META_FILE) or _holds(path, _MODEL_ID_SHAPE, _MODEL_DATA):
                yield path

    def traces(self) -> Iterator[Path]:
        """Yield the folders of the experiment's traces by id. Raises StoreError."""
        for path in folders_in(self.path / TRACES):
            if _has_file(path, TRACE_INFO_FILE) or _holds(path, _TRACE_ID_SHAPE, _TRACE_DATA):
                yield path


def find_experiments(root: Path) -> list[ExperimentFolder]:
    """Return the experiments of a store by id, those in the trash last.

    Raises StoreError if the folder cannot be listed, holds neither experiment nor registered model, or is something
    else.
    """
    experiments = [ExperimentFolder(path=path, trashed=False) for path in folders_in(root) if _is_experiment(path)]
    experiments += [
        ExperimentFolder(path=path, trashed=True) for path in folders_in(root / TRASH) if _is_experiment(path)
    ]
    if not experiments and not find_registered_models(root):
        raise StoreError(_no_experiment(root))
    return experiments


def find_registered_models(root: Path) -> list[Path]:
    """Return the folders of a store's registered models by name. Raises StoreError."""
    return [path for path in folders_in(root / MODELS) if _is_registered_model(path)]


def version_folders(registered_model: Path) -> list[Path]:
    """Return the folders of a registered model's versions, in no useful order. Raises StoreError."""
    return [path for path in folders_in(registered_model) if path.name.startswith(VERSION_PREFIX)]


def check_root(root: Path) -> None:
    """Raise StoreError if there is no folder, or it is clearly one level too high or too low."""
    if not root.exists():
        raise StoreError(f"there is no folder {root}; expected a file store such as an mlruns folder")
    if not root.is_dir():
        raise StoreError(f"{root} is a file; expected the folder of a file store, such as mlruns")
    if (root / META_FILE).is_file():
        above = root.parent.parent if root.parent.name == TRASH else root.parent
        raise StoreError(f"{root} is one experiment or run of a file store; name the store itself, perhaps {above}")


def _no_experiment(root: Path) -> str:
    if (inner := root / "mlruns").is_dir():
        return f"{root} is no file store but contains one: use {inner}"
    for folder in (root, root.parent):
        if (database := folder / "mlflow.db").is_file():
            return (
                f"{root} holds no experiment (no folder with a meta.yaml), so it is no file store; "
                f"beside it lies the database {database}, which an MLflow server may keep its runs in"
            )
    return f"{root} is no file store: none of its folders is an experiment (has a meta.yaml)"


def _is_experiment(path: Path) -> bool:
    if path.name in _RESERVED:
        return False
    if _has_file(path, META_FILE):
        return True
    try:
        return any(_has_file(run.path, META_FILE) for run in _runs_in(path))
    except StoreError:
        return True  # what it holds is unknown, so that it must not be left out silently


def _is_registered_model(path: Path) -> bool:
    try:
        return _has_file(path, META_FILE) or bool(version_folders(path))
    except StoreError:
        return True  # as above


def _runs_in(folder: Path, *, trashed: bool = False) -> Iterator[RunFolder]:
    for path in folders_in(folder):
        if path.name not in _RESERVED and _is_run(path):
            yield RunFolder(path=path, trashed=trashed)


def _is_run(path: Path) -> bool:
    return _has_file(path, META_FILE) or _holds(path, _RUN_ID_SHAPE, _RUN_DATA)


def _holds(path: Path, id_shape: re.Pattern[str], data: tuple[str, ...]) -> bool:
    """Return whether a folder has the name and some of the data of an object whose main file is gone."""
    return id_shape.fullmatch(path.name) is not None and any(holds_files(path / name) for name in data)


def experiment_like(path: Path) -> bool:
    """Return whether a folder has the name of an experiment, or holds what looks like a run, logged model or trace."""
    if path.name in _RESERVED:
        return False
    try:
        return (
            _EXPERIMENT_ID_SHAPE.fullmatch(path.name) is not None
            or any(_RUN_ID_SHAPE.fullmatch(inner.name) for inner in folders_in(path))
            or any(_MODEL_ID_SHAPE.fullmatch(inner.name) for inner in folders_in(path / MODELS))
            or any(_TRACE_ID_SHAPE.fullmatch(inner.name) for inner in folders_in(path / TRACES))
        )
    except StoreError:
        return True  # what it holds is unknown, so that it must not be left out silently


def run_like(path: Path) -> bool:
    """Return whether a folder has the name or the parts of a run."""
    return path.name not in _RESERVED and _is_like(path, _RUN_ID_SHAPE, _RUN_DATA)


def logged_model_like(path: Path) -> bool:
    """Return whether a folder has the name or the parts of a logged model."""
    return _is_like(path, _MODEL_ID_SHAPE, _MODEL_DATA)


def trace_like(path: Path) -> bool:
    """Return whether a folder has the name or the parts of a trace."""
    return _is_like(path, _TRACE_ID_SHAPE, _TRACE_DATA)


def registered_model_like(path: Path) -> bool:
    """Return whether a folder among the registered models has the parts of one."""
    return any(holds_files(path / name) for name in (TAGS, "aliases"))


def _is_like(path: Path, id_shape: re.Pattern[str], data: tuple[str, ...]) -> bool:
    parts = (path / name for name in data)
    return id_shape.fullmatch(path.name) is not None or any(part.is_dir() and holds_files(part) for part in parts)


def _has_file(path: Path, name: str) -> bool:
    return os.path.lexists(path / name)


def holds_files(folder: Path) -> bool:
    """Return whether anything but folders lies in a folder or below it, or might, as it cannot be listed."""
    failed: list[OSError] = []
    for parent, folders, files in os.walk(folder, onerror=failed.append):
        if files or any(Path(parent, name).is_symlink() for name in folders):
            return True
    return not all(isinstance(error, FileNotFoundError) for error in failed)


def folders_in(folder: Path) -> list[Path]:
    """Return the folders in a folder by name, none where it does not exist. Raises StoreError."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(f"{folder} cannot be listed: {error.strerror}; is it readable for this user?") from error
    return [folder / name for name in names]
