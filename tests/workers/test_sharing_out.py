"""Exports by workers hold what exports by threads hold, however many there are, and whoever of them dies."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlflow_archive.errors import MlflowArchiveError
from mlflow_archive.flow.chunk import Chunk, Known, Shard
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.verification.checks import verify
from mlflow_archive.workers.crew import WorkError
from mlflow_archive.writer import packs
from tests.support.memory_source import MemoryOptions, content_of, export, interrupted_export
from tests.support.workers import ForkPool, SendingPool, SharedMemorySource, export_by, killing

MIB = 1024 * 1024
few = settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
numbers = st.frozensets(st.integers(0, 19), max_size=4)
made = st.builds(
    MemoryOptions,
    runs=st.integers(0, 12),
    runs_per_shard=st.integers(1, 4),
    sizes=st.lists(st.sampled_from([0, 1, 300, 70_000]), max_size=3).map(tuple),
    distinct=st.integers(1, 8),
    gaps=numbers,
    long=numbers,
    points=st.integers(0, 130),
)


def test_an_artifact_that_lies_in_two_packs_of_a_worker_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packs, "PACK_SIZE", 5 * MIB)
    options = MemoryOptions(runs=2, runs_per_shard=1, sizes=(7 * MIB,), distinct=1)
    export_by(tmp_path / "archive", SendingPool(1), options)
    assert verify(tmp_path / "archive").problems == []


class Failing(SharedMemorySource):
    """One whose third shard of runs cannot be read."""

    def read(self, shard: Shard, known: Known) -> Iterator[Chunk]:
        if "(6" in shard.name:
            raise MlflowArchiveError("the table is damaged")
        yield from super().read(shard, known)


@given(options=made, size=st.integers(1, 3), suffix=st.sampled_from(["", ".mlfa"]), changed=numbers)
@few
def test_the_number_of_workers_does_not_matter(
    options: MemoryOptions, size: int, suffix: str, changed: frozenset[int]
) -> None:
    """MUST: equal tables and blobs, whatever reads and writes; so it is of an append by others."""
    later = MemoryOptions(runs=options.runs + 3, changed=changed, sizes=options.sizes, gaps=options.gaps)
    with tempfile.TemporaryDirectory() as folder:
        one, other = Path(folder, f"one{suffix}"), Path(folder, f"other{suffix}")
        reports = [export(one, options), export_by(other, SendingPool(size), options)]
        assert content_of(other) == content_of(one)
        assert verify(other).problems == []
        reports += [export(one, later, append=True), export_by(other, SendingPool(size), later, append=True)]
        assert content_of(other) == content_of(one)
        assert verify(other).problems == []
    assert [reports[1].counts.get(name) for name in ("runs", "gaps")] == [
        reports[0].counts.get(name) for name in ("runs", "gaps")
    ]
    assert reports[3].details["unchanged"] == reports[2].details["unchanged"]
    assert set(reports[3].gaps) == set(reports[2].gaps)


def test_a_large_blob_is_written_once(tmp_path: Path) -> None:
    options = MemoryOptions(runs=5, sizes=(5 * MIB,), distinct=1, runs_per_shard=1)
    export_by(tmp_path / "archive", SendingPool(1), options)
    with open_archive(tmp_path / "archive") as archive:
        packs = [member.size for member in archive.manifest.members if member.kind == "pack"]
    assert len(packs) <= 2  # those that were under way together
    assert content_of(tmp_path / "archive") == _by_threads(tmp_path, options)


@pytest.mark.parametrize("name", ["archive", "archive.mlfa"])
def test_an_interrupted_export_is_continued_by_others(tmp_path: Path, name: str) -> None:
    options = MemoryOptions(runs=9)

    class Stopping(SharedMemorySource):
        def plan(self, selection, progress):  # type: ignore[no-untyped-def]
            for shard in super().plan(selection, progress):
                yield shard
                if "6" in shard.name:
                    raise InterruptedError

    with pytest.raises(InterruptedError):
        export_by(tmp_path / name, SendingPool(1), options, source=Stopping(options))
    source = SharedMemorySource(options)
    export_by(tmp_path / name, SendingPool(2), options, source=source)
    assert len(source.given) < 9
    assert content_of(tmp_path / name) == _by_threads(tmp_path, options)
    assert verify(tmp_path / name).problems == []


def test_workers_go_on_where_threads_were_interrupted_and_threads_where_workers_were(tmp_path: Path) -> None:
    interrupted_export(tmp_path / "archive", MemoryOptions(runs=6, gaps=frozenset({1})))
    options = MemoryOptions(runs=9, changed=frozenset({2}))
    export_by(tmp_path / "archive", SendingPool(2), options)
    assert content_of(tmp_path / "archive") == _by_threads(tmp_path, options)


def test_random_kills_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    options = MemoryOptions(runs=60, runs_per_shard=2, sizes=(30_000, 0), pause_seconds=0.03)
    pool = ForkPool(2)
    with killing(pool.kill, kills=6, every_seconds=0.15, seed=1) as killed:
        export_by(tmp_path / "archive", pool, options)
    assert killed[0] >= 3
    assert content_of(tmp_path / "archive") == _by_threads(tmp_path, options)
    assert verify(tmp_path / "archive").problems == []
    assert sorted(path.name for path in (tmp_path / "archive").iterdir()) == [
        *("README.txt", "checksums.sha256", "manifest.json", "manifests", "packs", "tables")
    ]


def test_a_shard_that_fails_three_times_ends_with_its_name_and_the_rest_is_kept(tmp_path: Path) -> None:
    options = MemoryOptions(runs=9)
    with pytest.raises(WorkError, match=r"runs range\(6, 9\) failed 3 times: MlflowArchiveError: the table is damaged"):
        export_by(tmp_path / "archive", SendingPool(1), options, read_as=Failing)
    source = SharedMemorySource(options)
    export_by(tmp_path / "archive", SendingPool(1), options, source=source)
    assert len(source.given) == 3
    assert content_of(tmp_path / "archive") == _by_threads(tmp_path, options)


def _by_threads(folder: Path, options: MemoryOptions) -> object:
    export(folder / "by threads", options)
    return content_of(folder / "by threads")
