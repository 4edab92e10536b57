"""The files of a restore are the same, whoever writes them; an error takes them back, and a kill costs nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlflow_archive.api import restoring
from mlflow_archive.api.restoring import restore_archive
from mlflow_archive.errors import SelectionError, TargetError
from mlflow_archive.flow.report import Report
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.reader.archive_at import archive_at
from mlflow_archive.sinks.restore import RestoreOptions
from mlflow_archive.sinks.restore.sqlite import SqliteDatabase
from mlflow_archive.workers.pools import Pool
from mlflow_archive_cli.main import run
from tests.sinks.test_restore_files import files_below
from tests.support.memory_source import MemoryOptions, export
from tests.support.workers import ForkPool, SendingPool, killing

OPTIONS = MemoryOptions(runs=30, sizes=(30_000, 0, 10), distinct=20)

Shares = Callable[[Callable[[int], Pool]], None]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shared") / "archive"
    export(path, OPTIONS)
    return path


@pytest.fixture
def sharing(monkeypatch: pytest.MonkeyPatch) -> Shares:
    """Have another kind of pool made for ``processes``, and small tasks."""

    def share(made: Callable[[int], Pool]) -> None:
        monkeypatch.setattr(restoring, "pool_of", lambda processes, dask: made(processes))
        monkeypatch.setattr("mlflow_archive.sinks.restore.sharing_out._MOST_FILES", 7)

    return share


def restored(archive: Path, target: Path, processes: int = 0, root: str | None = None) -> Report:
    options = RestoreOptions(artifact_root=root or str(target / "root"), processes=processes)
    target.mkdir(exist_ok=True)
    with open_archive(archive) as opened:
        return restore_archive(opened, f"sqlite:///{target}/t.db", options)


def test_workers_write_what_threads_write(archive: Path, tmp_path: Path, sharing: Shares) -> None:
    sharing(SendingPool)
    by_threads = restored(archive, tmp_path / "1")
    by_workers = restored(archive, tmp_path / "2", processes=2)
    assert by_workers.counts == by_threads.counts
    assert by_workers.counts["artifacts"] == 90
    assert files_below(tmp_path / "2/root") == files_below(tmp_path / "1/root")
    assert len(files_below(tmp_path / "2/root")) == 90


def test_into_a_bucket(archive: Path, tmp_path: Path, sharing: Shares, s3: tuple[str, Any]) -> None:
    sharing(SendingPool)
    root, client = s3
    assert restored(archive, tmp_path, processes=2, root=root).counts["artifacts"] == 90
    assert client.list_objects_v2(Bucket=root.split("/")[2])["KeyCount"] == 90


def test_an_error_at_the_end_takes_the_files_back(
    archive: Path, tmp_path: Path, sharing: Shares, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(self: Any) -> None:
        assert len(files_below(tmp_path / "root")) >= 90
        raise TargetError("a key is broken")

    sharing(SendingPool)
    monkeypatch.setattr(SqliteDatabase, "commit", failing)
    with pytest.raises(TargetError, match="a key is broken"):
        restored(archive, tmp_path, processes=2)
    assert files_below(tmp_path / "root") == {}


def test_a_place_that_nothing_can_be_written_to_ends_it(
    archive: Path, tmp_path: Path, sharing: Shares, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: object, *arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    sharing(SendingPool)
    monkeypatch.setattr("mlflow_archive.artifact_roots.roots.write_file", full)
    with pytest.raises(TargetError, match=r"No space left on device.*\. Nothing was restored; mend that"):
        restored(archive, tmp_path, processes=2)
    assert files_below(tmp_path / "root") == {}


def test_random_kills_lose_no_file(archive: Path, tmp_path: Path, sharing: Shares) -> None:
    pools: list[ForkPool] = []

    def forks(size: int) -> ForkPool:
        pools.append(ForkPool(size))
        return pools[-1]

    sharing(forks)
    with killing(lambda draw: any(pool.kill(draw) for pool in pools), kills=4, every_seconds=0.02, seed=2) as killed:
        assert restored(archive, tmp_path / "2", processes=2).counts["artifacts"] == 90
    assert killed[0] >= 1
    restored(archive, tmp_path / "1")
    assert files_below(tmp_path / "2/root") == files_below(tmp_path / "1/root")


def test_a_worker_that_sees_another_archive_is_refused(
    archive: Path, tmp_path: Path, sharing: Shares, monkeypatch: pytest.MonkeyPatch
) -> None:
    sharing(SendingPool)
    monkeypatch.setattr(restoring, "archive_at", lambda path, base, _: archive_at(path, base, "0" * 64))
    with pytest.raises(TargetError, match=r"a worker cannot open what all of them need, .* and not 0000"):
        restored(archive, tmp_path, processes=2)
    assert files_below(tmp_path / "root") == {}


def test_processes_and_a_cluster_exclude_each_other() -> None:
    with pytest.raises(SelectionError, match="--processes is for this machine, --dask for a cluster: give one"):
        RestoreOptions(processes=2, dask="tcp://127.0.0.1:9")


def test_the_command_with_processes(archive: Path, tmp_path: Path, sharing: Shares) -> None:
    made: list[int] = []

    def threads(size: int) -> Pool:
        made.append(size)
        return SendingPool(size)

    sharing(threads)
    command = ["restore", str(archive), "--to", f"sqlite:///{tmp_path}/t.db", "--artifact-root", f"{tmp_path}/root"]
    assert run([*command, "--processes", "2", "--quiet"]) == 0
    assert len(files_below(tmp_path / "root")) == 90
    assert made == [2]
