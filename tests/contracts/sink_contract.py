"""What every sink does, whatever it writes: nothing is final before ``finish``; several threads may bring chunks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mlflow_archive.errors import StoreError
from mlflow_archive.flow.chunk import Chunk, Known, Shard
from mlflow_archive.flow.copy import copy
from mlflow_archive.flow.report import Report
from mlflow_archive.flow.sink import Sink
from tests.support.chunks import ChunkSource, artifact, chunk, experiment, pairs, points, run

RUNS = tuple(f"{number:032x}" for number in range(1, 9))
LONG = "f" * 32


class Failing(ChunkSource):
    """A source that cannot be read further than its last shard's first chunk."""

    def read(self, shard: Shard, known: Known) -> Iterator[Chunk]:
        for number, each in enumerate(super().read(shard, known)):
            if number and shard.stage == 2:
                raise StoreError("the disk is gone")
            yield each


class SinkContract:
    """Inherit and implement the four methods; ``made`` gives a new sink for the same place, under the same name."""

    def made(self) -> Sink:
        raise NotImplementedError

    def name(self) -> str:
        """Return the name for the experiment."""
        raise NotImplementedError

    def points(self) -> dict[str, int] | None:
        """Return the complete runs by source id with their number of points; None where nothing is kept."""
        raise NotImplementedError

    def source(self, kind: type[ChunkSource] = ChunkSource) -> ChunkSource:
        first = chunk(experiments=[experiment("7", self.name())])
        shards = [(1, [self.of(run_id)]) for run_id in RUNS]
        long = [
            chunk(complete=False, runs=[run(LONG, "7")], metrics=points(LONG, "loss", [0.0, 1.0])),
            chunk(complete=False, metrics=points(LONG, "acc", [2.0, 3.0])),
            chunk(metrics=points(LONG, "last", [4.0])),
        ]
        return kind((0, [first]), *shards, (2, long))

    def of(self, run_id: str) -> Chunk:
        files = [artifact(run_id, "a b.txt", run_id.encode()), artifact(run_id, "empty", b"")]
        return chunk(
            files, runs=[run(run_id, "7")], params=pairs(run_id, {"p": "1"}), metrics=points(run_id, "m", [1.0])
        )

    @pytest.mark.parametrize("jobs", [1, 4])
    def test_all_that_was_written_is_there_after_finish(self, jobs: int) -> None:
        report = copy(self.source(), self.made(), jobs=jobs)
        assert report.gaps == []
        assert self.count(report) == len(RUNS) + 1
        assert self.points() in (None, {**dict.fromkeys(RUNS, 1), LONG: 5})

    def count(self, report: Report) -> int:
        return report.counts["runs"]

    def test_an_error_of_the_source_leaves_nothing_complete(self) -> None:
        """A run of which a later chunk never came is not complete."""
        with pytest.raises(StoreError, match="the disk is gone"):
            copy(self.source(Failing), self.made(), jobs=2)
        assert LONG not in (self.points() or {})

    def test_what_was_cut_off_is_completed_by_the_next_copy(self) -> None:
        with pytest.raises(StoreError):
            copy(self.source(Failing), self.made(), jobs=2)
        report = copy(self.source(), self.made(), jobs=2)
        assert report.gaps == []
        assert self.points() in (None, {**dict.fromkeys(RUNS, 1), LONG: 5})

    def test_abort_without_begin_is_allowed(self) -> None:
        """The source may fail at its first contact, before the sink is told anything."""
        self.made().abort()
        assert not self.points()
