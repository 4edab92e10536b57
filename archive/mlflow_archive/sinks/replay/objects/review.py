"""Label schemas and review queues: what reviewers are asked, who they are, and what is to be reviewed.

Both are found by their name in the experiment. The schema that MLflow makes itself in each experiment is never made
twice: that of the target stands for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from mlflow_archive.errors import ItemError, ServerError
from mlflow_archive.format import refusals
from mlflow_archive.kinds import LABEL_SCHEMA, REVIEW_QUEUE, TRACE
from mlflow_archive.sinks.replay.context import ReplayContext
from mlflow_archive.sinks.replay.object_writer import ObjectRows, ObjectWriter
from mlflow_archive.sinks.replay.target.paging import entries
from mlflow_archive.sinks.replay.writing.failures import check_one_item, get_or_none
from mlflow_archive.sinks.replay.writing.rows import Row, json_of

_SCHEMAS: Final = "/api/3.0/mlflow/label-schemas/"
_QUEUES: Final = "/api/3.0/mlflow/review-queues/"
_USER: Final = "user"
_PENDING: Final = "pending"
_ITEMS_AT_ONCE: Final = 100
_TIMES: Final = ("creation_time", "last_update_time")


class LabelSchemaWriter(ObjectWriter):
    """Writes label schemas."""

    kinds = (LABEL_SCHEMA,)
    table, code = "label_schemas", refusals.LABEL_SCHEMA_REFUSED
    receipt_columns = ("created_by", "created_time", "last_update_time")
    api, answer, id_field = _SCHEMAS + "create", "label_schema", "schema_id"

    def find(self, rows: ObjectRows) -> Any:
        return _of_name(self._context, _SCHEMAS, rows.row, self.answer)

    def make(self, rows: ObjectRows) -> Any:
        if not rows.row["is_default"]:
            return super().make(rows)
        # Listing schemas makes MLflow create it; a schema of that name cannot be created otherwise.
        params = {"experiment_id": self._context.experiment(rows.row["experiment_id"]).target_id, "max_results": 1}
        self._context.api.get(_SCHEMAS + "list", params)
        return self.find(rows)

    def body(self, rows: ObjectRows) -> dict[str, Any]:
        row, config = rows.row, json_of(rows.row, "input_config") or {}
        return {
            "experiment_id": self._context.experiment(row["experiment_id"]).target_id,
            "name": row["name"],
            "type": row["type"].upper(),
            "input": {row["input_type"]: {key: value for key, value in config.items() if value is not None}},
            "instruction": row["instruction"],
            "enable_comment": row["enable_comment"],
        }


class ReviewQueueWriter(ObjectWriter):
    """Writes review queues with their items; one that exists gets the items that it lacks."""

    kinds = (REVIEW_QUEUE,)
    table, code = "review_queues", refusals.REVIEW_QUEUE_REFUSED
    receipt_columns = ("created_by", *_TIMES)
    api, answer, id_field = _QUEUES + "create", "review_queue", "queue_id"

    def find(self, rows: ObjectRows) -> Any:
        return _of_name(self._context, _QUEUES, rows.row, self.answer)

    def make(self, rows: ObjectRows) -> Any:
        row, post = rows.row, self._context.api.post
        if row["queue_type"] == _USER:
            experiment_id = self._context.experiment(row["experiment_id"]).target_id
            body = {"experiment_id": experiment_id, "user": row["name"]}
            return post(_QUEUES + "get-or-create-user", body)[self.answer]
        created = super().make(rows)
        if row["created_by"] and created.get("created_by") != row["created_by"]:
            post(_QUEUES + "update", {"queue_id": created["queue_id"], "new_owner": row["created_by"]})
        return created

    def body(self, rows: ObjectRows) -> dict[str, Any]:
        schemas = []
        for row in rows.of("review_queue_label_schemas"):
            with self.refusing(rows, f"schemas/{row['schema_id']}"):
                schemas.append(self._context.required(LABEL_SCHEMA, row["schema_id"]))
        return {
            "experiment_id": self._context.experiment(rows.row["experiment_id"]).target_id,
            "name": rows.row["name"],
            "queue_type": rows.row["queue_type"].upper(),
            "users": [row["user_id"] for row in rows.of("review_queue_users")],
            "schema_ids": schemas,
        }

    def complete(self, rows: ObjectRows, existing: Any, *, is_new: bool) -> bool:
        """Add the items that are not there and set their status; return whether there was anything to do."""
        for item in rows.of("review_queue_items"):
            values = {name: item[name] for name in ("completed_by", "completed_time", *_TIMES)}
            self._context.receipt.kept("review_queue_item", f"{rows.source_id}/{item['item_id']}", values)
        return existing is not None and self._complete(rows, existing["queue_id"])

    def _complete(self, rows: ObjectRows, queue_id: str) -> bool:
        dry_run = self._context.options.dry_run
        existing = _by_id(self._items(queue_id))
        items = {self._target_item(row): row for row in rows.of("review_queue_items")}
        missing = [item_id for item_id in items if item_id not in existing]
        added = {} if dry_run else _by_id(self._add(rows, queue_id, missing, items))
        existing |= added
        behind = [item_id for item_id, item in items.items() if _is_behind(existing.get(item_id), item)]
        if dry_run:
            return bool(missing or behind)
        for item_id in behind:
            self._set_status(rows, queue_id, item_id, items[item_id])
        return bool(added or behind)

    def _target_item(self, row: Row) -> str:
        return self._context.mapped(TRACE, row["item_id"]) or str(row["item_id"])

    def _items(self, queue_id: str) -> Iterator[Any]:
        def ask(page: dict[str, Any]) -> Any:
            return self._context.api.get(_QUEUES + "items/list", {"queue_id": queue_id, **page})

        return entries(ask, "items")

    def _add(self, rows: ObjectRows, queue_id: str, missing: list[str], items: dict[str, Row]) -> Iterator[Any]:
        for at in range(0, len(missing), _ITEMS_AT_ONCE):
            batch = missing[at : at + _ITEMS_AT_ONCE]
            try:
                yield from self._add_some(queue_id, batch, items)
            except (ItemError, ServerError) as exc:
                check_one_item(exc)
                yield from self._add_each(rows, queue_id, batch, items)

    def _add_each(self, rows: ObjectRows, queue_id: str, batch: list[str], items: dict[str, Row]) -> Iterator[Any]:
        """Add items one by one, as one that MLflow refuses makes it refuse all that come with it."""
        for item_id in batch:
            with self.refusing(rows, f"items/{item_id}"):
                yield from self._add_some(queue_id, [item_id], items)

    def _add_some(self, queue_id: str, batch: list[str], items: dict[str, Row]) -> list[Any]:
        body = {"queue_id": queue_id, "item_ids": batch, "item_type": items[batch[0]]["item_type"].upper()}
        added: list[Any] = self._context.api.post(_QUEUES + "items/add", body).get("items", [])
        return added

    def _set_status(self, rows: ObjectRows, queue_id: str, item_id: str, item: Row) -> None:
        body = {"queue_id": queue_id, "item_id": item_id, "status": item["status"].upper()}
        if item["completed_by"]:
            body["completed_by"] = item["completed_by"]
        with self.refusing(rows, f"items/{item_id}"):
            answer = self._context.api.post(_QUEUES + "items/set-status", body)
            other_reviewer = answer["item"].get("completed_by") != item["completed_by"]
            self._context.receipt.changed("review_items_completed_by_who_imports", other_reviewer)


def _by_id(items: Iterable[Any]) -> dict[str, Any]:
    return {item["item_id"]: item for item in items}


def _is_behind(item: dict[str, Any] | None, row: Row) -> bool:
    """Return whether an item has no status yet and gets one: who sets it back later changes its time."""
    if item is None or row["status"] == _PENDING or item.get("status") != _PENDING.upper():
        return False
    return bool(item.get("last_update_time_ms") == item.get("creation_time_ms"))


def _of_name(context: ReplayContext, api: str, row: Row, answer: str) -> Any:
    """Return the object of a name in an experiment of the target, None where it is not there."""
    experiment_id = context.experiment(row["experiment_id"]).target_id
    if experiment_id is None:
        return None
    response = get_or_none(context.api, api + "get-by-name", {"experiment_id": experiment_id, "name": row["name"]})
    return None if response is None else response[answer]
