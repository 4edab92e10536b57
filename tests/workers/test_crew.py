"""What becomes of work whose worker dies, and of work that fails: each piece is done once, or the crew names it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from mlflow_archive.api.verbs import ExportOptions
from mlflow_archive.errors import SelectionError, ServerError
from mlflow_archive.workers.crew import Crew, WorkError
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


def crew_of(pool: Any, do: Callable[[str], str] = str.upper) -> tuple[Crew[str, str], list[str], list[str]]:
    done: list[str] = []
    told: list[str] = []
    return Crew(pool, do, done.append, ahead=3, tell=told.append), done, told


def test_each_piece_is_done_once() -> None:
    crew, done, told = crew_of(ScriptedPool())
    for name in "abcdef":
        crew.give(name)
    crew.wait()
    assert sorted(done) == ["A", "B", "C", "D", "E", "F"]
    assert told == []


@pytest.mark.parametrize("breaks", [False, True])
def test_work_whose_worker_dies_is_given_out_again(breaks: bool) -> None:
    pool = ScriptedPool({"b": 4, "d": 7}, breaks=breaks)
    crew, done, told = crew_of(pool)
    for name in "abcd":
        crew.give(name)
    crew.wait()
    assert sorted(done) == ["A", "B", "C", "D"]
    assert pool.tried == {"a": 1, "b": 5, "c": 1, "d": 8}
    assert sorted(told) == ["a worker died; b is given out again", "a worker died; d is given out again"]


@pytest.mark.parametrize(("weight", "tries"), [(1, 5 + 4), (4, 2 + 1)])
def test_work_that_kills_all_it_is_given_to_ends_with_its_name(weight: int, tries: int) -> None:
    pool = ScriptedPool({"b": 1000}, weight=weight)
    crew, done, _ = crew_of(pool)
    for name in "abc":
        crew.give(name)
    with pytest.raises(WorkError, match="b kills the workers that it is given to"):
        crew.wait()
    assert sorted(done) == ["A", "C"]
    assert pool.tried["b"] == tries


def test_work_that_fails_is_tried_three_times_and_keeps_its_exit_code() -> None:
    def refuse(name: str) -> str:
        if name == "b":
            raise ServerError("it is not there", status=500)
        return name

    pool = ScriptedPool()
    crew, done, _ = crew_of(pool, refuse)
    for name in "ab":
        crew.give(name)
    with pytest.raises(WorkError, match="b failed 3 times: ServerError: it is not there") as raised:
        crew.wait()
    assert (done, pool.tried["b"], raised.value.exit_code) == (["a"], 3, 13)


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
