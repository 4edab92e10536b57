"""Evaluation datasets and issues of one workspace."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import Final

from mlflow_archive.artifact_roots.proxy import quoted
from mlflow_archive.errors import ServerError
from mlflow_archive.flow.chunk import Chunk, Gap, Known
from mlflow_archive.http.refusals import check_answered
from mlflow_archive.kinds import EVALUATION_DATASET, ISSUE
from mlflow_archive.sources.reading.fields import Fields, ValueMalformedError, row_of, text_of
from mlflow_archive.sources.rest.answers import NEXT, note_unread
from mlflow_archive.sources.rest.cells import UNREADABLE_ROW, Json, Row, json_text
from mlflow_archive.sources.rest.lists import Answer, Ask, Page, pages, posting, rows_of
from mlflow_archive.sources.rest.scope import (
    Batch,
    Contents,
    Scope,
    TableRows,
    batches,
    chunk_of,
    gap_of,
    object_batches,
)

PAGE: Final = 100
RECORDS: Final = 500
_DATASETS: Final = "/api/3.0/mlflow/datasets"
_ISSUES: Final = "/api/3.0/mlflow/issues/search"


def plan_datasets(scope: Scope) -> Iterator[Batch]:
    """Yield evaluation datasets in batches: those that are named, else those of selected experiments, or all."""
    named = scope.dataset_ids
    if scope.only_named and named is None:
        return
    all_pages = dataset_pages(scope)
    if named is not None:
        wanted = (
            replace(page, rows=[row for row in page.rows if row.get("dataset_id") in named]) for page in all_pages
        )
        all_pages = (page for page in wanted if page.rows or page.losses)
    yield from batches("evaluation datasets", EVALUATION_DATASET, all_pages, partial(_read_datasets, scope))


def dataset_pages(scope: Scope) -> Iterator[Page]:
    """Yield all evaluation datasets of a workspace, without their experiments and records."""
    ask = posting(scope, EVALUATION_DATASET, f"{_DATASETS}/search", "datasets", order_by=["created_time ASC"])
    return pages(ask, "dataset_id", size=PAGE)


def experiments_of_dataset(scope: Scope, dataset_id: str) -> list[str]:
    """Return the experiments of an evaluation dataset. Raises ServerError, and what a malformed answer raises."""
    answer = scope.session.get(f"{_DATASETS}/{quoted(dataset_id)}/experiment-ids")
    ids = answer.get("experiment_ids", [])
    note_unread(scope, EVALUATION_DATASET, f"{_DATASETS}/ID/experiment-ids", answer, "experiment_ids")
    return [str(i) for i in dict.fromkeys(ids)]


def _read_datasets(scope: Scope, datasets: Sequence[Json], gaps: Sequence[Gap], known: Known) -> Iterator[Chunk]:
    if gaps:
        yield chunk_of({}, gaps)
    for raw in datasets:
        dataset_id = str(raw.get("dataset_id"))
        rows: TableRows = {}
        missing = _add_links(scope, dataset_id, rows)
        links = {row["experiment_id"] for row in rows.get("evaluation_dataset_experiments", ())}
        if not (scope.everything or scope.only_named) and links.isdisjoint(scope.experiment_ids):
            if missing:  # nobody can say whether it is selected
                yield chunk_of({}, missing)
            continue
        own_rows = scope.read(EVALUATION_DATASET, dataset_id, raw, partial(_dataset_rows, scope), missing)
        if own_rows is None:
            yield chunk_of({}, missing)
            continue
        yield chunk_of({**own_rows, **rows}, missing)
        # Records of one dataset may be many: they follow page by page.
        yield from _records(scope, dataset_id)


def _dataset_rows(scope: Scope, dataset: Fields) -> TableRows:
    row = row_of("evaluation_datasets", dataset, name=dataset.text("name") or "", workspace=scope.workspace)
    own = {"dataset_id": row["dataset_id"]}
    tags = json.loads(dataset.text("tags") or "{}")
    dataset.known("experiment_ids")  # asked for in another way, which shows them all
    return {
        "evaluation_datasets": [row],
        "evaluation_dataset_tags": [
            {**own, "key": key, "value": None if value is None else text_of(value)} for key, value in tags.items()
        ],
    }


def _add_links(scope: Scope, dataset_id: str, rows: TableRows) -> list[Gap]:
    """Add the experiments of a dataset; return a gap where they cannot be read."""
    try:
        rows["evaluation_dataset_experiments"] = [
            {"dataset_id": dataset_id, "experiment_id": i} for i in experiments_of_dataset(scope, dataset_id)
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
            rows = rows_of(scope.session, {"records": json.loads(answer.get("records") or "[]")}, "records")
        except UNREADABLE_ROW as exc:
            raise ServerError(f"{path} has an unexpected shape: {exc!r}", status=HTTPStatus.OK) from exc
        note_unread(scope, EVALUATION_DATASET, f"{_DATASETS}/ID/records", answer, "records", NEXT)
        return rows, answer.get(NEXT) or None

    typed: Ask = ask
    make = partial(_record_rows, dataset_id)
    for page in pages(typed, "dataset_record_id", size=RECORDS):
        contents = Contents(scope, EVALUATION_DATASET)
        for raw in contents.listed([page], dataset_id, "records"):
            contents.add(dataset_id, raw, make, f"record {raw.get('dataset_record_id')}")
        yield from contents.chunks()


def _record_rows(dataset_id: str, record: Fields) -> TableRows:
    return {"evaluation_dataset_records": [{**record_row(record), "dataset_id": dataset_id}]}


def record_row(record: Fields) -> Row:
    """Return the row of a record as MLflow's SQL store has it, where outputs are wrapped in an object."""
    if "inputs" not in record:
        raise ValueMalformedError("inputs is missing")
    inputs, outputs = record.value("inputs"), record.value("outputs")
    texts = {name: json_text(record.value(name)) for name in ("expectations", "tags", "source")}
    return row_of(
        "evaluation_dataset_records",
        record,
        inputs=json_text(inputs),
        outputs=json_text(None if outputs is None else {"mlflow_wrapped": outputs}),
        input_hash=hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest(),
        **texts,
    )


def plan_issues(scope: Scope) -> Iterator[Batch]:
    """Yield the issues of the selected experiments in batches; the server cannot search by experiment."""
    if scope.only_named:
        return
    experiment_ids = set(scope.experiment_ids)
    all_pages = pages(posting(scope, ISSUE, _ISSUES, "issues"), "issue_id", size=PAGE)
    selected = (
        replace(page, rows=[row for row in page.rows if str(row.get("experiment_id")) in experiment_ids])
        for page in all_pages
    )
    yield from object_batches(scope, ISSUE, selected, "issue_id", _issue_rows)


def _issue_rows(issue: Fields) -> TableRows:
    lists = {
        name: json_text(issue.value(name)) if issue.value(name) else None
        for name in ("root_causes", "categories", "metadata")
    }
    issue.known("trace_count")  # how many traces refer to it, by assessments
    return {"issues": [row_of("issues", issue, description=issue.text("description") or "", **lists)]}
