"""What waits comes out in the order in which it came, once, also where several threads bring it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from mlflow_archive.sinks.replay.writing.waiting import Waiting


def test_order_and_once() -> None:
    waiting = Waiting[str, int]()
    for need, work in (("b", 1), ("a", 2), ("b", 3)):
        waiting.add(need, work)
    assert (waiting.needs(), waiting.of("b"), waiting.of("c")) == (["b", "a"], (1, 3), ())
    assert list(waiting.pop("a")) == [2]
    assert list(waiting.pop("a")) == []
    assert waiting.pop_all() == [("b", 1), ("b", 3)]
    assert (waiting.needs(), waiting.pop_all()) == ([], [])


def test_threads_lose_nothing() -> None:
    waiting = Waiting[int, int]()
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: waiting.add(number % 3, number), range(3000)))
    assert sorted(work for _, work in waiting.pop_all()) == list(range(3000))
