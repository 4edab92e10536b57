"""One run or logged model of a server by its id, and what the server's JSON of a run says.

Runs, logged models and the registry all refer to each other by id; what they look up of each other lies here.
"""

from __future__ import annotations

from typing import Any, Final

from mlflow_archive.artifact_roots.proxy import quoted
from mlflow_archive.errors import ServerError
from mlflow_archive.kinds import LOGGED_MODEL, RUN
from mlflow_archive.sources.rest.answers import Asker, note_unread
from mlflow_archive.sources.rest.cells import Json

LOGGED_MODELS: Final = "/api/2.0/mlflow/logged-models"
_RUN: Final = "/api/2.0/mlflow/runs/get"


def fetch_run(asker: Asker, run_id: str) -> Json:
    """Return a run as the server's JSON. Raises ServerError."""
    answer = asker.session.get(_RUN, {"run_id": run_id})
    run = answer.get("run") if isinstance(answer, dict) else None
    if not isinstance(run, dict) or not isinstance(run.get("info"), dict):
        raise ServerError(f"{asker.session.uri} answers in an unexpected shape when asked for run {run_id!r}")
    note_unread(asker, RUN, _RUN, answer, "run")
    return run


def fetch_model(asker: Asker, model_id: str) -> tuple[Json, bool]:
    """Return a logged model as the server's JSON, and whether it is deleted. Raises ServerError."""
    path = f"{LOGGED_MODELS}/{quoted(model_id)}"
    try:
        return _model_in(asker, asker.session.get(path), model_id), False
    except ServerError as exc:
        if exc.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return _model_in(asker, asker.session.get(path, {"allow_deleted": "true"}), model_id), True


def _model_in(asker: Asker, answer: Any, model_id: str) -> Json:
    model = answer.get("model") if isinstance(answer, dict) else None
    if not isinstance(model, dict) or not isinstance(model.get("info"), dict):
        message = f"{asker.session.uri} answers in an unexpected shape when asked for logged model {model_id!r}"
        raise ServerError(message, status=200)
    note_unread(asker, LOGGED_MODEL, f"{LOGGED_MODELS}/ID", answer, "model")
    return model


def run_id_of(run: Json) -> str:
    """Return the id of a run in the server's JSON; servers before MLflow 0.9 call it run_uuid."""
    info = run["info"]
    return str(info.get("run_id") or info["run_uuid"])


def start_time_of(run: Json) -> int | None:
    """Return the start in milliseconds, None where it is missing or malformed; int64 may come as text."""
    try:
        return int(run["info"]["start_time"])
    except (KeyError, TypeError, ValueError):
        return None


def tag_of(run: Json, key: str) -> str | None:
    """Return the value of a tag of a run, None where it has none."""
    tags = (run.get("data") or {}).get("tags") or []
    return next((str(tag.get("value")) for tag in tags if tag.get("key") == key), None)


def model_ids_of(run: Json) -> list[str]:
    """Return the ids of the logged models that a run names as inputs or outputs."""
    edges = [edge for side in ("inputs", "outputs") for edge in run.get(side, {}).get(f"model_{side}", [])]
    return [str(edge.get("model_id")) for edge in edges]
