"""Writes webhooks: switched off, and without their secret, which no archive holds."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Lock
from typing import Any, Final

from mlflow_archive.flow.chunk import Chunk
from mlflow_archive.format import refusals
from mlflow_archive.kinds import WEBHOOK
from mlflow_archive.sinks.replay.context import ReplayContext
from mlflow_archive.sinks.replay.target.paging import entries
from mlflow_archive.sinks.replay.writing.failures import once
from mlflow_archive.sinks.replay.writing.kind_writer import KindWriter
from mlflow_archive.sinks.replay.writing.rows import Row, rows_of

_API: Final = "/api/2.0/mlflow/webhooks"
_PAGE: Final = 100
_Key = tuple[str, str, frozenset[tuple[str, str]]]
"""Name, URL, and (entity, action) pairs: what a webhook is found by, as it has no tags."""


class WebhookWriter(KindWriter):
    """Writes the webhooks of a replay."""

    kinds = (WEBHOOK,)

    def __init__(self, context: ReplayContext) -> None:
        self._context = context
        self._lock = Lock()
        self._ids_by_key: dict[_Key, list[str]] | None = None

    def write(self, chunk: Chunk) -> None:
        """Write the webhooks of a chunk that the target does not have."""
        events: dict[str, set[tuple[str, str]]] = {}
        for row in rows_of(chunk, "webhook_events"):
            events.setdefault(row["webhook_id"], set()).add((row["entity"].upper(), row["action"].upper()))
        for row in rows_of(chunk, "webhooks"):
            if row["deleted_timestamp"] is not None:
                self._context.receipt.changed("webhooks_deleted_at_the_source")
                continue
            # Equal ones are told apart by their number, so one thread at a time.
            with self._context.refusing(WEBHOOK, row["webhook_id"], refusals.WEBHOOK_REFUSED), self._lock:
                self._write(row, frozenset(events.get(row["webhook_id"], ())))

    def _write(self, row: Row, events: frozenset[tuple[str, str]]) -> None:
        if self._ids_by_key is None:
            self._ids_by_key = {}
            for webhook in self._listed():
                self._ids_by_key.setdefault(_key(webhook), []).append(webhook["webhook_id"])
        key = (row["name"], row["url"], events)
        receipt = self._context.receipt
        if self._ids_by_key.get(key):
            receipt.mapped(WEBHOOK, row["webhook_id"], self._ids_by_key[key].pop())
            receipt.done("skipped", WEBHOOK)
            return
        target_id = None if self._context.options.dry_run else self._create(row, key)
        receipt.changed("webhooks_switched_off", int(row["status"] == "ACTIVE"))
        receipt.mapped(WEBHOOK, row["webhook_id"], target_id)
        receipt.done("created", WEBHOOK)

    def _create(self, row: Row, key: _Key) -> str:
        before = {webhook["webhook_id"] for webhook in self._listed()}
        body = {
            "name": row["name"],
            "url": row["url"],
            "description": row["description"],
            "status": "DISABLED",
            "events": [{"entity": entity, "action": action} for entity, action in sorted(key[2])],
        }
        body = {name: value for name, value in body.items() if value is not None}

        def make() -> str:
            return str(self._context.api.post(_API, body, idempotent=False)["webhook"]["webhook_id"])

        def look() -> str | None:
            new = (w for w in self._listed() if w["webhook_id"] not in before and _key(w) == key)
            return next((str(webhook["webhook_id"]) for webhook in new), None)

        return once(make, look)

    def _listed(self) -> Iterator[dict[str, Any]]:
        return entries(lambda page: self._context.api.get(_API, page), "webhooks", size=_PAGE)


def _key(webhook: dict[str, Any]) -> _Key:
    events = frozenset((event["entity"], event["action"]) for event in webhook.get("events", []))
    return webhook["name"], webhook["url"], events
