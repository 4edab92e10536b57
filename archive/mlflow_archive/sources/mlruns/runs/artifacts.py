"""What a run of a file store declares as its artifacts.

A run declares models in its tag ``mlflow.log-model.history``. A tag that is no JSON (old servers cut long values)
declares nothing that could be named. Models of MLflow 3 lie beside the runs and are another kind of object.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mlflow_archive.artifact_roots.local import FoundFile
from mlflow_archive.sources.mlruns.layout import MODELS, holds_files
from mlflow_archive.sources.mlruns.location import ARTIFACTS

HISTORY_TAG = "mlflow.log-model.history"


def declared_paths(tags: Mapping[str, str], experiment_folder: Path) -> Iterator[str]:
    """Yield the artifact paths that a run's tags declare, without those that are models of MLflow 3 found there."""
    try:
        history = json.loads(tags.get(HISTORY_TAG) or "[]")
    except (ValueError, RecursionError):
        return
    for entry in history if isinstance(history, list) else []:
        path = entry.get("artifact_path") if isinstance(entry, dict) else None
        if isinstance(path, str) and not _is_logged_model(entry, experiment_folder):
            yield path.strip("/")


def _is_logged_model(entry: Mapping[str, Any], experiment_folder: Path) -> bool:
    model_id = entry.get("model_id")
    if not isinstance(model_id, str) or model_id in ("", ".", "..") or "/" in model_id:
        return False
    return holds_files(experiment_folder / MODELS / model_id / ARTIFACTS)


def missing_paths(declared: Iterator[str], found: Sequence[FoundFile]) -> list[str]:
    """Return the declared paths at or under which no file was found."""
    paths = [file.path for file in found]
    here = partial(_holds, paths)
    return sorted({path for path in declared if not here(path)})


def _holds(paths: Sequence[str], declared: str) -> bool:
    return any(path == declared or not declared or path.startswith(declared + "/") for path in paths)
