"""Webhooks arrive switched off and without a secret, or are refused with MLflow's reason."""

from __future__ import annotations

from typing import Any

import pytest

from mlflow_archive.format import refusals
from tests.replay.conftest import Place
from tests.support.chunks import ChunkSource, chunk

EVENTS = [("registered_model", "created"), ("model_version_alias", "deleted"), ("prompt", "created")]


def webhooks(prefix: str, *names: str, **columns: Any) -> ChunkSource:
    rows = [
        {
            "webhook_id": f"{prefix}-{number}",
            "name": f"{prefix}-{name}",
            "description": "Calls nobody.",
            "url": "https://127.0.0.1:9/hook",
            "status": "ACTIVE",
            "creation_timestamp": 1,
            **columns,
        }
        for number, name in enumerate(names)
    ]
    events = [{"webhook_id": row["webhook_id"], "entity": e, "action": a} for row in rows for e, a in EVENTS]
    return ChunkSource((0, [chunk(webhooks=rows, webhook_events=events)]))


def test_they_arrive_switched_off(store_place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS", "true")
    prefix = store_place.prefix
    report = store_place.replay_source(webhooks(prefix, "a", "a", "b"))
    assert report.gaps == []
    assert report.details["changed"] == {"webhooks_switched_off": 3}
    found = [w for w in store_place.client.list_webhooks() if w.name.startswith(prefix)]
    ids: Any = report.details["ids"]
    assert {w.webhook_id for w in found} == set(ids["webhook"].values())
    assert sorted(w.name for w in found) == [f"{prefix}-a", f"{prefix}-a", f"{prefix}-b"]
    for webhook in found:
        assert (webhook.url, webhook.description, webhook.status) == (
            "https://127.0.0.1:9/hook",
            "Calls nobody.",
            "DISABLED",
        )
        assert webhook.secret is None
        assert {(e.entity, e.action) for e in webhook.events} == set(EVENTS)
    again = store_place.replay_source(webhooks(prefix, "a", "a", "b"))
    assert again.details["outcomes"] == {"webhook": {"created": 0, "updated": 0, "skipped": 3}}
    assert len([w for w in store_place.client.list_webhooks() if w.name.startswith(prefix)]) == 3


def test_one_that_the_target_refuses(store_place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS", raising=False)
    report = store_place.replay_source(webhooks(store_place.prefix, "private"))
    [gap] = report.gaps
    assert (gap.owner_kind, gap.owner_id, gap.code) == (
        "webhook",
        f"{store_place.prefix}-0",
        refusals.WEBHOOK_REFUSED,
    )
    assert "non-public IP" in gap.reason


def test_one_that_is_deleted_stays_away(store_place: Place) -> None:
    report = store_place.replay_source(webhooks(store_place.prefix, "gone", deleted_timestamp=7))
    assert (report.gaps, report.details["changed"]) == ([], {"webhooks_deleted_at_the_source": 1})
