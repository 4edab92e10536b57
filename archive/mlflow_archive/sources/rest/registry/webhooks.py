"""Webhooks of one workspace. The server never shows their secrets."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final

from mlflow_archive.kinds import WEBHOOK
from mlflow_archive.sources.rest.cells import Json, Row, filled, integer, location
from mlflow_archive.sources.rest.lists import asking, pages
from mlflow_archive.sources.rest.scope import Batch, Scope, object_batches

PAGE: Final = 100
_WEBHOOKS: Final = "/api/2.0/mlflow/webhooks"


def plan_webhooks(scope: Scope) -> Iterator[Batch]:
    """Yield the webhooks in batches."""
    if scope.everything:
        all_pages = pages(asking(scope.session, _WEBHOOKS, "webhooks"), lambda row: row.get("webhook_id"), size=PAGE)
        yield from object_batches("webhooks", WEBHOOK, all_pages, "webhook_id", partial(_rows, scope))


def _rows(scope: Scope, raw: Json) -> dict[str, list[Row]]:
    webhook_id = str(raw["webhook_id"])
    return {
        "webhooks": [
            {
                "webhook_id": webhook_id,
                "name": str(raw["name"]),
                "description": filled(raw.get("description")),
                "url": location(raw["url"]),
                "status": str(raw["status"]),
                "creation_timestamp": integer(raw.get("creation_timestamp")),
                "last_updated_timestamp": integer(raw.get("last_updated_timestamp")),
                "workspace": scope.workspace,
            }
        ],
        "webhook_events": [
            {"webhook_id": webhook_id, "entity": str(event["entity"]).lower(), "action": str(event["action"]).lower()}
            for event in raw.get("events", [])
        ],
    }
