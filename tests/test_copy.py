"""The loop: stages in turn, few shards at a time, the first error ends it, and the source is closed once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mlflow_archive.errors import ServerError
from mlflow_archive.flow.chunk import Chunk, Known, Shard, nothing_known
from mlflow_archive.flow.copy import copy
from mlflow_archive.flow.report import Progress, Quiet, Report
from mlflow_archive.flow.source import SourceFacts
from mlflow_archive.selecting.selection import Selection

SOON = 10.0


class Told:
    """A source of empty chunks and the sink it goes to, which write down all that happens to them.

    ``on_read`` is called with each shard's number on the thread that reads it.
    """

    def __init__(
        self,
        stages: tuple[int, ...] = (0, 0, 0),
        *,
        chunks: int = 2,
        pause_seconds: float = 0.0,
        on_read: Callable[[int], object] = lambda number: None,
        failing: str = "",
        error: BaseException | None = None,
    ) -> None:
        self.events: list[str] = []
        self.spans: list[tuple[str, int]] = []
        self.planned = self.most_waiting = 0
        self.done: set[int] = set()
        self.threads: set[str] = set()
        self._stages, self._chunks, self._on_read = stages, chunks, on_read
        self._pause_seconds = pause_seconds
        self._failing, self._error = failing, error or ServerError("refused")
        self._lock = threading.Lock()

    def _note(self, what: str) -> None:
        with self._lock:
            self.events.append(what)
        if what == self._failing:
            raise self._error

    def facts(self) -> SourceFacts:
        self._note("facts")
        return SourceFacts(kind="told", uri="told://")

    def plan(self, selection: Selection, progress: Progress) -> Iterator[Shard]:
        for number, stage in enumerate(self._stages):
            with self._lock:
                self.planned += 1
                self.most_waiting = max(self.most_waiting, self.planned - len(self.done))
            yield Shard(name=str(number), stage=stage, weight=3, payload=number)
        self._note("planned")

    def read(self, shard: Shard, known: Known) -> Iterator[Chunk]:
        number = int(shard.name)
        with self._lock:
            self.spans.append(("start", number))
            self.threads.add(threading.current_thread().name)
        self._on_read(number)
        for _ in range(self._chunks):
            yield Chunk(tables={})
            threading.Event().wait(self._pause_seconds)
        with self._lock:
            self.spans.append(("end", number))
            self.done.add(number)

    def close(self) -> None:
        self._note("close")

    def begin(self, facts: SourceFacts, selection: Selection) -> Known:
        self._note("begin")
        return nothing_known

    def write(self, chunk: Chunk) -> None:
        self._note("write")

    def finish(self) -> Report:
        self._note("finish")
        return Report()

    def abort(self) -> None:
        self._note("abort")

    def run(self, **options: Any) -> Report:
        return copy(self, self, **options)


@pytest.mark.parametrize("jobs", [1, 4])
def test_every_chunk_is_written_then_committed_then_closed(jobs: int) -> None:
    told = Told((0, 0, 1), chunks=3)
    told.run(jobs=jobs)
    assert told.events[:2] == ["facts", "begin"]
    assert told.events[-2:] == ["finish", "close"]
    assert told.events.count("write") == 9
    assert sorted(told.events) == sorted(["facts", "begin", "planned", *["write"] * 9, "finish", "close"])
    assert len(told.threads) <= jobs


def test_a_stage_starts_when_the_one_before_is_done() -> None:
    """Children come after their parents, also where parents are slow."""
    slow = threading.Event()
    told = Told((0, 0, 0, 1, 1, 3), on_read=lambda number: number == 0 and slow.wait(0.2))
    told.run(jobs=4)
    for stage in ((0, 1, 2), (3, 4)):
        ends = max(told.spans.index(("end", number)) for number in stage)
        later = [told.spans.index(("start", number)) for number in range(stage[-1] + 1, 6)]
        assert ends < min(later)


@pytest.mark.parametrize("jobs", [1, 3])
def test_only_few_shards_are_planned_ahead(jobs: int) -> None:
    """At most ``2 * jobs`` shards are in memory, however many there are."""
    slow = threading.Event()
    told = Told((0,) * 40, on_read=lambda number: slow.wait(0.005))
    told.run(jobs=jobs)
    assert len(told.done) == 40
    assert jobs < told.most_waiting <= 2 * jobs


def test_shards_run_side_by_side() -> None:
    """Both shards must be under way for either to end."""
    both = threading.Barrier(2)
    told = Told((0, 0), on_read=lambda number: both.wait(SOON))
    told.run(jobs=2)
    assert told.threads == {"copy_0", "copy_1"}


@pytest.mark.parametrize("failing", ["facts", "begin", "planned", "write"])
@pytest.mark.parametrize("jobs", [1, 3])
def test_an_error_anywhere_aborts_and_closes_once(failing: str, jobs: int) -> None:
    told = Told(failing=failing)
    with pytest.raises(ServerError, match="refused"):
        told.run(jobs=jobs)
    assert told.events[-2:] == ["abort", "close"]
    assert told.events.count("abort") == told.events.count("close") == 1
    assert "finish" not in told.events


def test_an_error_in_finish_is_raised_and_the_source_is_closed() -> None:
    told = Told(failing="finish")
    with pytest.raises(ServerError, match="refused"):
        told.run()
    assert told.events[-2:] == ["finish", "close"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), MemoryError()])
@pytest.mark.parametrize("failing", ["facts", "planned", "write"])
def test_an_interrupt_aborts_too(error: BaseException, failing: str) -> None:
    told = Told(failing=failing, error=error)
    with pytest.raises(type(error)):
        told.run(jobs=2)
    assert told.events[-2:] == ["abort", "close"]


def test_the_first_error_wins_and_what_has_not_started_never_starts() -> None:
    """An error in a thread stops the others at their next chunk; later errors do not hide it."""
    failed = threading.Event()

    def read(number: int) -> None:
        if number == 0:
            failed.set()
            raise ServerError("the first")
        assert failed.wait(SOON)
        threading.Event().wait(0.1)
        raise ServerError("a later one")

    told = Told((0,) * 100, on_read=read)
    with pytest.raises(ServerError, match="the first"):
        told.run(jobs=2)
    assert len({number for _, number in told.spans}) <= 5
    assert told.events[-2:] == ["abort", "close"]


def test_nothing_is_written_after_an_abort() -> None:
    """``abort`` comes only when no thread is inside the sink any more."""
    failed = threading.Event()

    def read(number: int) -> None:
        if number == 1:
            failed.set()
            raise ServerError("refused")
        assert failed.wait(SOON)

    told = Told((0, 0), chunks=5000, pause_seconds=0.001, on_read=read)
    with pytest.raises(ServerError):
        told.run(jobs=2)
    assert told.events[-2:] == ["abort", "close"]
    assert told.events.count("write") < 5000


def test_progress_advances_by_the_weight_of_what_is_done() -> None:
    class Counts(Quiet):
        amount = 0

        def advance(self, unit: str, amount: int) -> None:
            assert unit == "runs"
            self.amount += amount

    progress = Counts()
    Told((0, 0, 1)).run(jobs=1, progress=progress)
    assert progress.amount == 9
