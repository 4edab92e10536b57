"""The one loop: from a source, through a bounded pool of workers, to a sink.

Export is a copy from a server to an archive, import one from an archive to a server. Memory does not grow with
the source, as only twice as many shards are planned ahead as there are workers, and each holds one chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from threading import Event

import pyarrow as pa

from mlflow_archive.flow.chunk import Chunk, Known, Shard
from mlflow_archive.flow.report import Progress, Quiet, Report
from mlflow_archive.flow.sink import Sink
from mlflow_archive.flow.source import Source
from mlflow_archive.kinds import KINDS
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.workers.crew import Crew
from mlflow_archive.workers.pools import ThreadPool


def copy(
    source: Source,
    sink: Sink,
    selection: Selection | None = None,
    *,
    jobs: int = 4,
    progress: Progress | None = None,
) -> Report:
    """Copy what is selected and commit it; close the source.

    Raises whatever source or sink raise, after ``sink.abort()``; nothing is committed then.
    """
    selection = selection or Selection()
    progress = progress or Quiet()
    with closing(source):
        try:
            known = sink.begin(source.facts(), selection)
            _run(source, sink, known, source.plan(selection, progress), jobs, progress)
        except BaseException:
            sink.abort()
            raise
        return sink.finish()


def _run(source: Source, sink: Sink, known: Known, shards: Iterator[Shard], jobs: int, progress: Progress) -> None:
    stop = Event()

    def work(shard: Shard) -> None:
        for chunk in chunks_of(source, shard, known):
            if stop.is_set():
                return
            sink.write(chunk)
            del chunk
        _give_back()
        progress.advance(KINDS[shard.kind].plural, shard.weight)

    with closing(ThreadPool(jobs, "copy")) as pool:
        crew: Crew[Shard, None] = Crew(pool, work, lambda done: None, ahead=2 * jobs)
        try:
            by_stages(shards, crew.give, crew.wait)
        except BaseException:
            stop.set()
            crew.stop()
            raise


def by_stages(shards: Iterator[Shard], give: Callable[[Shard], None], wait: Callable[[], None]) -> None:
    """Give each shard out, those of a stage when all before are done, and wait for the last."""
    stage = 0
    for shard in shards:
        if shard.stage != stage:
            wait()
            stage = shard.stage
        give(shard)
        _give_back()
    wait()


def chunks_of(source: Source, shard: Shard, known: Known) -> Iterator[Chunk]:
    """Yield the chunks of a shard of a source's plan."""
    if isinstance(shard.payload, Chunk):
        yield shard.payload
    elif callable(shard.payload):
        yield from shard.payload()
    else:
        yield from source.read(shard, known)


def _give_back() -> None:
    """Give back what Arrow's allocator keeps for this thread, which else stays at the most it ever held."""
    pa.default_memory_pool().release_unused()
