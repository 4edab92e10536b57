"""What becomes of work whose worker dies, and of work that fails: each piece is done once, or the crew names it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import Future
from threading import Timer
from typing import Any

import pytest

from mlflow_archive.api.verbs import ExportOptions
from mlflow_archive.errors import SelectionError, ServerError
from mlflow_archive.workers.crew import Crew, WorkError, first_and_more
from mlflow_archive.workers.pools import ThreadPool


class DeathError(Exception):
    """What a pool says of a worker that died."""


class ScriptedPool:
    """Does work at once, in the order in which it is waited for; ``dies`` says how often a piece kills its worker."""

    size, sends, elsewhere = 2, True, False

    def __init__(self, dies: dict[str, int] | None = None, *, breaks: bool = False, weight: int = 1) -> None:
        self._dies, self._breaks, self._weight = defaultdict(int, dies or {}), breaks, weight
        self.tried: Counter[str] = Counter()
        self._near: list[Future[Any]] = []
        self.renewed = 0

    def submit(self, function: Callable[[Any], Any], work: object) -> Future[Any]:
        future: Future[Any] = Future()
        name = str(work)
        self.tried[name] += 1
        if self._dies[name]:
            self._dies[name] -= 1
            future.set_exception(DeathError(name))
        else:
            future.set_result(function(work))
        return future

    def everywhere(self, function: Callable[[Any], str], work: object) -> list[str]:
        return []

    def deaths(self, error: BaseException) -> int:
        return self._weight if isinstance(error, DeathError) else 0

    def renew(self) -> bool:
        self.renewed += 1
        return self._breaks

    def close(self) -> None:
        """Hold nothing."""


class HoldingPool(ScriptedPool):
    """Has work under way that ends when the pool breaks, which it does where ``fatal`` is given out."""

    def __init__(self, fatal: str = "") -> None:
        super().__init__({fatal: 1}, breaks=True)
        self.held: list[Future[Any]] = []

    def submit(self, function: Callable[[Any], Any], work: object) -> Future[Any]:
        if self.renewed or self._dies[str(work)]:
            return super().submit(function, work)
        self.tried[str(work)] += 1
        self.held.append(Future())
        return self.held[-1]

    def renew(self) -> bool:
        for future in self.held:
            future.set_exception(DeathError("the pool broke"))
        self.held.clear()
        return super().renew()


def crew_of(pool: Any, do: Callable[[str], str] = str.upper) -> tuple[Crew[str, str], list[str], list[str]]:
    done: list[str] = []
    told: list[str] = []
    return Crew(pool, do, done.append, ahead=3, tell=told.append), done, told


def test_each_piece_is_done_once() -> None:
    pool = ScriptedPool()
    crew, done, told = crew_of(pool)
    for name in "abcdef":
        crew.give(name)
    crew.wait()
    assert sorted(done) == ["A", "B", "C", "D", "E", "F"]
    assert (told, pool.renewed) == ([], 0)


def test_as_many_pieces_as_were_asked_for_are_under_way_before_one_is_taken() -> None:
    crew, done, _ = crew_of(ScriptedPool())
    taken = []
    for name in "abcde":
        crew.give(name)
        taken.append(len(done))
    assert taken == [0, 0, 3, 3, 3]
    crew.wait()
    assert sorted(done) == ["A", "B", "C", "D", "E"]


@pytest.mark.parametrize("breaks", [False, True])
def test_work_whose_worker_dies_is_given_out_again(breaks: bool) -> None:
    pool = ScriptedPool({"b": 4, "d": 7}, breaks=breaks)
    crew, done, told = crew_of(pool)
    for name in "abcd":
        crew.give(name)
    crew.wait()
    assert sorted(done) == ["A", "B", "C", "D"]
    assert pool.tried == {"a": 1, "b": 5, "c": 1, "d": 8}
    assert pool.renewed > 0
    assert sorted(told) == ["a worker died; b is given out again", "a worker died; d is given out again"]


@pytest.mark.parametrize(("weight", "tries"), [(1, 5 + 4), (4, 2 + 1)])
def test_work_that_kills_all_it_is_given_to_ends_with_its_name(weight: int, tries: int) -> None:
    pool = ScriptedPool({"b": 1000}, weight=weight)
    crew, done, _ = crew_of(pool)
    for name in "abc":
        crew.give(name)
    with pytest.raises(WorkError) as raised:
        crew.wait()
    assert str(raised.value) == (
        f"b kills the workers that it is given to, one after another: {weight * tries} died. Their memory may be too "
        "small for it, or a library crashes. What was done before is kept: the same command goes on"
    )
    assert raised.value.exit_code == 1
    assert sorted(done) == ["A", "C"]
    assert pool.tried["b"] == tries


def test_what_only_three_workers_die_of_in_a_row_is_no_killer() -> None:
    """Deaths with other work under way say nothing; alone, the fourth in a row would be the last."""
    pool = ScriptedPool({"a": 8, "b": 8})
    crew, done, _ = crew_of(pool)
    for name in "ab":
        crew.give(name)
    crew.wait()
    assert sorted(done) == ["A", "B"]
    assert pool.tried == {"a": 9, "b": 9}


def test_where_a_pool_breaks_all_that_was_under_way_is_given_out_again() -> None:
    pool = HoldingPool("c")
    crew, done, told = crew_of(pool)
    for name in "abc":
        crew.give(name)
    crew.wait()
    assert sorted(done) == ["A", "B", "C"]
    assert (pool.tried, pool.renewed) == ({"a": 2, "b": 2, "c": 2}, 1)
    assert sorted(told) == [f"a worker died; {name} is given out again" for name in "abc"]


def test_work_that_fails_is_tried_three_times_and_keeps_its_exit_code() -> None:
    def refuse(name: str) -> str:
        if name == "b":
            raise ServerError("it is not there", status=500)
        return name

    pool = ScriptedPool()
    crew, done, _ = crew_of(pool, refuse)
    for name in "ab":
        crew.give(name)
    with pytest.raises(WorkError) as raised:
        crew.wait()
    assert str(raised.value) == (
        "b failed 3 times: ServerError: it is not there. What was done before is kept: the same command goes on"
    )
    assert (done, pool.tried["b"], raised.value.exit_code) == (["a"], 3, 13)


def test_what_fails_without_an_exit_code_ends_with_1_and_says_what_to_do_next() -> None:
    def refuse(name: str) -> str:
        raise ValueError("it is odd")

    done: list[str] = []
    crew = Crew(ScriptedPool(), refuse, done.append, ahead=1, after="Ask the others")
    with pytest.raises(WorkError) as raised:
        crew.give("a")
    assert (str(raised.value), raised.value.exit_code) == ("a failed 3 times: ValueError: it is odd. Ask the others", 1)


def test_what_is_given_up_is_not_begun_and_of_what_goes_on_nothing_is_taken() -> None:
    pool = HoldingPool()
    crew, done, _ = crew_of(pool)
    for name in "ab":
        crew.give(name)
    assert pool.held[0].set_running_or_notify_cancel()
    crew.stop()
    assert [future.cancelled() for future in pool.held] == [False, True]
    assert not pool.held[1].set_running_or_notify_cancel()
    ending = Timer(0.05, pool.held[0].set_result, ["A"])
    ending.start()
    crew.end()
    assert (pool.held[0].result(0), done) == ("A", [])
    ending.join()


@pytest.mark.parametrize(
    ("names", "called"), [(["a"], "a"), (["a", "b"], "a and 1 more"), (["a", "b", "c"], "a and 2 more")]
)
def test_what_several_things_are_called(names: list[str], called: str) -> None:
    assert first_and_more(names) == called


@pytest.mark.parametrize("wrong", [{"dask": "tcp://h:1"}, {"redact": "rules.yaml"}])
def test_processes_do_not_go_with_a_cluster_or_with_redaction(wrong: dict[str, str]) -> None:
    with pytest.raises(SelectionError, match="--processes"):
        ExportOptions(processes=2, **wrong)  # type: ignore[arg-type]


def test_in_threads_the_first_error_is_raised_as_it_is() -> None:
    def refuse(name: str) -> str:
        raise ServerError("it is not there")

    pool = ThreadPool(1, "test")
    crew, done, _ = crew_of(pool, refuse)
    crew.give("a")
    with pytest.raises(ServerError, match="it is not there"):
        crew.wait()
    pool.close()
    assert done == []
