"""What a worker keeps open: for one job, in each thread, until it fails or the job ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Thread

import pytest

from mlflow_archive.workers.kept import close_kept, keeping


class Opened:
    """Something open, which knows how often it was closed."""

    def __init__(self, token: str) -> None:
        self.token, self.closed = token, 0

    def close(self) -> None:
        self.closed += 1


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    """Nothing is open in this process before a test and behind it."""
    yield
    for token in ("a", "b", ""):
        close_kept(token)


def opened_by_task(token: str) -> Opened:
    with keeping(token, lambda: Opened(token)) as opened:
        assert opened.closed == 0
        return opened


def in_other_thread(do: Callable[[], object]) -> None:
    thread = Thread(target=do)
    thread.start()
    thread.join()


def test_tasks_of_one_job_have_the_same_open() -> None:
    first = opened_by_task("a")
    assert opened_by_task("a") is first
    assert (first.token, first.closed) == ("a", 0)


def test_the_task_of_another_job_closes_what_was_open_before() -> None:
    first = opened_by_task("a")
    second = opened_by_task("b")
    assert (second.token, first.closed, second.closed) == ("b", 1, 0)
    assert opened_by_task("b") is second
    assert opened_by_task("a") is not first
    assert (first.closed, second.closed) == (1, 1)


def test_the_one_before_is_closed_before_the_next_is_opened() -> None:
    def missing() -> Opened:
        assert first.closed == 1
        raise FileNotFoundError

    first = opened_by_task("a")
    with pytest.raises(FileNotFoundError), keeping("b", missing):
        pass
    assert opened_by_task("a") is not first
    assert first.closed == 1


def test_what_a_task_fails_with_is_closed_and_opened_anew() -> None:
    first = opened_by_task("a")
    with pytest.raises(KeyboardInterrupt), keeping("a", lambda: Opened("a")):
        raise KeyboardInterrupt
    assert first.closed == 1
    assert opened_by_task("a") is not first
    assert first.closed == 1


def test_each_thread_has_its_own_and_the_end_of_a_job_closes_those_of_all() -> None:
    found: list[Opened] = []
    mine = opened_by_task("a")
    in_other_thread(lambda: found.append(opened_by_task("a")))
    in_other_thread(lambda: found.append(opened_by_task("b")))
    assert close_kept("a") == ""
    assert [opened.closed for opened in (mine, *found)] == [1, 1, 0]
    assert close_kept("a") == ""
    assert [opened.closed for opened in (mine, *found)] == [1, 1, 0]
    assert opened_by_task("a") is not mine
    assert close_kept("b") == ""
    assert found[1].closed == 1


def test_what_the_end_of_a_job_closed_under_a_task_is_not_closed_twice() -> None:
    def fail(opened: Opened) -> None:
        close_kept(opened.token)
        raise ConnectionError

    first = opened_by_task("a")
    with pytest.raises(ConnectionError), keeping("a", lambda: Opened("a")) as opened:
        fail(opened)
    assert (opened, first.closed) == (first, 1)
