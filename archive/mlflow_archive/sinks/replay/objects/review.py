"""Label schemas and review queues: what reviewers are asked, who they are, and what is to be reviewed.

Both are found by their name in the experiment. The schema that MLflow makes itself in each experiment is never made
twice: that of the target stands for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Final

from mlflow_archive.errors import ItemError, ServerError
from mlflow_archive.flow.chunk import Chunk
from mlflow_archive.format import refusals
from mlflow_archive.kinds import LABEL_SCHEMA, REVIEW_QUEUE, TRACE
from mlflow_archive.sinks.replay.context import ReplayContext
from mlflow_archive.sinks.replay.target.paging import entries
from mlflow_archive.sinks.replay.writing.failures import get_or_none, is_about_one_item, once
from mlflow_archive.sinks.replay.writing.kind_writer import KindWriter
from mlflow_archive.sinks.replay.writing.rows import Row, json_of, rows_of

_SCHEMAS: Final = "/api/3.0/mlflow/label-schemas/"
_QUEUES: Final = "/api/3.0/mlflow/review-queues/"
_USER: Final = "user"
_PENDING: Final = "pending"
_ITEMS_AT_ONCE: Final = 100
_TIMES: Final = ("creation_time", "last_update_time")


class LabelSchemaWriter(KindWriter):
    """Writes label schemas."""

    kinds = (LABEL_SCHEMA,)

    def __init__(self, context: ReplayContext) -> None:
        self._context = context

    def write(self, chunk: Chunk) -> None:
        for row in rows_of(chunk, "label_schemas"):
            with self._context.refusing(LABEL_SCHEMA, row["schema_id"], refusals.LABEL_SCHEMA_REFUSED):
                self._write_one(row)

    def _write_one(self, row: Row) -> None:
        context = self._context
        experiment_id = context.experiment(row["experiment_id"]).target_id
        schema_id = self._find(experiment_id, row["name"])
        outcome = "skipped"
        if schema_id is None:
            outcome = "created"
            if experiment_id is not None and not context.options.dry_run:
                schema_id = self._create(experiment_id, row)
        context.receipt.mapped(LABEL_SCHEMA, row["schema_id"], schema_id)
        columns = ("created_by", "created_time", "last_update_time")
        context.receipt.kept(LABEL_SCHEMA, row["schema_id"], {name: row[name] for name in columns})
        context.receipt.done(outcome, LABEL_SCHEMA)

    def _find(self, experiment_id: str | None, name: str) -> str | None:
        if experiment_id is None:
            return None
        params = {"experiment_id": experiment_id, "name": name}
        answer = get_or_none(self._context.api, _SCHEMAS + "get-by-name", params)
        return None if answer is None else str(answer["label_schema"]["schema_id"])

    def _create(self, experiment_id: str, row: Row) -> str | None:
        if row["is_default"]:
            # Listing schemas makes MLflow create it; a schema of that name cannot be created otherwise.
            self._context.api.get(_SCHEMAS + "list", {"experiment_id": experiment_id, "max_results": 1})
            return self._find(experiment_id, row["name"])
        config = json_of(row, "input_config") or {}
        body = {
            "experiment_id": experiment_id,
            "name": row["name"],
            "type": row["type"].upper(),
            "input": {row["input_type"]: {key: value for key, value in config.items() if value is not None}},
            "instruction": row["instruction"],
            "enable_comment": row["enable_comment"],
        }
        body = {key: value for key, value in body.items() if value is not None}

        def create() -> str:
            answer = self._context.api.post(_SCHEMAS + "create", body, idempotent=False)
            return str(answer["label_schema"]["schema_id"])

        return once(create, lambda: self._find(experiment_id, row["name"]), by_name=True)


@dataclass(slots=True, kw_only=True)
class _Queue:
    row: Row
    users: list[str] = field(default_factory=list)
    schemas: list[str] = field(default_factory=list)
    items: list[Row] = field(default_factory=list)


class ReviewQueueWriter(KindWriter):
    """Writes review queues with their items; one that exists gets the items that it lacks."""

    kinds = (REVIEW_QUEUE,)

    def __init__(self, context: ReplayContext) -> None:
        self._context = context

    def write(self, chunk: Chunk) -> None:
        for queue in _queues(chunk):
            with self._context.refusing(REVIEW_QUEUE, queue.row["queue_id"], refusals.REVIEW_QUEUE_REFUSED):
                self._write_one(queue)

    def _write_one(self, queue: _Queue) -> None:
        context, row = self._context, queue.row
        experiment_id = context.experiment(row["experiment_id"]).target_id
        existing = self._find(experiment_id, row["name"])
        outcome = "created" if existing is None else "skipped"
        if existing is None and experiment_id is not None and not context.options.dry_run:
            existing = self._create(experiment_id, queue)
        context.receipt.mapped(REVIEW_QUEUE, row["queue_id"], existing and existing["queue_id"])
        context.receipt.kept(REVIEW_QUEUE, row["queue_id"], {name: row[name] for name in ("created_by", *_TIMES)})
        for item in queue.items:
            values = {name: item[name] for name in ("completed_by", "completed_time", *_TIMES)}
            context.receipt.kept("review_queue_item", f"{row['queue_id']}/{item['item_id']}", values)
        changed = existing is not None and self._complete(queue, existing["queue_id"])
        context.receipt.done("updated" if changed and outcome == "skipped" else outcome, REVIEW_QUEUE)

    def _find(self, experiment_id: str | None, name: str) -> Any:
        if experiment_id is None:
            return None
        params = {"experiment_id": experiment_id, "name": name}
        answer = get_or_none(self._context.api, _QUEUES + "get-by-name", params)
        return None if answer is None else answer["review_queue"]

    def _create(self, experiment_id: str, queue: _Queue) -> Any:
        row, post = queue.row, self._context.api.post
        if row["queue_type"] == _USER:
            body = {"experiment_id": experiment_id, "user": row["name"]}
            return post(_QUEUES + "get-or-create-user", body)["review_queue"]
        body = {
            "experiment_id": experiment_id,
            "name": row["name"],
            "queue_type": row["queue_type"].upper(),
            "users": queue.users,
            "schema_ids": self._schemas(queue),
        }
        created = once(
            lambda: post(_QUEUES + "create", body, idempotent=False)["review_queue"],
            lambda: self._find(experiment_id, row["name"]),
            by_name=True,
        )
        if row["created_by"] and created.get("created_by") != row["created_by"]:
            post(_QUEUES + "update", {"queue_id": created["queue_id"], "new_owner": row["created_by"]})
        return created

    def _schemas(self, queue: _Queue) -> list[str]:
        target_ids = []
        for schema_id in queue.schemas:
            with self._refusing(queue, f"schemas/{schema_id}"):
                target_ids.append(self._context.required(LABEL_SCHEMA, schema_id))
        return target_ids

    def _complete(self, queue: _Queue, queue_id: str) -> bool:
        """Add the items that are not there and set their status; return whether there was anything to do."""
        api, dry_run = self._context.api, self._context.options.dry_run
        params = {"queue_id": queue_id}
        listed = entries(lambda page: api.get(_QUEUES + "items/list", {**params, **page}), "items")
        existing = {item["item_id"]: item for item in listed}
        items = {self._context.mapped(TRACE, item["item_id"]) or item["item_id"]: item for item in queue.items}
        missing = [item_id for item_id in items if item_id not in existing]
        added = [] if dry_run else list(self._add(queue, queue_id, missing, items))
        existing |= {item["item_id"]: item for item in added}
        behind = [
            (item_id, item)
            for item_id, item in items.items()
            if item["status"] != _PENDING and item_id in existing and _is_untouched(existing[item_id])
        ]
        for item_id, item in [] if dry_run else behind:
            self._set_status(queue, queue_id, item_id, item)
        return bool(behind or (missing if dry_run else added))

    def _add(self, queue: _Queue, queue_id: str, missing: list[str], items: dict[str, Row]) -> Iterator[Any]:
        for at in range(0, len(missing), _ITEMS_AT_ONCE):
            batch = missing[at : at + _ITEMS_AT_ONCE]
            try:
                yield from self._add_some(queue_id, batch, items)
            except (ItemError, ServerError) as exc:
                if not is_about_one_item(exc):
                    raise
                yield from self._add_each(queue, queue_id, batch, items)

    def _add_each(self, queue: _Queue, queue_id: str, batch: list[str], items: dict[str, Row]) -> Iterator[Any]:
        """Add items one by one, as one that MLflow refuses makes it refuse all that come with it."""
        for item_id in batch:
            with self._refusing(queue, f"items/{item_id}"):
                yield from self._add_some(queue_id, [item_id], items)

    def _add_some(self, queue_id: str, batch: list[str], items: dict[str, Row]) -> list[Any]:
        body = {"queue_id": queue_id, "item_ids": batch, "item_type": items[batch[0]]["item_type"].upper()}
        added: list[Any] = self._context.api.post(_QUEUES + "items/add", body).get("items", [])
        return added

    def _set_status(self, queue: _Queue, queue_id: str, item_id: str, item: Row) -> None:
        body = {"queue_id": queue_id, "item_id": item_id, "status": item["status"].upper()}
        if item["completed_by"]:
            body["completed_by"] = item["completed_by"]
        with self._refusing(queue, f"items/{item_id}"):
            answer = self._context.api.post(_QUEUES + "items/set-status", body)
            other_reviewer = answer["item"].get("completed_by") != item["completed_by"]
            self._context.receipt.changed("review_items_completed_by_who_imports", other_reviewer)

    def _refusing(self, queue: _Queue, path: str) -> AbstractContextManager[None]:
        return self._context.refusing(REVIEW_QUEUE, queue.row["queue_id"], refusals.REVIEW_QUEUE_REFUSED, path)


def _is_untouched(item: dict[str, Any]) -> bool:
    """Return whether an item's status was never set since it was added: who sets it back changes the time."""
    pending = item.get("status") == _PENDING.upper()
    return pending and item.get("last_update_time_ms") == item.get("creation_time_ms")


def _queues(chunk: Chunk) -> list[_Queue]:
    queues = {row["queue_id"]: _Queue(row=row) for row in rows_of(chunk, "review_queues")}
    for row in rows_of(chunk, "review_queue_users"):
        queues[row["queue_id"]].users.append(row["user_id"])
    for row in rows_of(chunk, "review_queue_label_schemas"):
        queues[row["queue_id"]].schemas.append(row["schema_id"])
    for row in rows_of(chunk, "review_queue_items"):
        queues[row["queue_id"]].items.append(row)
    return list(queues.values())
