"""Webhooks of one workspace. The server never shows their secrets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mlflow_archive.kinds import WEBHOOK
from mlflow_archive.sources.reading.fields import Fields, row_of
from mlflow_archive.sources.rest.lists import asking, pages
from mlflow_archive.sources.rest.scope import Batch, Scope, TableRows, object_batches

PAGE: Final = 100
_WEBHOOKS: Final = "/api/2.0/mlflow/webhooks"


def plan_webhooks(scope: Scope) -> Iterator[Batch]:
    """Yield the webhooks in batches."""
    if scope.everything:
        all_pages = pages(asking(scope, WEBHOOK, _WEBHOOKS, "webhooks"), "webhook_id", size=PAGE)
        yield from object_batches(WEBHOOK, all_pages, "webhook_id", _rows)


def _rows(scope: Scope, webhook: Fields) -> TableRows:
    row = row_of("webhooks", webhook, workspace=scope.workspace)
    events = [
        {name: event.required(name).lower() for name in ("entity", "action")} for event in webhook.objects("events")
    ]
    return {"webhooks": [row], "webhook_events": [{"webhook_id": row["webhook_id"], **event} for event in events]}
