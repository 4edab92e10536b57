"""Each chunk of a replay goes to the writers of its kinds, and to no other."""

from __future__ import annotations

import pytest

import mlflow_archive.sinks.replay.sink
from mlflow_archive.flow.chunk import Chunk
from mlflow_archive.kinds import ISSUE, RUN, TRACE
from mlflow_archive.sinks.replay import ReplaySink
from mlflow_archive.sinks.replay.target.nothing_there import nothing_there
from mlflow_archive.sinks.replay.writing.kind_writer import KindWriter
from tests.support.chunks import artifact, run, table


class Recorder(KindWriter):
    """Keeps the names of its calls."""

    def __init__(self, *kinds: str) -> None:
        self.kinds = kinds
        self.calls: list[str] = []

    def write(self, chunk: Chunk) -> None:
        self.calls.append("write")

    def finish(self) -> None:
        self.calls.append("finish")

    def delete(self) -> None:
        self.calls.append("delete")

    def after_deletion(self) -> None:
        self.calls.append("after deletion")


@pytest.fixture
def writers() -> tuple[Recorder, Recorder]:
    return Recorder(RUN), Recorder(TRACE, ISSUE)


@pytest.fixture
def sink(writers: tuple[Recorder, Recorder], monkeypatch: pytest.MonkeyPatch) -> ReplaySink:
    monkeypatch.setattr(mlflow_archive.sinks.replay.sink, "kind_writers", lambda context, progress: writers)
    return ReplaySink(nothing_there("http://nowhere"))


def test_a_chunk_goes_to_the_writers_of_its_rows_and_artifacts(
    sink: ReplaySink, writers: tuple[Recorder, Recorder]
) -> None:
    of_runs, of_traces = writers
    sink.write(Chunk(tables={"runs": table("runs", [run("1" * 32, "1")]), "traces": table("traces", [])}))
    assert (of_runs.calls, of_traces.calls) == (["write"], [])
    sink.write(Chunk(tables={}, artifacts=[artifact("tr-1", "traces.json", b"{}", kind="trace")]))
    assert (of_runs.calls, of_traces.calls) == (["write"], ["write"])


def test_the_last_chunk_of_a_shard_goes_to_all_writers_that_the_shard_had(
    sink: ReplaySink, writers: tuple[Recorder, Recorder]
) -> None:
    """A run that came in several chunks ends with it, though it may hold nothing of that run."""
    of_runs, of_traces = writers
    sink.write(Chunk(tables={"runs": table("runs", [run("1" * 32, "1")])}, complete=False))
    sink.write(Chunk(tables={}))
    assert (of_runs.calls, of_traces.calls) == (["write", "write"], [])
    sink.write(Chunk(tables={}))
    assert of_runs.calls == ["write", "write"]


def test_each_writer_finishes_once(sink: ReplaySink, writers: tuple[Recorder, Recorder]) -> None:
    sink.finish()
    assert [writer.calls for writer in writers] == [["finish", "delete", "after deletion"]] * 2
