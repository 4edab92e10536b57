"""Laws of the writer: what goes in comes out, in whatever order and by however many threads it came."""

from __future__ import annotations

import io
import multiprocessing
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlflow_archive.errors import TargetError
from mlflow_archive.flow.chunk import Shard
from mlflow_archive.flow.report import Progress
from mlflow_archive.kinds import TABLES
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.storage.files import Files
from mlflow_archive.storage.growing import GrowingFiles
from mlflow_archive.verification.checks import verify
from mlflow_archive.writer import packs
from mlflow_archive.writer.coded import sort_rows
from mlflow_archive.writer.merge import in_parts, memory_piece, merged, slices
from mlflow_archive.writer.packs import BlobChangedError, FrameBuilder, PackWriter
from mlflow_archive.writer.scratch import Scratch
from tests.support.memory_source import (
    MemoryOptions,
    MemorySource,
    content,
    content_of,
    export,
    rows_to_tables,
    run_id,
)

MIB = 1024 * 1024
few = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


def _parts(path: Path) -> dict[str, bytes]:
    return {p.relative_to(path).as_posix(): p.read_bytes() for p in path.rglob("*.parquet") if p.parent.name != "blobs"}


@pytest.mark.parametrize(("jobs", "shuffle"), [(1, 7), (4, 8), (3, None)])
def test_order_and_threads_do_not_matter(tmp_path: Path, jobs: int, shuffle: int | None) -> None:
    export(tmp_path / "a", MemoryOptions(), jobs=1)
    export(tmp_path / "b", MemoryOptions(shuffle=shuffle, runs_per_shard=2), jobs=jobs)
    assert _parts(tmp_path / "a") == _parts(tmp_path / "b")
    assert content_of(tmp_path / "a") == content_of(tmp_path / "b")
    export(tmp_path / "c", MemoryOptions(shuffle=shuffle), jobs=jobs, seal_seconds=0)
    assert content_of(tmp_path / "a") == content_of(tmp_path / "c")


class _Rows(MemorySource):
    """Gives tags and points as drawn, one run a shard."""

    def __init__(self, rows: dict[str, list[dict[str, Any]]]) -> None:
        super().__init__(MemoryOptions(runs=3, sizes=(), runs_per_shard=1))
        self.rows = rows

    def _points(self, number: int, low: int, high: int) -> list[dict[str, Any]]:
        return [row for row in self.rows["metrics"] if row["run_id"] == run_id(number)]

    def _add_run(self, rows: dict[str, list[dict[str, Any]]], number: int) -> None:
        super()._add_run(rows, number)
        rows["tags"] = [t for t in rows["tags"] if t["run_id"] != run_id(number)]
        rows["tags"] += [row for row in self.rows["tags"] if row["run_id"] == run_id(number)]


runs = st.integers(0, 2).map(run_id)
tags = st.lists(
    st.fixed_dictionaries({"run_id": runs, "key": texts, "value": st.none() | texts}),
    unique_by=lambda row: (row["run_id"], row["key"]),
    max_size=12,
)
points = st.lists(
    st.fixed_dictionaries(
        {
            "run_id": runs,
            "key": texts,
            "step": st.integers(-(2**63), 2**63 - 1),
            "timestamp": st.integers(-(2**45), 2**45),
            "value": st.floats(),
            "dataset_name": st.none() | texts,
        }
    ),
    max_size=20,
)


@few
@given(tags=tags, points=points, single=st.booleans())
def test_what_is_written_is_read(tags: list[dict[str, Any]], points: list[dict[str, Any]], single: bool) -> None:
    """write(x) then read gives x, and verify(write(x)) is clean."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.mlfa" if single else "a")
        export(path, source=_Rows({"tags": tags, "metrics": points}))
        with open_archive(path) as archive:
            for name, rows in (("tags", tags), ("metrics", points)):
                empty = TABLES[name].schema.empty_table()
                expected = rows_to_tables({name: rows}).get(name, empty).to_pylist()
                found = archive.table(name).to_pylist()
                assert sorted(map(repr, found)) == sorted(map(repr, expected))
        assert verify(path).problems == []


@settings(few, max_examples=8)
@given(
    days=st.lists(st.tuples(st.integers(1, 6), st.frozensets(st.integers(0, 5))), min_size=1, max_size=4),
    single=st.booleans(),
)
def test_of_each_run_the_newest_export_counts(days: list[tuple[int, frozenset[int]]], single: bool) -> None:
    """An append writes what is new or changed; the archive then shows each run as it was when last read."""
    model: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.mlfa" if single else "a")
        for number, (count, changed) in enumerate(days):
            options = MemoryOptions(runs=count, changed=changed, sizes=(9,))
            export(path, options, append=number > 0)
            export(Path(folder, str(number)), options)
            with open_archive(Path(folder, str(number))) as fresh:
                for run in range(count):
                    model[run_id(run)] = content(fresh, [run_id(run)])
        with open_archive(path) as archive:
            assert set(archive.table("runs")["run_id"].to_pylist()) == set(model)
            for key, rows in model.items():
                assert content(archive, [key]).artifacts == rows.artifacts
                for name in ("runs", "tags", "metrics", "params", "artifacts", "fingerprints"):
                    assert content(archive, [key]).rows[name] == rows.rows[name]
        assert verify(path).problems == []


@pytest.mark.parametrize("name", ["a", "a.mlfa"])
def test_an_append_with_nothing_new_changes_nothing(tmp_path: Path, name: str) -> None:
    options = MemoryOptions(gaps=frozenset({3}))
    first = export(tmp_path / name, options)
    again = export(tmp_path / name, options, append=True)
    assert again.details["unchanged"]
    assert again.details["archive_id"] == first.details["archive_id"]
    assert verify(tmp_path / name).problems == []
    other = MemoryOptions(gaps=frozenset({3}), experiment_tags={"team": "speech"})
    assert export(tmp_path / name, other, append=True).details["archive_id"] != first.details["archive_id"]


ids = st.integers(0, 30).map(lambda n: f"{n:02d}")


@few
@given(groups=st.lists(st.lists(ids, min_size=1, max_size=30), min_size=1, max_size=8), size=st.integers(1, 3000))
def test_merging_in_slices_equals_merging_in_one_piece(groups: list[list[str]], size: int) -> None:
    table, count = TABLES["metrics"], iter(range(10**6))
    pieces, everything = [], []
    for group in groups:
        rows = [{"run_id": i, "key": "k", "step": next(count), "timestamp": 0, "value": 0.5} for i in group]
        tables = rows_to_tables({"metrics": rows})["metrics"]
        pieces.append(memory_piece(sort_rows(tables, table), table))
        everything.append(tables)
    found = pa.concat_tables(list(merged(list(slices(pieces, size)), table, slice_bytes=size)))
    assert found["run_id"].to_pylist() == sorted(found["run_id"].to_pylist())
    assert sort_rows(found, table).equals(sort_rows(pa.concat_tables(everything), table))
    for part_bytes, at_least in ((1, 1), (size, 2), (10**9, 3)):
        parts = in_parts(slices(pieces, size), part_bytes, at_least)
        again = [rows for part in parts for rows in merged(part, table, slice_bytes=size)]
        assert pa.concat_tables(again).equals(found)


def test_one_run_with_a_very_long_history(tmp_path: Path) -> None:
    export(tmp_path / "a", MemoryOptions(runs=3, points=5000, long=frozenset({1})), seal_seconds=0)
    export(tmp_path / "b", MemoryOptions(runs=3, points=5000), jobs=1)
    assert content_of(tmp_path / "a") == content_of(tmp_path / "b")


@pytest.mark.parametrize("size", [0, 1, MIB, 4 * MIB, 4 * MIB + 1, 9 * MIB])
@pytest.mark.parametrize("name", ["a", "a.mlfa"])
def test_blobs_of_all_sizes_are_stored_once(tmp_path: Path, size: int, name: str) -> None:
    export(tmp_path / name, MemoryOptions(runs=4, sizes=(size,), distinct=1, runs_per_shard=1), jobs=1)
    with open_archive(tmp_path / name) as archive:
        rows = archive.table("blobs")
        assert len(set(rows["digest"].to_pylist())) == 1
        assert sum(rows["raw_size"].to_pylist()) == size
        packed = sum(member.size for member in archive.manifest.members if member.kind == "pack")
        assert packed < size + 1000
        assert len(set(content(archive).artifacts.values())) == 1
    assert verify(tmp_path / name).problems == []


def test_several_packs_survive_an_interruption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packs, "PACK_SIZE", 2000)

    class Stopping(MemorySource):
        def plan(self, selection: Selection, progress: Progress) -> Iterator[Shard]:
            yield from list(super().plan(selection, progress))[:4]
            message = "stopped"
            raise InterruptedError(message)

    options = MemoryOptions(sizes=(900, 700), runs_per_shard=1)
    with pytest.raises(InterruptedError):
        export(tmp_path / "a", source=Stopping(options), seal_seconds=0, jobs=1)
    export(tmp_path / "a", options)
    assert len(list((tmp_path / "a" / "packs").iterdir())) > 3
    export(tmp_path / "b", options)
    assert content_of(tmp_path / "a") == content_of(tmp_path / "b")
    assert verify(tmp_path / "a").problems == []


def test_a_file_that_changes_while_it_is_read_leaves_no_wrong_frame(tmp_path: Path) -> None:
    class Changing(io.BytesIO):
        def seek(self, offset: int, whence: int = 0) -> int:
            self.seeks = getattr(self, "seeks", 0) + 1
            if self.seeks == 2:
                self.getbuffer()[-1] = 1
            return super().seek(offset, whence)

    scratch = Scratch()
    writer = PackWriter(GrowingFiles(Files(), tmp_path), 1, scratch, level=1, jobs=1)
    with pytest.raises(BlobChangedError):
        writer.add(Changing(bytes(5 * MIB)), FrameBuilder(writer, scratch))
    digest, _ = writer.add(io.BytesIO(bytes(5 * MIB)), FrameBuilder(writer, scratch))
    (pack,) = writer.finish()
    with GrowingFiles(Files(), tmp_path).opened(pack.name) as stored:
        sizes = [e.size for found in packs.scan_pack(stored) for p in found for e in p.label.extents]
    assert scratch.has_blob(bytes.fromhex(digest))
    assert sizes in ([4 * MIB, 4 * MIB, MIB], [4 * MIB, MIB])
    scratch.close()


def test_a_stream_that_gives_little_at_a_time_is_read_whole(tmp_path: Path) -> None:
    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(min(size or 1, 1000))

    scratch = Scratch()
    writer = PackWriter(GrowingFiles(Files(), tmp_path), 1, scratch, level=1, jobs=1)
    stream: BinaryIO = Slow(bytes(50_000))
    assert writer.add(stream, FrameBuilder(writer, scratch))[1] == 50_000
    writer.finish()
    scratch.close()


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    entered, leave = threading.Event(), threading.Event()

    class Waiting(MemorySource):
        def plan(self, selection: Selection, progress: Progress) -> Iterator[Shard]:
            entered.set()
            leave.wait(30)
            yield from super().plan(selection, progress)

    options = MemoryOptions()
    first = threading.Thread(target=export, args=(tmp_path / "a",), kwargs={"source": Waiting(options)})
    first.start()
    assert entered.wait(30)
    with _other_process(tmp_path / "a") as answer:
        assert "another process is writing" in answer
    leave.set()
    first.join()
    export(tmp_path / "b", options)
    assert content_of(tmp_path / "a") == content_of(tmp_path / "b")


def test_a_commit_made_meanwhile_is_not_taken_for_leftovers(tmp_path: Path) -> None:
    class Racing(MemorySource):
        def facts(self) -> Any:  # called after the target was looked at and before it is locked
            export(tmp_path / "a", MemoryOptions(runs=3))
            return super().facts()

    with pytest.raises(TargetError, match="another process has written"):
        export(tmp_path / "a", source=Racing(MemoryOptions()))
    export(tmp_path / "b", MemoryOptions(runs=3))
    assert content_of(tmp_path / "a") == content_of(tmp_path / "b")
    assert verify(tmp_path / "a").problems == []


def _try(path: Path, answer: Connection) -> None:
    try:
        export(path)
    except TargetError as error:
        answer.send(str(error))


@contextmanager
def _other_process(path: Path) -> Iterator[str]:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_try, args=(path, there))
    process.start()
    assert here.poll(60)
    yield here.recv()
    process.join()


def _peak(path: Path, runs: int, answer: Connection) -> None:
    export(path, MemoryOptions(runs=runs, points=2, sizes=(50,), runs_per_shard=50))
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            answer.send(int(line.split()[1]))


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="peak memory is read from /proc")  # noqa: PTH110
def test_memory_does_not_grow_with_the_number_of_runs(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    peaks = []
    for runs in (200, 5000):
        here, there = context.Pipe()
        process = context.Process(target=_peak, args=(tmp_path / str(runs), runs, there))
        process.start()
        assert here.poll(120)
        peaks.append(here.recv())
        process.join()
    assert peaks[1] - peaks[0] < 60 * 1024, peaks  # KiB


def test_what_the_writer_remembers_has_no_name_that_a_kill_could_leave_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    scratch = Scratch()
    digests = [number.to_bytes(32) for number in range(100_000)]  # more than SQLite keeps in memory
    scratch.add_blobs(digests)
    assert all(map(scratch.has_blob, digests[::1000]))
    assert list(tmp_path.iterdir()) == []
    scratch.close()
