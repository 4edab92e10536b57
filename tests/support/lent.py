"""Read the shards of one source's plan by others of the same place, as other processes do."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import cycle
from typing import TypeVar

from mlflow_archive.flow.chunk import Chunk, Known, Shard
from mlflow_archive.flow.report import Progress
from mlflow_archive.flow.source import SharedSource, SourceFacts
from mlflow_archive.selecting.selection import Selection


class ReadByOthers:
    """A source that plans, and has its shards read in turn by ``others`` that know only what can be sent to them."""

    def __init__(self, make: Callable[[], SharedSource], others: int = 2) -> None:
        self._planner = make()
        self._make, self._number = make, others
        self._others: list[SharedSource] = []
        self._turns: Iterator[SharedSource] = iter(())

    def facts(self) -> SourceFacts:
        return self._planner.facts()

    def plan(self, selection: Selection, progress: Progress) -> Iterator[Shard]:
        return self._planner.plan(selection, progress)

    def read(self, shard: Shard, known: Known) -> Iterator[Chunk]:
        if not self._others:
            self._others = [self._make() for _ in range(self._number)]
            self._turns = cycle(self._others)
            for other in self._others:
                other.borrow(sent(self._planner.lend()))
        other = next(self._turns)
        yield from other.read(sent(self._planner.ready(shard)), known)
        self._planner.add_findings(sent(other.take_findings()))

    def close(self) -> None:
        for source in (*self._others, self._planner):
            with closing(source):
                pass


T = TypeVar("T")


def sent(value: T) -> T:
    """Return what arrives in another process."""
    received: T = pickle.loads(pickle.dumps(value))  # noqa: S301 - written here
    return received
