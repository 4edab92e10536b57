"""The engine of the small kinds: which rows are of which object, and what is done once in place of twice."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

import pytest

from mlflow_archive.errors import ItemError, ServerError
from mlflow_archive.flow.chunk import Chunk
from mlflow_archive.flow.report import Report
from mlflow_archive.format import refusals
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sinks.replay import ReplayOptions, ReplaySink
from mlflow_archive.sinks.replay.equals import Equals
from mlflow_archive.sinks.replay.object_writer import objects_of
from mlflow_archive.sinks.replay.target.nothing_there import nothing_there
from mlflow_archive.sinks.replay.writing import failures
from tests.support.chunks import FACTS, chunk


def test_rows_go_to_their_object_in_the_order_of_objects() -> None:
    both = chunk(
        review_queues=[{"queue_id": "b", "name": "second"}, {"queue_id": "a", "name": "first"}],
        review_queue_users=[{"queue_id": "a", "user_id": "ada"}, {"queue_id": "a", "user_id": "bob"}],
    )
    objects = list(objects_of(both, "review_queues"))
    assert [(rows.source_id, rows.row["name"]) for rows in objects] == [("b", "second"), ("a", "first")]
    assert [[row["user_id"] for row in rows.of("review_queue_users")] for rows in objects] == [[], ["ada", "bob"]]


def test_objects_that_have_a_name_are_told_apart_by_workspace() -> None:
    names = [{"name": "tools", "workspace": "default"}, {"name": "tools", "workspace": "team"}]
    tags = [{**names[1], "key": "k", "value": "of team"}]
    objects = {
        rows.source_id: rows for rows in objects_of(chunk(mcp_servers=names, mcp_server_tags=tags), "mcp_servers")
    }
    assert {source_id: rows.tags("mcp_server_tags") for source_id, rows in objects.items()} == {
        "tools": {},
        "team/tools": {"k": "of team"},
    }


def test_rows_without_their_object_are_refused_and_the_others_come() -> None:
    lonely = chunk(
        webhooks=[{"webhook_id": "w", "name": "w", "url": "https://example.org", "deleted_timestamp": 7}],
        webhook_events=[{"webhook_id": "lonely", "entity": "prompt", "action": "created"}],
        review_queue_users=[{"queue_id": "q", "user_id": "ada"}],
    )
    report = dry_run(lonely)
    assert [(gap.owner_kind, gap.owner_id, gap.code) for gap in report.gaps] == [
        ("review_queue", "q", refusals.REVIEW_QUEUE_REFUSED),
        ("webhook", "lonely", refusals.WEBHOOK_REFUSED),
    ]
    assert "there are rows of webhook lonely but not the webhook itself" in report.gaps[1].reason
    assert report.details["changed"] == {"webhooks_deleted_at_the_source": 1}


def dry_run(rows: Chunk) -> Report:
    sink = ReplaySink(nothing_there("http://nowhere"), options=ReplayOptions(dry_run=True))
    sink.begin(FACTS, Selection())
    sink.write(rows)
    return sink.finish()


class Shelf:
    """Holds objects, as a target does; the first request to create one is answered as ``failure``."""

    def __init__(self, failure: ServerError | None = None, *, carried_out: bool = False) -> None:
        self.ids: list[str] = ["first"]
        self._failure, self._carried_out = failure, carried_out

    def load(self) -> Iterator[tuple[Hashable, str]]:
        return ((("key",), target_id) for target_id in self.ids)

    def create(self) -> str:
        failure, self._failure = self._failure, None
        if failure is None or self._carried_out:
            self.ids.append(f"new {len(self.ids)}")
        if failure is not None:
            raise failure
        return self.ids[-1]


def test_each_equal_object_stands_for_one() -> None:
    shelf = Shelf()
    equals = Equals(shelf.load)
    assert [equals.take_or_create(("key",), shelf.create) for _ in range(2)] == [("first", False), ("new 1", True)]
    assert equals.take_or_create(("key",), None) == (None, True)


@pytest.mark.parametrize("carried_out", [True, False])
def test_one_whose_creation_is_in_doubt_is_created_once(carried_out: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "WAITS_AFTER_DOUBT_SECONDS", (0.0, 0.0))
    shelf = Shelf(ServerError("no answer"), carried_out=carried_out)
    equals = Equals(shelf.load)
    results: list[Any] = [equals.take_or_create(("key",), shelf.create) for _ in range(2)]
    assert results == [("first", False), ("new 1", True)]
    assert shelf.ids == ["first", "new 1"]


def test_a_refusal_is_not_tried_again() -> None:
    shelf = Shelf(ServerError("no", status=400, error_code="INVALID_PARAMETER_VALUE"))
    equals = Equals(shelf.load)
    equals.take(("key",))
    with pytest.raises((ItemError, ServerError), match="no"):
        equals.take_or_create(("key",), shelf.create)
    assert shelf.ids == ["first"]
