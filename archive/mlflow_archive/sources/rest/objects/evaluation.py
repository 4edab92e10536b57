"""Evaluation datasets and issues of one workspace."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from mlflow_archive.errors import ServerError
from mlflow_archive.flow.chunk import Chunk, Gap, Known
from mlflow_archive.http.refusals import check_answered
from mlflow_archive.kinds import EVALUATION_DATASET, ISSUE
from mlflow_archive.sources.rest.artifacts import quoted
from mlflow_archive.sources.rest.cells import (
    UNREADABLE_ROW,
    Json,
    Row,
    filled,
    integer,
    json_text,
    text,
    unexpected_shape,
)
from mlflow_archive.sources.rest.lists import Answer, Ask, pages, posting
from mlflow_archive.sources.rest.scope import Batch, Scope, batches, chunk_of, gap_of, object_batches

PAGE: Final = 100
RECORDS: Final = 500
_DATASETS: Final = "/api/3.0/mlflow/datasets"
_ISSUES: Final = "/api/3.0/mlflow/issues/search"


def plan_datasets(scope: Scope) -> Iterator[Batch]:
    """Yield the evaluation datasets of the selected experiments in batches; all where everything is selected."""
    if scope.only_of_runs:
        return
    ask = posting(scope.session, f"{_DATASETS}/search", "datasets", order_by=["created_time ASC"])
    all_pages = pages(ask, lambda row: row.get("dataset_id"), size=PAGE)
    yield from batches("evaluation datasets", EVALUATION_DATASET, all_pages, partial(_read_datasets, scope))


def _read_datasets(scope: Scope, datasets: Sequence[Json], gaps: Sequence[Gap], known: Known) -> Iterator[Chunk]:
    if gaps:
        yield chunk_of({}, gaps)
    for raw in datasets:
        dataset_id = str(raw.get("dataset_id"))
        try:
            rows = _dataset_rows(scope, raw)
        except UNREADABLE_ROW as exc:
            yield chunk_of({}, [gap_of(EVALUATION_DATASET, dataset_id, "", unexpected_shape(exc))])
            continue
        missing = _add_links(scope, dataset_id, rows)
        links = {row["experiment_id"] for row in rows.get("evaluation_dataset_experiments", ())}
        if not scope.everything and links.isdisjoint(scope.experiment_ids):
            continue
        yield chunk_of(rows, missing)
        # Records of one dataset may be many: they follow page by page.
        yield from _records(scope, dataset_id)


def _dataset_rows(scope: Scope, raw: Json) -> dict[str, list[Row]]:
    dataset_id = str(raw["dataset_id"])
    tags = json.loads(raw.get("tags") or "{}")
    return {
        "evaluation_datasets": [
            {
                "dataset_id": dataset_id,
                "name": str(raw.get("name", "")),
                "schema": filled(raw.get("schema")),
                "profile": filled(raw.get("profile")),
                "digest": filled(raw.get("digest")),
                "created_time": integer(raw.get("created_time")),
                "last_update_time": integer(raw.get("last_update_time")),
                "created_by": filled(raw.get("created_by")),
                "last_updated_by": filled(raw.get("last_updated_by")),
                "workspace": scope.workspace,
            }
        ],
        "evaluation_dataset_tags": [
            {"dataset_id": dataset_id, "key": str(key), "value": text(value)} for key, value in tags.items()
        ],
    }


def _add_links(scope: Scope, dataset_id: str, rows: dict[str, list[Row]]) -> list[Gap]:
    """Add the experiments of a dataset; return a gap where they cannot be read."""
    try:
        answer = scope.session.get(f"{_DATASETS}/{quoted(dataset_id)}/experiment-ids")
        ids = answer.get("experiment_ids", [])
        rows["evaluation_dataset_experiments"] = [
            {"dataset_id": dataset_id, "experiment_id": str(i)} for i in dict.fromkeys(ids)
        ]
    except ServerError as exc:
        check_answered(exc)
        return [gap_of(EVALUATION_DATASET, dataset_id, "experiments", str(exc))]
    except UNREADABLE_ROW as exc:
        return [gap_of(EVALUATION_DATASET, dataset_id, "experiments", f"they have an unexpected shape: {exc!r}")]
    return []


def _records(scope: Scope, dataset_id: str) -> Iterator[Chunk]:
    """Yield the records of a dataset; the server pages them by time and id, so that none is skipped."""

    def ask(size: int, token: str | None, *, careful: bool = False) -> Answer:
        params = {"max_results": size, "page_token": token}
        path = f"{_DATASETS}/{quoted(dataset_id)}/records"
        answer = scope.session.get(path, params, refusals_are_final=careful)
        try:
            records = json.loads(answer.get("records") or "[]")
        except (ValueError, AttributeError) as exc:
            raise ServerError(f"{path} has an unexpected shape: {exc!r}", status=HTTPStatus.OK) from exc
        return records, answer.get("next_page_token") or None

    typed: Ask = ask
    for page in pages(typed, lambda row: row.get("dataset_record_id"), size=RECORDS):
        rows: list[Row] = []
        gaps = [
            gap_of(EVALUATION_DATASET, dataset_id, f"records {loss.place}".strip(), loss.reason) for loss in page.losses
        ]
        for raw in page.rows:
            try:
                rows.append(record_row(raw, dataset_id))
            except UNREADABLE_ROW as exc:
                path = f"record {raw.get('dataset_record_id')}"
                gaps.append(gap_of(EVALUATION_DATASET, dataset_id, path, unexpected_shape(exc)))
        yield chunk_of({"evaluation_dataset_records": rows}, gaps)


def record_row(raw: Json, dataset_id: str) -> Row:
    """Return the row of a record as MLflow's SQL store has it, where outputs are wrapped in an object."""
    outputs = raw.get("outputs")
    return {
        "dataset_id": dataset_id,
        "dataset_record_id": str(raw["dataset_record_id"]),
        "inputs": json_text(raw["inputs"]),
        "outputs": json_text(None if outputs is None else {"mlflow_wrapped": outputs}),
        "expectations": json_text(raw.get("expectations")),
        "tags": json_text(raw.get("tags")),
        "source": json_text(raw.get("source")),
        "source_id": filled(raw.get("source_id")),
        "source_type": filled(raw.get("source_type")),
        "created_time": integer(raw.get("created_time")),
        "last_update_time": integer(raw.get("last_update_time")),
        "created_by": filled(raw.get("created_by")),
        "last_updated_by": filled(raw.get("last_updated_by")),
        "input_hash": hashlib.sha256(json.dumps(raw["inputs"], sort_keys=True).encode()).hexdigest(),
    }


def plan_issues(scope: Scope) -> Iterator[Batch]:
    """Yield the issues of the selected experiments in batches; the server cannot search by experiment."""
    if scope.only_of_runs:
        return
    experiment_ids = set(scope.experiment_ids)
    all_pages = pages(posting(scope.session, _ISSUES, "issues"), lambda row: row.get("issue_id"), size=PAGE)
    selected = (
        replace(page, rows=[row for row in page.rows if str(row.get("experiment_id")) in experiment_ids])
        for page in all_pages
    )
    yield from object_batches("issues", ISSUE, selected, "issue_id", lambda raw: {"issues": [_issue_row(raw)]})


def _issue_row(raw: Json) -> Row:
    return {
        "issue_id": str(raw["issue_id"]),
        "experiment_id": str(raw["experiment_id"]),
        "name": str(raw["name"]),
        "description": str(raw.get("description", "")),
        "status": str(raw["status"]),
        "severity": filled(raw.get("severity")),
        "root_causes": _json_list(raw, "root_causes"),
        "source_run_id": filled(raw.get("source_run_id")),
        "categories": _json_list(raw, "categories"),
        "created_timestamp": integer(raw.get("created_timestamp")),
        "last_updated_timestamp": integer(raw.get("last_updated_timestamp")),
        "created_by": filled(raw.get("created_by")),
        "last_seen_timestamp": integer(raw.get("last_seen_timestamp")),
        "last_updated_by": filled(raw.get("last_updated_by")),
        "metadata": json_text(raw["metadata"]) if raw.get("metadata") else None,
    }


def _json_list(raw: Mapping[str, Any], name: str) -> str | None:
    return json_text(raw[name]) if raw.get(name) else None
