"""The artifact files of a restore: taken back after an error, left alone where they were there before."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from mlflow_archive.errors import TargetError
from mlflow_archive.kinds import RUN
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sinks.restore.database import CommitUncertainError
from mlflow_archive.sinks.restore.locate import locate_database
from mlflow_archive.sinks.restore.locations import safe_name
from mlflow_archive.sinks.restore.sqlite import SqliteDatabase
from tests.contracts.source_contract import PARENT
from tests.sinks.test_restore import tables_of
from tests.support.databases import PostgresServer
from tests.support.full_database import make_everything
from tests.support.restoring import content, export, restore


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the target fail when most is written."""
    real = SqliteDatabase.insert

    def failing(self: Any, table: str, rows: Any) -> None:
        if table == "metrics":
            raise TargetError("the disk is full")
        real(self, table, rows)

    monkeypatch.setattr(SqliteDatabase, "insert", failing)


def files_below(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


@pytest.mark.usefixtures("broken")
class TestAfterAnError:
    def test_nothing_is_left_of_a_new_root(self, store: Path, tmp_path: Path) -> None:
        with pytest.raises(TargetError, match="disk is full"):
            restore(store, f"sqlite:///{tmp_path / 't.db'}", artifact_root=str(tmp_path / "deep/root"))
        assert list((tmp_path / "deep/root").iterdir()) == []

    def test_what_was_there_before_stays(self, store: Path, tmp_path: Path) -> None:
        root = tmp_path / "root"
        same = root / f"1/{PARENT}/artifacts/a b.txt"
        same.parent.mkdir(parents=True)
        same.write_bytes(b"spaces")
        (root / "others").mkdir()
        (root / "others/file").write_bytes(b"of others")
        before = files_below(root)
        with pytest.raises(TargetError, match="disk is full"):
            restore(store, f"sqlite:///{tmp_path / 't.db'}", artifact_root=str(root))
        assert files_below(root) == before

    @pytest.mark.parametrize("others", [False, True])
    def test_in_an_object_store(self, others: bool, store: Path, tmp_path: Path, s3: tuple[str, Any]) -> None:
        root, client = s3
        _, _, bucket, prefix = root.split("/", 3)
        if others:
            client.put_object(Bucket=bucket, Key=f"{prefix}/1/{PARENT}/artifacts/a b.txt", Body=b"spaces")
        with pytest.raises(TargetError, match="disk is full"):
            restore(store, f"sqlite:///{tmp_path / 't.db'}", artifact_root=root)
        found = client.list_objects_v2(Bucket=bucket)
        assert found["KeyCount"] == int(others)


@pytest.mark.parametrize(("error", "left"), [(TargetError("a key is broken"), 0), (CommitUncertainError("lost"), 3)])
def test_an_error_at_the_end(
    error: TargetError, left: int, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the database may have taken the transaction, its files must stay."""

    def failing(self: Any) -> None:
        raise error

    monkeypatch.setattr(SqliteDatabase, "commit", failing)
    with pytest.raises(type(error)):
        restore(store, f"sqlite:///{tmp_path / 't.db'}", artifact_root=str(tmp_path / "root"))
    assert len(files_below(tmp_path / "root")) == left


def test_another_restore_to_the_same_root_keeps_the_files_of_the_first(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    root = tmp_path / "root"
    restore(store, f"sqlite:///{tmp_path / '1.db'}", artifact_root=str(root))
    before = files_below(root)
    request.getfixturevalue("broken")
    with pytest.raises(TargetError, match="disk is full"):
        restore(store, f"sqlite:///{tmp_path / '2.db'}", artifact_root=str(root))
    assert files_below(root) == before
    assert content(export(f"sqlite:///{tmp_path / '1.db'}", tmp_path / "b"))["artifacts"] == content(store)["artifacts"]


@pytest.mark.parametrize("moment", ["make_schema_within", "insert"])
def test_killed_while_it_fills_an_empty_postgresql(
    moment: str, store: Path, tmp_path: Path, postgres: PostgresServer
) -> None:
    """Tables and rows are one transaction: nothing is left, and the same command works."""
    uri, root = postgres.new_database(), tmp_path / "root"
    argv = ["restore", str(store), "--to", uri, "--artifact-root", str(root), "-q"]
    program = f"""
import os, signal, sys
from mlflow_archive.sinks.restore import server
def dying(*given):
    if {moment!r} == "make_schema_within":
        real(*given)
    if {moment!r} != "insert" or given[1] == "metrics":
        os.kill(os.getpid(), signal.SIGKILL)
    real(*given)
place = server.ServerDatabase if {moment!r} == "insert" else server
real = getattr(place, {moment!r})
setattr(place, {moment!r}, dying)
sys.argv[1:] = {argv!r}
from mlflow_archive_cli.main import main
main()
"""
    process = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, check=False
    )
    assert process.returncode == -9
    assert tables_of(uri) == {}
    report = restore(store, uri, artifact_root=str(root))
    assert report.counts["runs"] == 4
    again = export(uri, tmp_path / "again.mlfa")
    assert content(again)["artifacts"] == content(store)["artifacts"]


def test_a_dry_run_leaves_no_table(store: Path, postgres: PostgresServer) -> None:
    uri = postgres.new_database()
    database = locate_database(uri)
    database.open()
    assert database.fresh
    database.rollback()
    assert tables_of(uri) == {}


def test_merged_versions_name_the_places_that_their_runs_have_in_the_target(tmp_path: Path) -> None:
    everything = make_everything(f"sqlite:///{tmp_path / 'm.db'}", tmp_path / "artifacts")
    archive = export(everything.uri, tmp_path / "a.mlfa")
    target, first, second = f"sqlite:///{tmp_path / 't.db'}", tmp_path / "first", tmp_path / "second"
    restore(archive, target, artifact_root=str(first), selection=Selection(kinds=(RUN,)))
    report = restore(archive, target, artifact_root=str(second), merge=True)
    assert report.counts["runs_there_already"] == 3
    with open_archive(export(target, tmp_path / "b.mlfa")) as opened:
        versions = opened.table("model_versions", columns=["workspace", "name", "version", "storage_location"])
        assert opened.table("gaps").num_rows == 0
    ids = everything.ids
    ours = [row for row in versions.to_pylist() if (row["workspace"], row["name"]) == ("default", ids["name"])]
    places = {row["version"]: row["storage_location"] for row in ours}
    assert places[1] == f"{second}/1/models/{ids['model']}/artifacts"
    assert places[4] == f"{second}/models/{safe_name(ids['name'])}/4"
    assert places[6] == f"{first}/1/{ids['other run']}/artifacts/old-style"
    assert not (second / "1" / ids["run"]).exists()


def test_a_location_that_gets_too_long_is_named_before_anything_is_written(
    store: Path, tmp_path: Path, postgres: PostgresServer
) -> None:
    root = tmp_path / ("r" * 200)
    with pytest.raises(TargetError, match="artifact_uri is longer than 200 characters"):
        restore(store, postgres.new_database(), artifact_root=str(root))
    assert not root.exists()


@pytest.mark.parametrize("after", [0, 2])
def test_a_full_disk_leaves_everything_as_it_was(
    after: int, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is missing could not be added later: the runs would be there."""
    target, root, written = tmp_path / "t.db", tmp_path / "root", []
    real = shutil.copyfileobj

    def full(source: Any, place: Any, size: int) -> None:
        written.append(place)
        if len(written) > after:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(source, place, size)

    with monkeypatch.context() as patch:
        patch.setattr("mlflow_archive.artifact_roots.local.copyfileobj", full)
        with pytest.raises(TargetError, match=r"No space left on device\. Nothing was restored; mend that"):
            restore(store, f"sqlite:///{target}", artifact_root=str(root))
    assert not target.exists()
    assert list(root.iterdir()) == []
    assert restore(store, f"sqlite:///{target}", artifact_root=str(root)).counts["artifacts"] == 3


@pytest.mark.parametrize("root", ["s3://no-such-bucket/x", "hdfs://cluster/x"])
def test_a_root_out_of_reach_leaves_the_database_as_it_was(
    root: str, store: Path, tmp_path: Path, s3: tuple[str, Any]
) -> None:
    with pytest.raises(TargetError, match="Nothing was restored"):
        restore(store, f"sqlite:///{tmp_path / 't.db'}", artifact_root=root)
    assert not (tmp_path / "t.db").exists()


@pytest.mark.parametrize("name", ["a b", "a%20b", "%41", "a#b?c", "ü"])
def test_mlflow_finds_the_files_below_any_root(name: str, store: Path, tmp_path: Path) -> None:
    """MLflow decodes plain paths: one with something to decode is stored as a file: URI."""
    uri, root = f"sqlite:///{tmp_path / 't.db'}", tmp_path / name
    restore(store, uri, artifact_root=str(root))
    assert (root / f"1/{PARENT}/artifacts/a b.txt").read_bytes() == b"spaces"
    client = MlflowClient(tracking_uri=uri)
    assert Path(client.download_artifacts(PARENT, "a b.txt", str(tmp_path))).read_bytes() == b"spaces"
    again = export(uri, tmp_path / "again.mlfa")
    assert content(again)["artifacts"] == content(store)["artifacts"]


def test_where_a_link_leads_that_leads_nowhere_yet_the_restore_makes_the_database(store: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "link.db"
    link.symlink_to("real/new.db")
    restore(store, f"sqlite:///{link}", artifact_root=str(tmp_path / "files"))
    assert link.readlink() == Path("real/new.db")
    assert [path.name for path in (tmp_path / "real").iterdir()] == ["new.db"]
    assert tables_of(f"sqlite:///{link}")["runs"] > 0
