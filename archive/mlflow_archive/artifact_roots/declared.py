"""Models that a run's tag ``mlflow.log-model.history`` declares among its artifacts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlflow_archive.flow.chunk import Gap
from mlflow_archive.format.gaps import ARTIFACT_MISSING
from mlflow_archive.format.json_text import parse_json

HISTORY_TAG = "mlflow.log-model.history"


def missing_declared(owner_kind: str, owner_id: str, history: str | None, paths: Sequence[str]) -> list[Gap]:
    """Return a gap for each model that is declared and that is not among the paths."""
    missing = []
    for declared in _declared(history):
        if not any(path == declared or path.startswith(declared + "/") for path in paths) and not (
            declared in ("", ".") and paths
        ):
            reason = f"{HISTORY_TAG} declares it, but nothing is listed there"
            gap = Gap(owner_kind=owner_kind, owner_id=owner_id, path=declared, code=ARTIFACT_MISSING, reason=reason)
            missing.append(gap)
    return missing


def _declared(history: str | None) -> list[str]:
    """Return the artifact paths in the tag; entries of MLflow 3 with a model id live outside the run."""
    try:
        entries: Any = parse_json(history or "[]")
        declared = [str(entry["artifact_path"]).strip("/") for entry in entries if not entry.get("model_id")]
    except (ValueError, TypeError, KeyError, AttributeError):
        return []  # not MLflow's; the tag itself is carried as it is
    return list(dict.fromkeys(declared))
