"""Label schemas and review queues of one workspace.

The server's list of label schemas writes: it makes the schema ``Feedback`` where an experiment has none. An export
changes nothing, so the list is read only where that schema is there; elsewhere those schemas come that review queues
name, and a gap says that there may be more. Neither is shown of a deleted experiment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from mlflow_archive.errors import ServerError
from mlflow_archive.flow.chunk import Chunk, Gap, Known
from mlflow_archive.http.refusals import check_answered
from mlflow_archive.kinds import LABEL_SCHEMA, REVIEW_QUEUE
from mlflow_archive.sources.reading.fields import Fields, row_of, text_of
from mlflow_archive.sources.rest.answers import note_unread
from mlflow_archive.sources.rest.cells import Json, Row, json_text
from mlflow_archive.sources.rest.lists import asking, pages
from mlflow_archive.sources.rest.scope import Batch, Contents, Reader, Scope, TableRows, gap_of

PAGE: Final = 500
_SCHEMAS: Final = "/api/3.0/mlflow/label-schemas"
_QUEUES: Final = "/api/3.0/mlflow/review-queues"
_DEFAULT: Final = "Feedback"
_TIMES: Final = {name: f"{name}_ms" for name in ("creation_time", "last_update_time", "completed_time")}
_UNLISTED: Final = (
    "only those that review queues name: the server's list of all would write into its database; open the experiment's "
    "label schemas in MLflow once, or export the database"
)
_WIDGETS: Final[Mapping[str, Mapping[str, object]]] = {
    "pass_fail": {"positive_label": None, "negative_label": None},
    "categorical": {"options": [], "multi_select": False},
    "numeric": {"min_value": None, "max_value": None},
    "text": {"max_length": None},
}
"""Kinds of input and their settings in the order in which MLflow writes them, with their values where none is set."""


def plan_label_schemas(scope: Scope) -> Iterator[Batch]:
    """Yield the label schemas of the selected experiments in batches."""
    yield from _plan(scope, f"{_SCHEMAS}/get-by-name", {"name": _DEFAULT}, "label schemas", _read_schemas)


def plan_review_queues(scope: Scope) -> Iterator[Batch]:
    """Yield the review queues of the selected experiments in batches."""
    yield from _plan(scope, f"{_QUEUES}/list", {"max_results": 1}, "review queues", _read_queues)


def _plan(scope: Scope, path: str, params: Mapping[str, Any], name: str, read: Reader) -> Iterator[Batch]:
    active_ids = scope.active_experiment_ids
    if scope.only_named or not active_ids or scope.lacks(path, {**params, "experiment_id": active_ids[0]}):
        return
    for number, ids in enumerate(scope.groups(active_ids)):
        yield Batch(name=f"{name}-{number:05d}", read=read, request=ids)


def _read_schemas(scope: Scope, experiment_ids: Sequence[str], known: Known) -> Iterator[Chunk]:
    contents = Contents(scope, LABEL_SCHEMA)
    rows: dict[str, Row] = {}
    for experiment_id in experiment_ids:
        for raw in _schemas(scope, experiment_id, contents):
            row = contents.make(str(raw.get("schema_id")), raw, schema_row)
            if row is not None:
                rows[row["schema_id"]] = row
    contents.add_rows({"label_schemas": rows.values()})
    yield from contents.chunks()


def _schemas(scope: Scope, experiment_id: str, contents: Contents) -> Iterator[Json]:
    """Yield the label schemas of an experiment that can be read without a change to the server."""
    if _fetch(scope, "get-by-name", {"experiment_id": experiment_id, "name": _DEFAULT}, contents.gaps) is not None:
        ask = asking(scope, LABEL_SCHEMA, f"{_SCHEMAS}/list", "label_schemas", experiment_id=experiment_id)
        yield from contents.listed(pages(ask, "schema_id", size=PAGE), experiment_id)
        return
    queues = _queues(scope, experiment_id, Contents(scope, REVIEW_QUEUE))
    schema_ids = dict.fromkeys(str(schema_id) for queue in queues for schema_id in queue.get("schema_ids", []))
    if schema_ids:
        contents.gaps.append(gap_of(LABEL_SCHEMA, experiment_id, "", _UNLISTED))
    for schema_id in schema_ids:
        schema = _fetch(scope, "get", {"schema_id": schema_id}, contents.gaps)
        if schema is not None:
            yield schema


def _fetch(scope: Scope, how: str, params: Mapping[str, str], gaps: list[Gap]) -> Json | None:
    """Return a label schema, None where it does not exist; add a gap where the server refuses."""
    try:
        answer = scope.session.get(f"{_SCHEMAS}/{how}", params)
    except ServerError as exc:
        check_answered(exc)
        if exc.status != HTTPStatus.NOT_FOUND and exc.error_code != "RESOURCE_DOES_NOT_EXIST":
            gaps.append(gap_of(LABEL_SCHEMA, params.get("schema_id", ""), "", str(exc)))
        return None
    schema = answer.get("label_schema") if isinstance(answer, Mapping) else None
    if not isinstance(schema, Mapping):
        return None
    note_unread(scope, LABEL_SCHEMA, f"{_SCHEMAS}/{how}", answer, "label_schema")
    return schema


def schema_row(schema: Fields) -> Row:
    """Return the row of a label schema; raise one of UNREADABLE_ROW where it is malformed."""
    widgets = schema.object("input")
    [kind] = [name for name in _WIDGETS if name in widgets]
    settings = widgets.object(kind)
    config = {name: settings.value(name) if name in settings else empty for name, empty in _WIDGETS[kind].items()}
    return row_of(
        "label_schemas",
        schema,
        {"created_time": "created_at", "last_update_time": "last_updated_at"},
        type=schema.required("type").lower(),
        enable_comment=schema.flag("enable_comment") or False,
        input_type=kind,
        input_config=json_text(config),
        is_default=schema.flag("is_default") or False,
    )


def _read_queues(scope: Scope, experiment_ids: Sequence[str], known: Known) -> Iterator[Chunk]:
    contents = Contents(scope, REVIEW_QUEUE)
    for experiment_id in experiment_ids:
        for raw in _queues(scope, experiment_id, contents):
            queue_id = str(raw.get("queue_id"))
            if contents.add(queue_id, raw, _queue_rows) is not None:
                ask = asking(scope, REVIEW_QUEUE, f"{_QUEUES}/items/list", "items", queue_id=queue_id)
                for item in contents.listed(pages(ask, "item_id", size=PAGE), queue_id, "items"):
                    contents.add(queue_id, item, partial(_item_rows, queue_id), f"item {item.get('item_id')}")
    yield from contents.chunks()


def _queues(scope: Scope, experiment_id: str, contents: Contents) -> Iterator[Json]:
    ask = asking(scope, REVIEW_QUEUE, f"{_QUEUES}/list", "review_queues", experiment_id=experiment_id)
    return contents.listed(pages(ask, "queue_id", size=PAGE), experiment_id)


def _queue_rows(queue: Fields) -> TableRows:
    name, kind = queue.required("name"), queue.required("queue_type")
    row = row_of("review_queues", queue, _TIMES, name_key=name.lower(), queue_type=kind.lower())
    own = {"queue_id": row["queue_id"]}
    return {
        "review_queues": [row],
        "review_queue_users": [{**own, "user_id": text_of(user)} for user in queue.value("users") or ()],
        "review_queue_label_schemas": [{**own, "schema_id": text_of(i)} for i in queue.value("schema_ids") or ()],
    }


def _item_rows(queue_id: str, item: Fields) -> TableRows:
    words = {name: item.required(name).lower() for name in ("item_type", "status")}
    return {"review_queue_items": [row_of("review_queue_items", item, _TIMES, queue_id=queue_id, **words)]}
