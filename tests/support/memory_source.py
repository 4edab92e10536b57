"""A source in memory: a made-up tracking server whose every value follows from its options.

Two sources with equal options give equal data; ``changed`` and ``runs`` make the server of a later day. The same
run comes with the same bytes, whatever the order of shards and the number of threads.
"""

from __future__ import annotations

import hashlib
import io
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pytest

from mlflow_archive.errors import NotAnArchiveError
from mlflow_archive.flow.chunk import ArtifactFile, ArtifactUnreadableError, Chunk, Known, Shard
from mlflow_archive.flow.copy import copy
from mlflow_archive.flow.report import Progress, Report
from mlflow_archive.flow.source import SourceFacts
from mlflow_archive.kinds import RUN, TABLES
from mlflow_archive.reader.archive import Archive, open_archive
from mlflow_archive.reader.blobs import Blobs
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.storage.files import Files
from mlflow_archive.writer.export import ArchiveOptions, ArchiveSink

START_MS = 1_760_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryOptions:
    """What the server holds. Runs are known by number; the id of run 3 is ``run_id(3)``.

    ``sizes`` are those of each run's artifacts in turn, in bytes; files of runs with the same ``number % distinct``
    are equal. ``gaps`` are runs with one unreadable artifact, ``changed`` runs that were touched since, ``long`` runs
    whose history comes in several chunks of 100 points. ``pause_seconds`` is slept before each chunk.
    """

    runs: int = 12
    points: int = 4
    sizes: tuple[int, ...] = (300, 0)
    distinct: int = 1_000_000
    gaps: frozenset[int] = frozenset()
    changed: frozenset[int] = frozenset()
    long: frozenset[int] = frozenset()
    experiment_tags: Mapping[str, str] = field(default_factory=lambda: {"team": "vision"})
    runs_per_shard: int = 3
    shuffle: int | None = None
    pause_seconds: float = 0.0


def run_id(number: int) -> str:
    """Return the id of a run; ids are in no order."""
    return hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest()


def experiment_id(number: int) -> str:
    """Return the experiment of a run: every third run is in the second one."""
    return "2" if number % 3 == 2 else "1"


class MemorySource:
    """Gives what the options say. ``given`` collects the ids of the runs that were really read."""

    def __init__(self, options: MemoryOptions) -> None:
        self.options = options
        self.given: list[str] = []

    def facts(self) -> SourceFacts:
        return SourceFacts(kind="memory", uri="memory://test", mlflow_version="3.17.2")

    def plan(self, selection: Selection, progress: Progress) -> Iterator[Shard]:
        yield Shard(name="experiments")
        step = self.options.runs_per_shard
        shards = [range(at, min(at + step, self.options.runs)) for at in range(0, self.options.runs, step)]
        if self.options.shuffle is not None:
            random.Random(self.options.shuffle).shuffle(shards)  # noqa: S311 - values that repeat
        for numbers in shards:
            yield Shard(name=f"runs {numbers}", weight=len(numbers), payload=numbers)

    def read(self, shard: Shard, known: Known) -> Iterator[Chunk]:
        if not isinstance(shard.payload, range):
            yield self._experiments()
            return
        wanted = [n for n in shard.payload if known(RUN, run_id(n)) != self._fingerprint(n)]
        self.given += [run_id(number) for number in wanted]
        time.sleep(self.options.pause_seconds)
        for number in [number for number in wanted if number in self.options.long]:
            yield from self._long(number)
        yield self._runs([number for number in wanted if number not in self.options.long])

    def close(self) -> None:
        """Hold nothing."""

    def _experiments(self) -> Chunk:
        experiments: list[dict[str, Any]] = [
            {"experiment_id": "1", "name": "digits", "lifecycle_stage": "active", "creation_time": START_MS},
            {"experiment_id": "2", "name": "Größe/п #2", "lifecycle_stage": "deleted"},
        ]
        tags = [{"experiment_id": "1", "key": k, "value": v} for k, v in self.options.experiment_tags.items()]
        return Chunk(tables=rows_to_tables({"experiments": experiments, "experiment_tags": tags}))

    def _fingerprint(self, number: int) -> str:
        return hashlib.sha256(f"f{number}-{number in self.options.changed}".encode()).hexdigest()

    def _runs(self, numbers: list[int]) -> Chunk:
        rows: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES}
        for number in numbers:
            self._add_run(rows, number)
            rows["metrics"] += self._points(number, 0, self.options.points)
            rows["fingerprints"].append(self._fingerprint_row(number))
        return Chunk(tables=rows_to_tables(rows), artifacts=[f for n in numbers for f in self._artifacts(n)])

    def _long(self, number: int) -> Iterator[Chunk]:
        rows: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES}
        self._add_run(rows, number)
        yield Chunk(tables=rows_to_tables(rows), artifacts=self._artifacts(number), complete=False)
        for at in range(0, self.options.points, 100):
            points = self._points(number, at, min(at + 100, self.options.points))
            yield Chunk(tables=rows_to_tables({"metrics": points}), complete=False)
        yield Chunk(tables=rows_to_tables({"fingerprints": [self._fingerprint_row(number)]}))

    def _fingerprint_row(self, number: int) -> dict[str, Any]:
        return {"owner_id": run_id(number), "owner_kind": RUN, "fingerprint": self._fingerprint(number)}

    def _add_run(self, rows: dict[str, list[dict[str, Any]]], number: int) -> None:
        run, changed = run_id(number), number in self.options.changed
        rows["runs"].append(
            {
                "run_id": run,
                "experiment_id": experiment_id(number),
                "run_name": f"run {number}",
                "status": "FINISHED",
                "start_time": START_MS + number,
                "lifecycle_stage": "active",
            }
        )
        rows["params"] += [{"run_id": run, "key": "lr", "value": str(number / 7)}]
        rows["tags"] += [{"run_id": run, "key": "touched", "value": str(changed)}]
        if changed:
            rows["tags"] += [{"run_id": run, "key": "new", "value": "yes"}]
        rows["datasets"].append(
            {
                "experiment_id": experiment_id(number),
                "name": "iris",
                "digest": "d1",
                "source_type": "local",
                "source": "{}",
            }
        )
        rows["dataset_inputs"].append({"run_id": run, "dataset_name": "iris", "dataset_digest": "d1"})

    def _points(self, number: int, low: int, high: int) -> list[dict[str, Any]]:
        odd = {0: float("nan"), 1: float("inf"), 2: -0.0}
        return [
            {
                "run_id": run_id(number),
                "key": "loss",
                "step": step - 1,
                "timestamp": START_MS + step * 1000 + number,
                "value": odd.get(step, random.Random(number * 1_000_003 + step).random()),  # noqa: S311 - values that repeat
            }
            for step in range(low, high)
        ]

    def _artifacts(self, number: int) -> list[ArtifactFile]:
        files = [
            self._artifact(number, f"model/file {index}.bin", size) for index, size in enumerate(self.options.sizes)
        ]
        if number in self.options.gaps:
            files.append(_file(number, "lost.bin", 5, _unreadable))
        return files

    def _artifact(self, number: int, path: str, size: int) -> ArtifactFile:
        seed = f"{number % self.options.distinct}/{path}/{number in self.options.changed}"

        @contextmanager
        def opened() -> Iterator[BinaryIO]:
            yield io.BytesIO(artifact_bytes(seed, size))

        return _file(number, path, size, opened)


def artifact_bytes(seed: str, size: int) -> bytes:
    """Return bytes that follow from a seed: half noise, half text, so that frames compress a little."""
    noise = random.Random(seed).randbytes((size + 1) // 2)  # noqa: S311 - values that repeat
    return (noise + b"a line of text\n" * (size // 30 + 1))[:size]


@contextmanager
def _unreadable() -> Iterator[BinaryIO]:
    if io.DEFAULT_BUFFER_SIZE:  # always: a generator that only raises would be no generator
        raise ArtifactUnreadableError("the server answers 500 for this file", code="G102")
    yield io.BytesIO()


def _file(number: int, path: str, size: int, opened: Callable[[], Any]) -> ArtifactFile:
    return ArtifactFile(owner_kind=RUN, owner_id=run_id(number), path=path, size=size, open=opened)


def rows_to_tables(rows: Mapping[str, list[dict[str, Any]]]) -> dict[str, pa.Table]:
    """Make tables of the format's schemas; a name without rows is left out."""
    return {name: pa.Table.from_pylist(found, schema=TABLES[name].schema) for name, found in rows.items() if found}


def export(
    path: Path,
    options: MemoryOptions | None = None,
    *,
    append: bool = False,
    jobs: int = 2,
    seal_seconds: float = 15.0,
    files: Files | None = None,
    source: MemorySource | None = None,
) -> Report:
    """Export a memory source to an archive."""
    source = source or MemorySource(options or MemoryOptions())
    sink = ArchiveSink(
        path,
        ArchiveOptions(append=append, seal_seconds=seal_seconds, jobs=jobs),
        tool="test 1",
        clock_ms=lambda: START_MS,
        files=files,
    )
    return copy(source, sink, jobs=jobs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What an archive holds, without where its blobs lie: rows as text, sorted, and the bytes of each artifact."""

    rows: dict[str, list[str]]
    artifacts: dict[tuple[str, str], str]


def content(archive: Archive, owners: list[str] | None = None) -> Content:
    """Read everything (of some owners), every blob to its end."""
    rows = {
        name: sorted(repr(sorted(row.items())) for row in archive.table(name, owners=owners).to_pylist())
        for name in TABLES
        if name != "blobs"
    }
    blobs, artifacts = Blobs(archive), {}
    for row in archive.table("artifacts", owners=owners).to_pylist():
        with blobs.open(row["digest"]) as stream:
            data = stream.read()
        assert len(data) == row["size"]
        artifacts[row["owner_id"], row["path"]] = hashlib.sha256(data).hexdigest()
    return Content(rows=rows, artifacts=artifacts)


def content_of(path: Path) -> Content:
    """Read everything of the archive at a path."""
    with open_archive(path) as archive:
        return content(archive)


def interrupted_export(path: Path, options: MemoryOptions | None = None, *, append: bool = False) -> None:
    """Export, sealing every chunk, and stop before the end."""

    class Stopping(MemorySource):
        def plan(self, selection, progress):  # type: ignore[no-untyped-def]
            yield from super().plan(selection, progress)
            message = "stopped"
            raise InterruptedError(message)

    with pytest.raises(InterruptedError):
        export(path, source=Stopping(options or MemoryOptions()), append=append, seal_seconds=0, jobs=1)


def archive_id(path: Path) -> str | None:
    """Return the id of the archive at a path, None where there is none."""
    try:
        with open_archive(path) as archive:
            return archive.id
    except NotAnArchiveError:
        return None
