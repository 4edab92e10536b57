"""Logged models of one workspace: rows and files.

Deleted ones are in no list; those that a run names are asked for by id.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

from mlflow_archive.artifact_roots import Listing
from mlflow_archive.errors import ServerError
from mlflow_archive.flow.chunk import ArtifactFile, Chunk, Gap, Known
from mlflow_archive.format import gaps
from mlflow_archive.format.fingerprint import entity_fingerprint
from mlflow_archive.http.refusals import is_unknown_request
from mlflow_archive.kinds import LOGGED_MODEL
from mlflow_archive.sources.rest.artifacts import Owner, quoted
from mlflow_archive.sources.rest.cells import UNREADABLE_ROW, Json, Row, filled, integer, location, real, text
from mlflow_archive.sources.rest.lists import Ask, pages, posting
from mlflow_archive.sources.rest.scope import Batch, Scope, chunk_of, gaps_of

PAGE: Final = 100
_MODELS: Final = "/api/2.0/mlflow/logged-models"
_FILES: Final = "/ajax-api/2.0/mlflow/logged-models"
_EXTERNAL_TAG: Final = "mlflow.model.isExternal"
_ORDER: Final = ({"field_name": "creation_timestamp_ms", "ascending": True},)
_STATUS: Final = {
    "None": "UNSPECIFIED",
    "LOGGED_MODEL_STATUS_UNSPECIFIED": "UNSPECIFIED",
    "LOGGED_MODEL_PENDING": "PENDING",
    "LOGGED_MODEL_READY": "READY",
    "LOGGED_MODEL_UPLOAD_FAILED": "FAILED",
}


def plan_logged_models(scope: Scope) -> Iterator[Batch]:
    """Yield the selected logged models in batches."""
    if scope.standing is not None:
        wanted = sorted(scope.standing.logged_models)
        for at in range(0, len(wanted), PAGE):
            named = wanted[at : at + PAGE]
            yield Batch(name=f"logged models of versions-{at:05d}", read=partial(_read_named, scope, named))
        return
    if scope.only_of_runs:
        yield Batch(name="logged models of runs", read=partial(_read_of_runs, scope))
        return
    listed: set[str] = set()
    number = 0
    for ids in scope.groups():
        for page in pages(_ask(scope, ids), _id_of, size=PAGE, token_of=partial(_token, ids)):
            listed.update(str(_id_of(row)) for row in page.rows)
            lost = gaps_of(LOGGED_MODEL, page.lost)
            yield Batch(name=f"logged models-{number:05d}", read=partial(_read, scope, page.rows, lost))
            number += 1
    if scope.selection.deleted:
        yield Batch(name="deleted logged models", read=partial(_read_referred, scope, listed))


def _ask(scope: Scope, experiment_ids: Sequence[str], filter_string: str | None = None) -> Ask:
    body: dict[str, Any] = {"experiment_ids": list(experiment_ids), "order_by": list(_ORDER)}
    if filter_string is not None:
        body["filter"] = filter_string
    return posting(scope.session, f"{_MODELS}/search", "models", **body)


def _token(experiment_ids: Sequence[str], offset: int, filter_string: str | None = None) -> str | None:
    """Return the token with which MLflow goes on after ``offset`` models; it repeats the search."""
    if not offset:
        return None
    order = [{**each, "dataset_name": None, "dataset_digest": None} for each in _ORDER]
    search = {"experiment_ids": list(experiment_ids), "filter_string": filter_string, "order_by": order}
    return base64.b64encode(json.dumps({**search, "offset": offset}).encode()).decode("ascii")


def _id_of(row: Json) -> object:
    info = row.get("info")
    return info.get("model_id") if isinstance(info, dict) else None


def _read_of_runs(scope: Scope, known: Known) -> Iterator[Chunk]:
    """Yield the models that the selected runs made or took: all that they name are known by now."""
    wanted = set(scope.referred_models)
    made: dict[object, Json] = {}
    lost: list[Gap] = []
    for ids in scope.groups():
        for page in pages(_ask(scope, ids), _id_of, size=PAGE, token_of=partial(_token, ids)):
            lost += gaps_of(LOGGED_MODEL, page.lost)
            made |= {_id_of(row): row for row in page.rows if row["info"].get("source_run_id") in scope.chosen_runs}
    yield from _read(scope, list(made.values()), lost, known)
    yield from _read_named(scope, sorted(wanted - {str(each) for each in made}), known)


def _read_referred(scope: Scope, listed: set[str], known: Known) -> Iterator[Chunk]:
    """Yield the models that runs name and that no list shows."""
    yield from _read_named(scope, sorted(scope.referred_models - listed), known, only_here=True)


def _read_named(scope: Scope, model_ids: Sequence[str], known: Known, *, only_here: bool = False) -> Iterator[Chunk]:
    """Yield some models by id; one that is gone for good is left out, as its database has no row of it."""
    found: list[Json] = []
    lost: list[Gap] = []
    for model_id in model_ids:
        try:
            model, deleted = fetch_model(scope, model_id)
        except ServerError as exc:
            if exc.status is None:
                raise
            if exc.error_code != "RESOURCE_DOES_NOT_EXIST" and not is_unknown_request(exc):
                lost.append(_gap(model_id, str(exc)))
            continue
        in_reach = str(model["info"].get("experiment_id")) in set(scope.experiment_ids)
        if in_reach and (scope.selection.deleted or not deleted) and not (only_here and not deleted):
            found.append({**model, "deleted": deleted})
    yield from _read(scope, found, lost, known)


def fetch_model(scope: Scope, model_id: str) -> tuple[Json, bool]:
    """Return a logged model as the server's JSON and whether it is deleted. Raises ServerError."""
    path = f"{_MODELS}/{quoted(model_id)}"
    try:
        return _model_in(scope, scope.session.get(path), model_id), False
    except ServerError as exc:
        if exc.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return _model_in(scope, scope.session.get(path, {"allow_deleted": "true"}), model_id), True


def _model_in(scope: Scope, answer: Any, model_id: str) -> Json:
    model = answer.get("model") if isinstance(answer, dict) else None
    if not isinstance(model, dict) or not isinstance(model.get("info"), dict):
        message = f"{scope.session.uri} answers in an unexpected shape when asked for logged model {model_id!r}"
        raise ServerError(message, status=200)
    return model


def _read(scope: Scope, models: Sequence[Json], lost: Sequence[Gap], known: Known) -> Iterator[Chunk]:
    rows: dict[str, list[Row]] = {}
    files: list[ArtifactFile] = []
    lost = list(lost)
    for raw in models:
        try:
            own = model_rows(raw)
        except UNREADABLE_ROW as exc:
            lost.append(_gap(str(_id_of(raw)), f"the server describes it in an unexpected shape: {exc!r}"))
            continue
        [info] = own["logged_models"]
        listing = Listing()
        if scope.selection.artifacts:
            listing = scope.artifacts.of(model_owner(info["model_id"], info["artifact_location"]))
        wants = scope.selection.wants_artifact
        wanted = [file for file in listing.files if wants(file.path, file.size)]
        missing = [*listing.gaps, *_not_there(own, listing)] if scope.selection.artifacts else []
        fingerprint = entity_fingerprint(own, [(file.path, file.size) for file in wanted])
        if not missing:
            if known(LOGGED_MODEL, info["model_id"]) == fingerprint:
                scope.progress.advance("skipped", 1)
                continue
            row = {"owner_id": info["model_id"], "owner_kind": LOGGED_MODEL, "fingerprint": fingerprint}
            rows.setdefault("fingerprints", []).append(row)
        for name, some in own.items():
            rows.setdefault(name, []).extend(some)
        files += wanted
        lost += missing
    if rows or lost:
        yield chunk_of(rows, lost, artifacts=files)


def _not_there(own: Mapping[str, list[Row]], listing: Listing) -> list[Gap]:
    """Return a gap for a model that is ready and of MLflow's making and has no file."""
    [info] = own["logged_models"]
    external = any(row["key"] == _EXTERNAL_TAG for row in own["logged_model_tags"])
    if listing.files or listing.gaps or info["status"] != "READY" or external:
        return []
    reason = f"it is ready, but nothing is at {info['artifact_location']}"
    return [_gap(info["model_id"], reason, code=gaps.ARTIFACT_MISSING)]


def model_rows(raw: Json) -> dict[str, list[Row]]:
    """Return the rows of a logged model by table; raise one of UNREADABLE_ROW where it is malformed."""
    info, data = raw["info"], raw.get("data") or {}
    model_id, experiment_id = str(info["model_id"]), str(info["experiment_id"])
    own = {"model_id": model_id, "experiment_id": experiment_id}
    return {
        "logged_models": [
            {
                **own,
                "name": str(info.get("name", "")),
                "artifact_location": location(info.get("artifact_uri")),
                "creation_timestamp": integer(info.get("creation_timestamp_ms")),
                "last_updated_timestamp": integer(info.get("last_updated_timestamp_ms")),
                "status": _STATUS.get(str(info.get("status")), str(info.get("status"))),
                "lifecycle_stage": "deleted" if raw.get("deleted") else "active",
                "model_type": text(info.get("model_type")),
                "source_run_id": text(info.get("source_run_id")),
                "status_message": text(info.get("status_message")),
            }
        ],
        "logged_model_params": [
            {**own, "key": str(each["key"]), "value": str(each.get("value", ""))} for each in data.get("params", [])
        ],
        "logged_model_tags": [
            {**own, "key": str(each["key"]), "value": str(each.get("value", ""))} for each in info.get("tags", [])
        ],
        "logged_model_metrics": [
            {
                **own,
                "key": str(each["key"]),
                "timestamp": int(each["timestamp"]),
                "step": int(each.get("step") or 0),
                "run_id": str(each.get("run_id", "")),
                "value": real(each.get("value")),
                "dataset_name": filled(each.get("dataset_name")),
                "dataset_digest": filled(each.get("dataset_digest")),
            }
            for each in data.get("metrics", [])
        ],
    }


def model_owner(model_id: str, uri: str | None) -> Owner:
    """Return a logged model as an owner of artifacts."""

    def list_folder(folder: str) -> tuple[str, Any]:
        params = {"artifact_directory_path": folder} if folder else {}
        return f"{_MODELS}/{quoted(model_id)}/artifacts/directories", params

    def get_file(path: str) -> tuple[str, Any]:
        return f"{_FILES}/{quoted(model_id)}/artifacts/files", {"artifact_file_path": path}

    return Owner(kind=LOGGED_MODEL, id=model_id, uri=uri, list_folder=list_folder, get_file=get_file)


def _gap(model_id: str, reason: str, *, code: str = gaps.OBJECT_UNREADABLE) -> Gap:
    return Gap(owner_kind=LOGGED_MODEL, owner_id=model_id, path="", code=code, reason=reason)
