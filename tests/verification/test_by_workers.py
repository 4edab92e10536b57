"""Workers find what threads find, in the same order, and one that sees another archive is refused."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mlflow_archive.errors import ArchiveError, MlflowArchiveError, SelectionError
from mlflow_archive.flow.report import Progress, Quiet
from mlflow_archive.format.delta import elsewhere
from mlflow_archive.format.manifest import Member
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.reader.archive_at import archive_at
from mlflow_archive.verification.checks import examine, verify
from mlflow_archive.verification.report import Level, VerifyReport
from mlflow_archive.verification.sharing_out import SharedChecks
from mlflow_archive.workers.pools import Pool, ProcessPool
from mlflow_archive_cli.main import run
from tests.spec.make_vectors import VECTORS
from tests.spec.test_vectors import INDEX, base_of
from tests.support.loaded import loaded
from tests.support.memory_source import MemoryOptions, export
from tests.support.workers import SendingPool, export_by

MIB = 1024 * 1024
EVERY = os.environ.get("TEST_WORKERS") == "1"


class Steps(Quiet):
    """Adds up what is done, by unit."""

    def __init__(self, done: Counter[str]) -> None:
        self._done = done

    def advance(self, unit: str, amount: int) -> None:
        self._done[unit] += amount


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessPool]:
    with closing(ProcessPool(2)) as pool:
        yield pool


def verified(path: Path, pool: Pool, base: Path | None = None, progress: Progress | None = None) -> VerifyReport:
    """Return what workers find."""
    with open_archive(path, base=base) as archive:
        at = archive_at(path, base, archive.id)
        report = VerifyReport(level=Level.FULL, archive_id=archive.id, elsewhere=elsewhere(archive.manifest))
        with closing(SharedChecks(at, pool, progress or Quiet())) as shared:
            examine(archive, report, shared=shared, progress=progress)
        return report


def test_processes_begin_without_what_arrow_imports_with_its_first_array(processes: ProcessPool) -> None:
    assert processes.submit(loaded, ("pyarrow.compute", "numpy", "pandas")).result() == ["pyarrow.compute"]


def test_two_processes_report_of_every_vector_what_threads_report(processes: ProcessPool) -> None:
    """MUST: the same report, in the same order, whoever checks."""
    names = sorted(INDEX)[:: 1 if EVERY else 4]
    seen = 0
    for name in names:
        path, base = VECTORS / name, base_of(name)
        try:
            expected = verify(path, base=base, jobs=2)
        except MlflowArchiveError:  # nothing of it can be opened
            continue
        assert verified(path, processes, base) == expected, name
        seen += 1
    assert seen > len(names) // 2


def test_many_members_are_checked_together_and_a_damaged_blob_is_named_as_by_threads(tmp_path: Path) -> None:
    path = tmp_path / "archive"
    export_by(path, SendingPool(1), MemoryOptions(runs=40, runs_per_shard=1, sizes=(3_000,)))
    for pack in sorted((path / "packs").iterdir())[3:31:9]:
        data = bytearray(pack.read_bytes())
        data[-5] ^= 1
        pack.write_bytes(data)
    steps: Counter[str] = Counter()
    with closing(SendingPool(2)) as pool:
        report = verified(path, pool, progress=Steps(steps))
    assert report == verify(path, jobs=2)
    assert [problem.code for problem in report.problems] == ["E012", "E012", "E040", "E040", "E042", "E042"]
    sizes = [(member.size, member.kind) for member in opened_members(path)]
    assert steps["bytes"] == sum(size for size, _ in sizes) + sum(size for size, kind in sizes if kind == "pack")


def test_a_blob_that_lies_in_several_packs_is_proved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "archive"
    monkeypatch.setattr("mlflow_archive.writer.packs.PACK_SIZE", MIB)
    export(path, MemoryOptions(runs=1, sizes=(9 * MIB,)))
    with closing(SendingPool(2)) as pool:
        report = verified(path, pool)
    assert report.problems == []
    assert report.checked["blobs"] == 1
    assert len([member for member in opened_members(path) if member.kind == "pack"]) == 2


def opened_members(path: Path) -> list[Member]:
    with open_archive(path) as archive:
        return list(archive.manifest.members)


def test_a_worker_that_sees_another_archive_is_refused_in_a_sentence(tmp_path: Path) -> None:
    export(tmp_path / "archive", MemoryOptions(runs=1))
    at = archive_at(tmp_path / "archive", None, "0" * 64)
    with closing(SendingPool(1)) as pool, pytest.raises(ArchiveError, match=r"a worker cannot open .* and not 0000"):
        SharedChecks(at, pool, Quiet())


def test_processes_and_a_cluster_exclude_each_other(tmp_path: Path) -> None:
    export(tmp_path / "archive", MemoryOptions(runs=1))
    with pytest.raises(SelectionError, match="--processes is for this machine, --dask for a cluster: give one"):
        verify(tmp_path / "archive", processes=2, dask="tcp://127.0.0.1:9")


def test_the_command_with_processes(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    def threads(processes: int, dask: str | None) -> Pool:
        made.append(processes)
        return SendingPool(processes)

    monkeypatch.setattr("mlflow_archive.verification.sharing_out.pool_of", threads)
    export(tmp_path / "archive", MemoryOptions(runs=1))
    command = ["verify", str(tmp_path / "archive"), "--quiet"]
    said = [(run([*command, *options]), capfd.readouterr()) for options in ([], ["--processes", "2"])]
    assert said[0][0] == 0
    assert said[1] == said[0]
    assert made == [2]
