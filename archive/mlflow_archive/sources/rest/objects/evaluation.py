"""Evaluation datasets, scorers and issues of one workspace."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from mlflow_archive.errors import ServerError
from mlflow_archive.flow.chunk import Chunk, Gap, Known
from mlflow_archive.kinds import EVALUATION_DATASET, ISSUE, SCORER
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
from mlflow_archive.sources.rest.lists import Answer, Ask, all_at_once, pages, posting
from mlflow_archive.sources.rest.objects.scorer_text import with_endpoint_id
from mlflow_archive.sources.rest.scope import Batch, Scope, chunk_of, gap_of, gaps_of

PAGE: Final = 100
RECORDS: Final = 500
_SEVERAL_EXPERIMENTS: Final = (3, 17)
"""The first MLflow that is known to list scorers of several experiments at once."""
_DATASETS: Final = "/api/3.0/mlflow/datasets"
_SCORERS: Final = "/api/3.0/mlflow/scorers"
_ISSUES: Final = "/api/3.0/mlflow/issues/search"


def plan_datasets(scope: Scope) -> Iterator[Batch]:
    """Yield the evaluation datasets of the selected experiments in batches; all where everything is selected."""
    if scope.only_of_runs:
        return
    ask = posting(scope.session, f"{_DATASETS}/search", "datasets", order_by=["created_time ASC"])
    for number, page in enumerate(pages(ask, lambda row: row.get("dataset_id"), size=PAGE)):
        yield Batch(
            name=f"evaluation datasets-{number:05d}",
            read=partial(_read_datasets, scope, page.rows, gaps_of(EVALUATION_DATASET, page.lost)),
        )


def _read_datasets(scope: Scope, datasets: Sequence[Json], lost: Sequence[Gap], known: Known) -> Iterator[Chunk]:
    if lost:
        yield chunk_of({}, lost)
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
            {"dataset_id": dataset_id, "experiment_id": str(each)} for each in dict.fromkeys(ids)
        ]
    except ServerError as exc:
        if exc.status is None:
            raise
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
        lost = [
            gap_of(EVALUATION_DATASET, dataset_id, f"records {each.place}".strip(), each.reason) for each in page.lost
        ]
        for raw in page.rows:
            try:
                rows.append(record_row(raw, dataset_id))
            except UNREADABLE_ROW as exc:
                path = f"record {raw.get('dataset_record_id')}"
                lost.append(gap_of(EVALUATION_DATASET, dataset_id, path, unexpected_shape(exc)))
        yield chunk_of({"evaluation_dataset_records": rows}, lost)


def record_row(raw: Json, dataset_id: str) -> Row:
    """Return the row of a record as MLflow's SQL store keeps it, where outputs are wrapped in an object."""
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


def plan_scorers(scope: Scope) -> Iterator[Batch]:
    """Yield the scorers of the selected experiments, those that are not deleted, in batches."""
    active = scope.active_experiment_ids
    if scope.only_of_runs or not active or scope.lacks(f"{_SCORERS}/list", {"experiment_id": active[0]}):
        return
    for number, ids in enumerate(scope.groups(active)):
        yield Batch(name=f"scorers-{number:05d}", read=partial(_read_scorers, scope, ids))


def _read_scorers(scope: Scope, experiment_ids: Sequence[str], known: Known) -> Iterator[Chunk]:
    rows: dict[str, list[Row]] = {"scorers": [], "scorer_versions": []}
    lost: list[Gap] = []
    together = scope.version >= _SEVERAL_EXPERIMENTS
    asked: list[dict[str, Any]] = (
        [{"experiment_ids": list(experiment_ids)}] if together else [{"experiment_id": each} for each in experiment_ids]
    )
    for params in asked:
        for page in all_at_once(scope.session, f"{_SCORERS}/list", "scorers", **params):
            lost += gaps_of(SCORER, page.lost, str(params.get("experiment_id", "")))
            for raw in page.rows:
                lost += _read_scorer(scope, str(raw.get("experiment_id")), str(raw.get("scorer_name")), rows)
    ids = [row["scorer_id"] for row in rows["scorers"]]
    scope.show_scorers(ids)
    if ids:
        configs, missing = _online_configs(scope, ids)
        rows["online_scoring_configs"] = configs
        lost += missing
    yield chunk_of(rows, lost)


def _read_scorer(scope: Scope, experiment_id: str, name: str, rows: dict[str, list[Row]]) -> list[Gap]:
    """Add a scorer with all its versions; return gaps."""
    lost: list[Gap] = []
    params = {"experiment_id": experiment_id, "name": name}
    for page in all_at_once(scope.session, f"{_SCORERS}/versions", "scorers", **params):
        lost += [gap_of(SCORER, f"{experiment_id}/{name}", "", each.reason) for each in page.lost]
        for raw in page.rows:
            scorer_id = str(raw.get("scorer_id") or f"{experiment_id}/{name}")
            try:
                row = {
                    "scorer_id": scorer_id,
                    "version": int(raw["scorer_version"]),
                    "serialized_scorer": with_endpoint_id(str(raw["serialized_scorer"]), scope.endpoint_ids),
                    "creation_time": integer(raw.get("creation_time")),
                }
            except UNREADABLE_ROW as exc:
                lost.append(gap_of(SCORER, scorer_id, "", f"a version has an unexpected shape: {exc!r}"))
                continue
            rows["scorer_versions"].append(row)
            own = {"scorer_id": scorer_id, "experiment_id": experiment_id, "name": name}
            if own not in rows["scorers"][-1:]:
                rows["scorers"].append(own)
    return lost


def _online_configs(scope: Scope, scorer_ids: Sequence[str]) -> tuple[list[Row], list[Gap]]:
    found: list[Row] = []
    lost: list[Gap] = []
    for page in all_at_once(scope.session, f"{_SCORERS}/online-configs", "configs", scorer_ids=list(scorer_ids)):
        lost += [gap_of(SCORER, "", "online configs", each.reason) for each in page.lost]
        for raw in page.rows:
            try:
                found.append(
                    {
                        "scorer_id": str(raw["scorer_id"]),
                        "online_scoring_config_id": str(raw["online_scoring_config_id"]),
                        "sample_rate": float(raw["sample_rate"]),
                        "experiment_id": str(raw["experiment_id"]),
                        "filter_string": text(raw.get("filter_string")),
                    }
                )
            except UNREADABLE_ROW as exc:
                owner = str(raw.get("scorer_id"))
                lost.append(gap_of(SCORER, owner, "online config", unexpected_shape(exc)))
    return found, lost


def plan_hidden_scorers(scope: Scope) -> Iterator[Batch]:
    """Yield gaps for scorers that an endpoint serves and no list shows, once endpoints and scorers have been read."""
    if scope.selection.deleted:
        yield Batch(name="scorers that are not shown", read=partial(_read_hidden_scorers, scope))


def _read_hidden_scorers(scope: Scope, known: Known) -> Iterator[Chunk]:
    reason = "its experiment is deleted, so the server does not show it; restore the experiment, or export the database"
    hidden = sorted(scope.bound_scorers - scope.shown_scorers)
    if hidden:
        yield chunk_of({}, [gap_of(SCORER, scorer_id, "", reason) for scorer_id in hidden])


def plan_issues(scope: Scope) -> Iterator[Batch]:
    """Yield the issues of the selected experiments in batches; the server cannot search by experiment."""
    if scope.only_of_runs:
        return
    wanted = set(scope.experiment_ids)
    ask = posting(scope.session, _ISSUES, "issues")
    for number, page in enumerate(pages(ask, lambda row: row.get("issue_id"), size=PAGE)):
        rows = [row for row in page.rows if str(row.get("experiment_id")) in wanted]
        if rows or page.lost:
            yield Batch(name=f"issues-{number:05d}", read=partial(_read_issues, rows, gaps_of(ISSUE, page.lost)))


def _read_issues(issues: Sequence[Json], lost: Sequence[Gap], known: Known) -> Iterator[Chunk]:
    rows: list[Row] = []
    lost = list(lost)
    for raw in issues:
        try:
            rows.append(_issue_row(raw))
        except UNREADABLE_ROW as exc:
            lost.append(gap_of(ISSUE, str(raw.get("issue_id")), "", unexpected_shape(exc)))
    yield chunk_of({"issues": rows}, lost)


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
    }


def _json_list(raw: Mapping[str, Any], name: str) -> str | None:
    return json_text(raw[name]) if raw.get(name) else None
