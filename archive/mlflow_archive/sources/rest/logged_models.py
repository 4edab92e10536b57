"""Logged models of one workspace: rows and files.

Deleted ones are in no list; those that a run names (``RunFindings``) are asked for by id.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

from mlflow_archive.artifact_roots import Listing
from mlflow_archive.artifact_roots.proxy import quoted
from mlflow_archive.errors import ServerError
from mlflow_archive.flow.chunk import Chunk, Gap, Known, nothing_known
from mlflow_archive.format.fingerprint import entity_fingerprint
from mlflow_archive.format.gaps import ARTIFACT_MISSING
from mlflow_archive.http.refusals import check_answered, is_unknown_request
from mlflow_archive.kinds import LOGGED_MODEL
from mlflow_archive.sources.reading.fields import Fields, row_of
from mlflow_archive.sources.reading.rows import pair_rows
from mlflow_archive.sources.rest.artifacts import Owner
from mlflow_archive.sources.rest.cells import Json, Row
from mlflow_archive.sources.rest.findings import RunFindings, models_needed
from mlflow_archive.sources.rest.lists import Page, pages, posting
from mlflow_archive.sources.rest.lookups import LOGGED_MODELS, fetch_model
from mlflow_archive.sources.rest.scope import (
    Batch,
    Contents,
    Listed,
    Scope,
    TableRows,
    batches,
    gap_of,
    gaps_of,
    read_gaps,
)

PAGE: Final = 100
_FILES: Final = "/ajax-api/2.0/mlflow/logged-models"
_EXTERNAL_TAG: Final = "mlflow.model.isExternal"
_ORDER: Final = ({"field_name": "creation_timestamp_ms", "ascending": True},)
_NAMES: Final = {
    "artifact_location": "artifact_uri",
    "creation_timestamp": "creation_timestamp_ms",
    "last_updated_timestamp": "last_updated_timestamp_ms",
}
_STATUS: Final = {
    "None": "UNSPECIFIED",
    "LOGGED_MODEL_STATUS_UNSPECIFIED": "UNSPECIFIED",
    "LOGGED_MODEL_PENDING": "PENDING",
    "LOGGED_MODEL_READY": "READY",
    "LOGGED_MODEL_UPLOAD_FAILED": "FAILED",
}


def plan_logged_models(scope: Scope) -> Iterator[Batch]:
    """Yield the selected logged models in batches."""
    if scope.model_ids is not None:
        if scope.model_gaps:
            yield Batch(name="lists of logged models", read=read_gaps, request=scope.model_gaps)
        for at in range(0, len(scope.model_ids), PAGE):
            ids = scope.model_ids[at : at + PAGE]
            name = f"logged models by id-{at // PAGE:05d}"
            yield Batch(name=name, read=_read_by_id, request=ids, kind=LOGGED_MODEL, weight=len(ids))
        return
    listed_ids: set[str] = set()
    needs = models_needed if scope.models_need_runs else None
    yield from batches("logged models", LOGGED_MODEL, _pages(scope, listed_ids), _read_listed, needs)
    if scope.selection.deleted:
        yield Batch(name="deleted logged models", read=_read_unlisted, request=listed_ids, needs=_unlisted)


def _unlisted(findings: RunFindings, listed_ids: set[str]) -> RunFindings:
    return RunFindings(model_ids=findings.model_ids - listed_ids)


def listed_models(scope: Scope) -> Iterator[Json]:
    """Yield the logged models that lists show; what these lack is left with the scope."""
    for page in _pages(scope, set()):
        scope.model_gaps += gaps_of(LOGGED_MODEL, page.losses)
        yield from page.rows


def _pages(scope: Scope, listed_ids: set[str]) -> Iterator[Page]:
    """Yield the lists of all selected experiments; the ids in them are added to ``listed_ids``."""
    for ids in scope.groups():
        body = {"experiment_ids": ids, "order_by": list(_ORDER)}
        ask = posting(scope, LOGGED_MODEL, f"{LOGGED_MODELS}/search", "models", **body)
        for page in pages(ask, _id_of, size=PAGE, token_of=partial(_token, ids)):
            listed_ids.update(str(_id_of(row)) for row in page.rows)
            yield page


def _token(experiment_ids: Sequence[str], offset: int) -> str | None:
    """Return the token with which MLflow goes on after ``offset`` models; it repeats the search."""
    if not offset:
        return None
    order = [{**column, "dataset_name": None, "dataset_digest": None} for column in _ORDER]
    search = {"experiment_ids": list(experiment_ids), "filter_string": None, "order_by": order}
    return base64.b64encode(json.dumps({**search, "offset": offset}).encode()).decode("ascii")


def _id_of(row: Json) -> object:
    info = row.get("info")
    return info.get("model_id") if isinstance(info, dict) else None


def _read_listed(scope: Scope, listed: Listed, known: Known) -> Iterator[Chunk]:
    """Yield the models of a list that come with the runs that come."""
    models = [raw for raw in listed.rows if scope.wants_model(raw.get("info") or {})]
    yield from _read(scope, models, listed.gaps, known)


def _read_unlisted(scope: Scope, listed_ids: set[str], known: Known) -> Iterator[Chunk]:
    """Yield the models that runs name and that no list shows."""
    yield from _read_by_id(scope, sorted(scope.findings.model_ids - listed_ids), known, only_deleted=True)


def read_model(scope: Scope, model_id: str) -> Iterator[Chunk]:
    """Yield a logged model by its id, deleted or not; nothing where the server does not show it. Raises ServerError."""
    try:
        model, deleted = fetch_model(scope, model_id)
    except ServerError as exc:
        if exc.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return
    yield from _read(scope, [{**model, "deleted": deleted}], [], nothing_known)


def _read_by_id(scope: Scope, model_ids: Sequence[str], known: Known, *, only_deleted: bool = False) -> Iterator[Chunk]:
    """Yield some models by id; one that is gone for good is left out, as its database has no row of it."""
    models: list[Json] = []
    gaps: list[Gap] = []
    for model_id in model_ids:
        try:
            model, deleted = fetch_model(scope, model_id)
        except ServerError as exc:
            check_answered(exc)
            if exc.error_code != "RESOURCE_DOES_NOT_EXIST" and not is_unknown_request(exc):
                gaps.append(gap_of(LOGGED_MODEL, model_id, "", str(exc)))
            continue
        in_reach = str(model["info"].get("experiment_id")) in set(scope.experiment_ids)
        if in_reach and (scope.selection.deleted if deleted else not only_deleted):
            models.append({**model, "deleted": deleted})
    yield from _read(scope, models, gaps, known)


def _read(scope: Scope, models: Sequence[Json], gaps: Sequence[Gap], known: Known) -> Iterator[Chunk]:
    contents = Contents(scope, LOGGED_MODEL, gaps)
    for raw in models:
        rows = contents.make(str(_id_of(raw)), raw, model_rows)
        if rows is None:
            continue
        [info] = rows["logged_models"]
        listing = Listing()
        if scope.selection.artifacts:
            listing = scope.artifacts.of(model_owner(info["model_id"], info["artifact_location"]))
            listing.gaps += _not_there(rows, listing)
        files = listing.selected(scope.selection)
        fingerprint = entity_fingerprint(rows, files)
        if not listing.gaps:
            if fingerprint.agrees_with(known(LOGGED_MODEL, info["model_id"])):
                scope.progress.advance("skipped", 1)
                continue
            contents.add_rows({"fingerprints": [fingerprint.row(LOGGED_MODEL, info["model_id"])]})
        contents.add_rows(rows)
        contents.files += files
        contents.gaps += listing.gaps
    yield from contents.chunks()


def _not_there(rows: Mapping[str, list[Row]], listing: Listing) -> list[Gap]:
    """Return a gap for a model that is ready, was saved by MLflow, and has no file."""
    [info] = rows["logged_models"]
    external = any(row["key"] == _EXTERNAL_TAG for row in rows["logged_model_tags"])
    if listing.files or listing.gaps or info["status"] != "READY" or external:
        return []
    reason = f"it is ready, but nothing is at {info['artifact_location']}"
    return [gap_of(LOGGED_MODEL, info["model_id"], "", reason, code=ARTIFACT_MISSING)]


def model_rows(model: Fields) -> TableRows:
    """Return the rows of a logged model by table; raise one of UNREADABLE_ROW where it is malformed."""
    info, data = model.object("info"), model.object("data")
    status = info.text("status") or "None"
    row = row_of(
        "logged_models",
        info,
        _NAMES,
        name=info.text("name") or "",
        status=_STATUS.get(status, status),
        lifecycle_stage="deleted" if model.value("deleted") else "active",
    )
    own = {"model_id": row["model_id"], "experiment_id": row["experiment_id"]}
    info.known("registrations")  # the versions of registered models that it became; these name it
    return {
        "logged_models": [row],
        "logged_model_params": pair_rows(data.pairs("params"), **own),
        "logged_model_tags": pair_rows(info.pairs("tags"), **own),
        "logged_model_metrics": [_metric_row(point, own) for point in data.objects("metrics")],
    }


def _metric_row(point: Fields, own: Row) -> Row:
    point.known("model_id")  # the logged model itself
    datasets = {name: point.text(name) or None for name in ("dataset_name", "dataset_digest")}
    places = {"step": point.integer("step") or 0, "run_id": point.text("run_id") or ""}
    return row_of("logged_model_metrics", point, **own, **places, **datasets)


def model_owner(model_id: str, uri: str | None) -> Owner:
    """Return a logged model as an owner of artifacts."""

    def list_folder(folder: str) -> tuple[str, Any]:
        params = {"artifact_directory_path": folder} if folder else {}
        return f"{LOGGED_MODELS}/{quoted(model_id)}/artifacts/directories", params

    def get_file(path: str) -> tuple[str, Any]:
        return f"{_FILES}/{quoted(model_id)}/artifacts/files", {"artifact_file_path": path}

    return Owner(kind=LOGGED_MODEL, id=model_id, uri=uri, list_folder=list_folder, get_file=get_file)
