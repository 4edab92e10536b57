"""Exports of a source in memory by workers: threads that get only what can be sent, forks that are killed, Dask."""

from __future__ import annotations

import os
import pickle
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from mlflow_archive.api.sharing_out import export_by_workers
from mlflow_archive.flow.chunk import Shard
from mlflow_archive.flow.report import Progress, Quiet, Report
from mlflow_archive.format.location import archive_place
from mlflow_archive.workers.pools import Pool, ProcessPool, ThreadPool
from mlflow_archive.writer.export import ArchiveOptions, ArchiveSink
from tests.support.memory_source import START_MS, MemoryOptions, MemorySource


class SharedMemorySource(MemorySource):
    """A source in memory that others read, too."""

    has_moment = True

    def lend(self, folder: Path | None = None) -> None:
        """Lend nothing: all that it gives follows from its options."""

    def borrow(self, lent: object) -> None:
        """Need nothing."""

    def ready(self, shard: Shard) -> Shard:
        return shard

    def take_findings(self) -> list[str]:
        """Return the ids of the runs that were read."""
        given, self.given = self.given, []
        return given

    def add_findings(self, findings: object) -> None:
        assert isinstance(findings, list)
        self.given += findings


@dataclass(frozen=True)
class MemoryAt:
    """What opens one, as ``SourceAt`` does; ``source`` is its class."""

    options: MemoryOptions
    source: type[SharedMemorySource] = SharedMemorySource

    def open(self, progress: Progress) -> SharedMemorySource:
        return self.source(self.options)


class SendingPool(ThreadPool):
    """Threads that get work as other processes do, and whose results come back so."""

    sends = True

    def __init__(self, size: int) -> None:
        super().__init__(size, "worker")

    def submit(self, function: Callable[[Any], Any], work: object) -> Future[Any]:
        return super().submit(_sent, pickle.dumps((function, work)))

    def everywhere(self, function: Callable[[Any], str], work: object) -> list[str]:
        return [function(work)]


def _sent(call: bytes) -> object:
    function, work = pickle.loads(call)  # noqa: S301 - written here
    done: object = pickle.loads(pickle.dumps(function(work)))  # noqa: S301 - written here
    return done


class ForkPool(ProcessPool):
    """Processes that begin with all that is imported here. ``kill`` ends one of them at once."""

    def _new(self) -> Executor:
        return ProcessPoolExecutor(self.size, mp_context=get_context("fork"))

    def kill(self, draw: random.Random) -> bool:
        """Kill a worker, if there is one; say so."""
        processes = list((getattr(self._executor, "_processes", None) or {}).values())
        for process in draw.sample(processes, len(processes)):
            if process.is_alive() and process.pid is not None:
                os.kill(process.pid, signal.SIGKILL)
                return True
        return False


def export_by(
    path: Path | str,
    pool: Pool,
    options: MemoryOptions | None = None,
    *,
    append: bool = False,
    progress: Progress | None = None,
    source: SharedMemorySource | None = None,
    read_as: type[SharedMemorySource] = SharedMemorySource,
) -> Report:
    """Export a memory source to an archive by the workers of a pool, who read it as a class of their own."""
    at, listener = MemoryAt(options or MemoryOptions(), read_as), progress or Quiet()
    sink = ArchiveSink(
        archive_place(path), ArchiveOptions(append=append), tool="test 1", clock_ms=lambda: START_MS, progress=listener
    )
    return export_by_workers(at, source or at.open(listener), sink, None, pool, listener)  # type: ignore[arg-type]


@contextmanager
def killing(
    kill: Callable[[random.Random], bool], *, kills: int, every_seconds: float, seed: int
) -> Iterator[list[int]]:
    """Kill workers at random moments while the block runs, so many at most; the list counts them."""
    draw, done, over = random.Random(seed), [0], threading.Event()  # noqa: S311 - values that repeat

    def run() -> None:
        while done[0] < kills and not over.wait(draw.uniform(0.2, 1.8) * every_seconds):
            done[0] += kill(draw)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield done
    finally:
        over.set()
        thread.join()


class DaskWorkers:
    """So many worker processes of a scheduler; one that is killed is started anew, at whatever moment that was."""

    def __init__(self, address: str, number: int) -> None:
        words = ["distributed.cli.dask_worker", address, "--no-nanny", "--no-dashboard", "--nthreads", "1"]
        self._command = [sys.executable, "-W", "ignore", "-m", *words]
        self._running = [self._start() for _ in range(number)]

    def _start(self) -> subprocess.Popen[bytes]:
        place = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
        return subprocess.Popen(self._command, env=place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill(self, draw: random.Random) -> bool:
        """Kill one and start another."""
        number = draw.randrange(len(self._running))
        self._running[number].kill()
        self._running[number].wait()
        self._running[number] = self._start()
        return True

    def close(self) -> None:
        """Kill all."""
        for process in self._running:
            process.kill()
            process.wait()
