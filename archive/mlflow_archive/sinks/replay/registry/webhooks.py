"""Webhooks: switched off, and without their secret, which no archive holds."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any, Final

from mlflow_archive.format import refusals
from mlflow_archive.kinds import WEBHOOK
from mlflow_archive.sinks.replay.object_writer import EqualObjectWriter, ObjectRows
from mlflow_archive.sinks.replay.target.paging import entries

_PAGE: Final = 100


class WebhookWriter(EqualObjectWriter):
    """Writes webhooks, found by name, URL and events."""

    kinds = (WEBHOOK,)
    table, code = "webhooks", refusals.WEBHOOK_REFUSED
    api, answer, id_field = "/api/2.0/mlflow/webhooks", "webhook", "webhook_id"

    def is_due(self, rows: ObjectRows) -> bool:
        deleted = rows.row["deleted_timestamp"] is not None
        self._context.receipt.changed("webhooks_deleted_at_the_source", deleted)
        return not deleted

    def load(self) -> Iterable[Any]:
        return entries(lambda page: self._context.api.get(self.api, page), "webhooks", size=_PAGE)

    def key(self, fields: Mapping[str, Any]) -> Hashable:
        events = frozenset((event["entity"], event["action"]) for event in fields.get("events", []))
        return fields["name"], fields["url"], events

    def body(self, rows: ObjectRows) -> dict[str, Any]:
        events = {(event["entity"].upper(), event["action"].upper()) for event in rows.of("webhook_events")}
        return {
            "name": rows.row["name"],
            "url": rows.row["url"],
            "description": rows.row["description"],
            "status": "DISABLED",
            "events": [{"entity": entity, "action": action} for entity, action in sorted(events)],
        }

    def complete(self, rows: ObjectRows, existing: Any, *, is_new: bool) -> bool:
        self._context.receipt.changed("webhooks_switched_off", int(is_new and rows.row["status"] == "ACTIVE"))
        return super().complete(rows, existing, is_new=is_new)
