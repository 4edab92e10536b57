"""Webhooks of one workspace. The server never shows their secrets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

from mlflow_archive.flow.chunk import Chunk, Gap, Known
from mlflow_archive.kinds import WEBHOOK
from mlflow_archive.sources.rest.cells import UNREADABLE_ROW, Json, Row, filled, integer, location, unexpected_shape
from mlflow_archive.sources.rest.lists import asking, pages
from mlflow_archive.sources.rest.scope import Batch, Scope, chunk_of, gap_of, gaps_of

PAGE: Final = 100
_WEBHOOKS: Final = "/api/2.0/mlflow/webhooks"


def plan_webhooks(scope: Scope) -> Iterator[Batch]:
    """Yield the webhooks in batches."""
    if not scope.everything:
        return
    ask = asking(scope.session, _WEBHOOKS, "webhooks")
    for number, page in enumerate(pages(ask, lambda row: row.get("webhook_id"), size=PAGE)):
        lost = gaps_of(WEBHOOK, page.lost)
        yield Batch(name=f"webhooks-{number:05d}", read=partial(_read, scope, page.rows, lost))


def _read(scope: Scope, webhooks: Sequence[Json], lost: Sequence[Gap], known: Known) -> Iterator[Chunk]:
    rows: dict[str, list[Row]] = {"webhooks": [], "webhook_events": []}
    lost = list(lost)
    for raw in webhooks:
        try:
            own = _row(scope, raw)
            events = [
                {
                    "webhook_id": own["webhook_id"],
                    "entity": str(event["entity"]).lower(),
                    "action": str(event["action"]).lower(),
                }
                for event in raw.get("events", [])
            ]
        except UNREADABLE_ROW as exc:
            lost.append(gap_of(WEBHOOK, str(raw.get("webhook_id")), "", unexpected_shape(exc)))
            continue
        rows["webhooks"].append(own)
        rows["webhook_events"] += events
    yield chunk_of(rows, lost)


def _row(scope: Scope, raw: Json) -> Row:
    return {
        "webhook_id": str(raw["webhook_id"]),
        "name": str(raw["name"]),
        "description": filled(raw.get("description")),
        "url": location(raw["url"]),
        "status": str(raw["status"]),
        "creation_timestamp": integer(raw.get("creation_timestamp")),
        "last_updated_timestamp": integer(raw.get("last_updated_timestamp")),
        "workspace": scope.workspace,
    }
