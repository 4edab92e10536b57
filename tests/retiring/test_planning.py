"""Which objects are looked at together, by which selections they are read, and how many traces a selection has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import pytest

from mlflow_archive.flow.chunk import Chunk, Known, Shard
from mlflow_archive.flow.report import Progress
from mlflow_archive.kinds import LOGGED_MODEL, RUN, TRACE
from mlflow_archive.retiring import retire
from mlflow_archive.retiring.plan import SiteMoment
from mlflow_archive.retiring.receipt import DELETING, LEFT, PLANNED, RetiredObject
from mlflow_archive.selecting.selection import Selection
from tests.support.chunks import ChunkSource, chunk


def entry(kind: str, object_id: str, *, state: str = PLANNED, at: str = "1", maker: str | None = None) -> RetiredObject:
    return RetiredObject(kind=kind, id=object_id, name="", experiment_id=at, experiment="", state=state, maker=maker)


ENTRIES = [
    entry(LOGGED_MODEL, "m1", maker="r1"),
    entry(RUN, "r1"),
    entry(TRACE, "t1"),
    entry(RUN, "r2", state=DELETING),
    entry(RUN, "r3", state=LEFT),
    entry(RUN, "r4"),
    entry(LOGGED_MODEL, "m2", at="2"),
    entry(RUN, "r5"),
]


def test_runs_wait_some_at_a_time_before_the_models_that_they_made(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(retire._batches(ENTRIES)) == [[1, 3, 5, 7], [0, 6]]
    monkeypatch.setattr(retire, "AT_ONCE", 3)
    assert list(retire._batches(ENTRIES)) == [[1, 3, 5], [7], [0, 6]]
    monkeypatch.setattr(retire, "AT_ONCE", 1)
    assert list(retire._batches(ENTRIES)) == [[1], [3], [5], [7], [0], [6]]
    assert list(retire._batches([])) == []


def test_objects_are_read_by_their_ids_and_models_by_what_made_them() -> None:
    assert list(retire._selections(ENTRIES)) == [
        Selection(runs=("r1", "r2", "r3", "r4", "r5"), kinds=(RUN,)),
        Selection(traces=("t1",), kinds=(TRACE,)),
        Selection(runs=("r1",), kinds=(LOGGED_MODEL,)),
        Selection(experiments=("2",), kinds=(LOGGED_MODEL,)),
    ]
    assert list(retire._selections(ENTRIES[:1])) == [Selection(runs=("r1",), kinds=(LOGGED_MODEL,))]
    assert list(retire._selections([])) == []


def traces(*names: str) -> Chunk:
    return chunk(traces=[{"trace_id": name, "experiment_id": "1", "request_time": 1, "state": "OK"} for name in names])


class Weighed(ChunkSource):
    """A source that says of each shard of what kind and how many it is, and keeps what it was asked for."""

    def __init__(self, *shards: tuple[str, Sequence[Chunk]]) -> None:
        super().__init__()
        self._given = shards
        self.asked: list[Selection] = []
        self.closed = False

    def plan(self, selection: Selection, progress: Progress) -> Iterator[Shard]:
        self.asked.append(selection)
        for number, (kind, chunks) in enumerate(self._given):
            yield Shard(name=str(number), stage=number, kind=kind, weight=10 + number, payload=chunks)

    def read(self, shard: Shard, known: Known) -> Iterator[Chunk]:
        yield from cast("Sequence[Chunk]", shard.payload)

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("selection", "number"),
    [(Selection(), 10 + 12), (Selection(experiments=("1",)), 10 + 12), (Selection(runs=("r",)), 3)],
    ids=["all", "of an experiment", "of a run"],
)
def test_how_many_traces_are_selected(selection: Selection, number: int) -> None:
    """A source tells it before it reads, but for those of some runs."""
    source = Weighed((TRACE, [traces("a"), chunk()]), (RUN, []), (TRACE, [traces("b", "c")]))
    assert SiteMoment(cast("Any", None), source).number_of_traces(selection) == number
    [asked] = source.asked
    assert (asked.kinds, asked.artifacts, asked.deleted, asked.runs) == ((TRACE,), False, False, selection.runs)
