"""`make bench-scale RUNS=30000`: what so many runs of 1,000 points each cost, step by step, and the disk they need.

The runs are made while they are read: that takes a part of the time. `export` is until the last row is staged,
`merge` what follows; memory is the highest of each whole process, workers counted alone. With `RECORD=FILE` the figures
are kept, and `python -m bench.scale --price FILE…` says what a million runs cost by several such files.
"""

from __future__ import annotations

import argparse
import array
import hashlib
import json
import os
import random
import resource
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import pyarrow as pa
from bench.many_runs import ManyRuns
from bench.measuring import Measured, measure, tool
from bench.scale_price import POINTS, Record, price

from mlflow_archive.api.sharing_out import export_by_workers
from mlflow_archive.flow.chunk import Chunk, Known, Shard
from mlflow_archive.flow.copy import copy
from mlflow_archive.flow.report import Progress, Quiet, Report
from mlflow_archive.kinds import TABLES
from mlflow_archive.workers.pools import ProcessPool
from mlflow_archive.writer.export import ArchiveOptions, ArchiveSink

KEYS = 10
_LOOK_SECONDS = 0.5
BYTES_OF_POINT = 30
"""A quarter more than 24.1: rows as they are staged, once more where they are many, and sorted parts beside them."""


class ManyPoints(ManyRuns):
    """Runs of 1,000 points each, in ten metrics of random values; others read it, too."""

    has_moment = True

    def read(self, shard: Shard, known: Known) -> Iterator[Chunk]:
        for chunk in super().read(shard, known):
            if "runs" not in chunk.tables:
                yield chunk
                continue
            run_ids = [run_id for run_id in chunk.tables["runs"]["run_id"].to_pylist() if known("run", run_id) is None]
            keep = pa.array(run_ids, pa.string())
            tables = {name: rows.filter(pa.compute.is_in(rows["run_id"], keep)) for name, rows in chunk.tables.items()}
            prints = [{"owner_kind": "run", "owner_id": run_id, "fingerprint": run_id} for run_id in run_ids]
            tables |= {"metrics": points_of(run_ids)}
            tables |= {"fingerprints": pa.Table.from_pylist(prints, schema=TABLES["fingerprints"].schema)}
            files = [file for file in chunk.artifacts if file.owner_id in set(run_ids)]
            yield Chunk(tables=tables, artifacts=files)

    def lend(self, folder: Path | None = None) -> None:
        """Lend nothing."""

    def borrow(self, lent: object) -> None:
        """Need nothing."""

    def ready(self, shard: Shard) -> Shard:
        return shard

    def take_findings(self) -> None:
        """Find nothing."""

    def add_findings(self, findings: object) -> None:
        """Learn nothing."""


def points_of(run_ids: list[str]) -> pa.Table:
    """Return 1,000 points of each run."""
    steps = POINTS // KEYS
    number = len(run_ids) * POINTS
    draw = random.Random(run_ids[0] if run_ids else "")  # noqa: S311 - values that repeat
    columns = {
        "run_id": pa.array(run_ids, pa.string()).take(pa.array([n // POINTS for n in range(number)], pa.int64())),
        "key": pa.array([f"metric {key}" for key in range(KEYS)]).take(
            pa.array([n // steps % KEYS for n in range(number)], pa.int64())
        ),
        "value": pa.array(array.array("d", (draw.random() for _ in range(number)))),
        "step": pa.array([n % steps for n in range(number)], pa.int64()),
        "timestamp": pa.array([1_760_000_000_000 + n % steps for n in range(number)], pa.int64()),
    }
    schema = TABLES["metrics"].schema
    arrays = [
        columns[field.name].cast(field.type) if field.name in columns else pa.nulls(number, field.type)
        for field in schema
    ]
    return pa.table(arrays, schema=schema)


@dataclass(frozen=True)
class ManyPointsAt:
    """What opens them in a worker."""

    runs: int

    def open(self, progress: Progress) -> ManyPoints:
        return ManyPoints(self.runs)


class TimedSink(ArchiveSink):
    """Says when the merge begins."""

    began = 0.0

    def finish(self) -> Report:
        self.began = time.perf_counter()
        self.peak_mb = peak_mb()
        return super().finish()


class Room:
    """The most bytes that the files below a folder took while the block ran, looked at every few seconds."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._over = folder, threading.Event()
        self.most = 0
        self._thread = threading.Thread(target=self._look)

    def _look(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            self.most = max(self.most, bytes_below(self._folder))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def bytes_below(folder: Path) -> int:
    """Return how many bytes the files below a folder have, while others come and go."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                total += Path(place, name).stat().st_size
    return total


def peak_mb() -> float:
    """Return the most memory that this process had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def write(path: Path, runs: int, processes: int, *, append: bool) -> None:
    """Export, and print times in seconds and memory in MB of both halves as JSON."""
    sink = TimedSink(path, ArchiveOptions(append=append, jobs=2), tool="bench", clock_ms=lambda: 1_760_000_000_000)
    started = time.perf_counter()
    with Room(path) as room:
        if processes:
            at = ManyPointsAt(runs)
            export_by_workers(at, at.open(Quiet()), sink, None, ProcessPool(processes), Quiet())  # type: ignore[arg-type]
        else:
            copy(ManyPoints(runs), sink, jobs=2)
    ended = time.perf_counter()
    workers = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(
        json.dumps(
            {
                "export": [sink.began - started, sink.peak_mb],
                "merge": [ended - sink.began, peak_mb()],
                "worker": [0, workers],
                "room": [0, room.most],
            }
        )
    )


def say(step: str, seconds: float, megabytes: float) -> None:
    print(f"{step:<10} {seconds:10.1f} s {megabytes:10.0f} MB", flush=True)


def written(command: list[object]) -> dict[str, list[float]]:
    result: dict[str, list[float]] = json.loads(measure(command).output.splitlines()[-1])
    return result


def run(folder: Path, runs: int, processes: int) -> Record:
    """Measure all steps."""
    archive = folder / "scale"
    script = [sys.executable, "-m", "bench.scale", "--write", archive, "--processes", processes]
    steps = written([*script, "--runs", runs])
    most, size = int(steps.pop("room")[1]), bytes_below(archive)
    if not processes:
        del steps["worker"]
    for step, (seconds, megabytes) in steps.items():
        say(step, seconds, megabytes)
    print(f"archive    {size:,} bytes, {size / runs / POINTS:.1f} a point", flush=True)
    print(f"disk       {most:,} bytes at most, {most / runs / POINTS:.1f} a point", flush=True)
    run_id = hashlib.md5(b"0", usedforsecurity=False).hexdigest()
    commands: dict[str, list[object]] = {
        "verify": tool("verify", archive, "-q"),
        "info": tool("info", archive),
        "ls": tool("ls", archive, "runs"),
        "show": tool("show", archive, run_id),
    }
    for step, command in commands.items():
        measured: Measured = measure(command)
        steps[step] = [measured.seconds, measured.peak_mb]
        say(step, *steps[step])
    more = written([*script, "--append", "--runs", runs + runs // 100])
    steps["append 1 %"] = [more["export"][0] + more["merge"][0], more["merge"][1]]
    say("append 1 %", *steps["append 1 %"])
    return Record(runs=runs, processes=processes, steps=steps, archive_bytes=size, most_bytes=most)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--processes", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--write", type=Path, default=None)
    parser.add_argument("--append", action="store_true")
    parser.add_argument("--record", type=Path, default=None)
    parser.add_argument("--price", type=Path, nargs="+", default=None)
    asked = parser.parse_args()
    if asked.price is not None:
        try:
            print(price([Record.read(path) for path in asked.price]))
        except ValueError as error:
            sys.exit(str(error))
        return
    if asked.write is not None:
        write(asked.write, asked.runs, asked.processes, append=asked.append)
        return
    place = asked.folder or Path(tempfile.gettempdir())
    needed, free = asked.runs * POINTS * BYTES_OF_POINT, shutil.disk_usage(place).free
    print(
        f"{asked.runs:,} runs, {asked.runs * POINTS:,} points: about {needed / 1e9:.1f} GB of disk in {place}",
        flush=True,
    )
    if free < needed:
        sys.exit(f"{place} has {free / 1e9:.1f} GB free; name another folder with FOLDER=")
    with tempfile.TemporaryDirectory(dir=place) as folder:
        record = run(Path(folder), asked.runs, asked.processes)
    if asked.record is not None:
        asked.record.write_text(json.dumps(asdict(record), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
