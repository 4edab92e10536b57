"""Where an export may be written: what is there already is added to, refused or left alone, word for word."""

from __future__ import annotations

import zipfile
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest

from mlflow_archive.errors import DamagedError, TargetError
from mlflow_archive.flow.chunk import Chunk
from mlflow_archive.flow.copy import copy
from mlflow_archive.flow.report import Report
from mlflow_archive.flow.source import SourceFacts
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.storage.files import Files
from mlflow_archive.storage.unfinished_file import UnfinishedFile
from mlflow_archive.verification.checks import verify
from mlflow_archive.writer.export import ArchiveOptions, ArchiveSink
from mlflow_archive.writer.target import ArchiveTarget
from tests.spec.drafts import sha
from tests.support.chunks import FACTS, ChunkSource, artifact, chunk, experiment, run

A, B = "a" * 32, "b" * 32


def sink(path: Path, *, append: bool = False, files: Files | None = None) -> ArchiveSink:
    return ArchiveSink(path, ArchiveOptions(append=append, jobs=1), tool="t 1", clock_ms=lambda: 7, files=files)


def export(path: Path, *run_ids: str, append: bool = False, files: Files | None = None) -> Report:
    chunks = [
        chunk([artifact(run_id, "f", run_id.encode())], experiments=[experiment("1", "one")], runs=[run(run_id, "1")])
        for run_id in run_ids
    ]
    return copy(ChunkSource((0, chunks)), sink(path, append=append, files=files), jobs=1)


@pytest.mark.parametrize("name", ["a", "a.mlfa"])
def test_an_archive_that_is_there_is_added_to_only_if_that_is_asked_for(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    export(path, A)
    with pytest.raises(TargetError) as caught:
        export(path, B)
    assert str(caught.value) == (
        f"{path} is an archive already (export 1 of {FACTS.uri}). "
        "Use --append to add what is new, or choose another name"
    )
    assert export(path, A, B, append=True).details["export"] == 2
    assert verify(path).problems == []
    with open_archive(path) as archive:
        assert [row["run_id"] for row in archive.table("runs").to_pylist()] == [A, B]
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_what_is_no_archive_is_left_alone_and_what_an_export_left_is_not(tmp_path: Path) -> None:
    for name, own in (("notes.txt", False), ("packs", True), ("README.txt", True), ("manifest.json.tmp", True)):
        path = tmp_path / f"of {name}"
        path.mkdir()
        (path / name).touch()
        if own:
            assert ArchiveTarget(path, append=False, files=Files()).base is None
            continue
        with pytest.raises(TargetError) as caught:
            sink(path)
        assert str(caught.value) == f"{path} exists and is no archive; choose another name"
    (tmp_path / "file.mlfa").write_bytes(b"text")
    for name in ("file.mlfa", "file.txt"):
        path = tmp_path / name
        path.write_bytes(b"something else")
        with pytest.raises(TargetError) as caught:
            sink(path, append=True)
        assert str(caught.value) == f"{path} exists and is no archive; choose another name"
    (tmp_path / "empty").mkdir()
    target = ArchiveTarget(tmp_path / "empty", append=False, files=Files())
    assert (target.base, target.single_file, target.export_number, target.root) == (None, False, 1, tmp_path / "empty")


@pytest.mark.parametrize("name", ["a", "a.mlfa"])
def test_what_another_process_has_committed_meanwhile_stays(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    late = sink(path)
    export(path, A)
    with pytest.raises(TargetError) as caught:
        late.begin(FACTS, Selection())
    late.abort()
    assert str(caught.value) == f"{path}: another process has written this archive meanwhile; run the command again"
    assert verify(path).problems == []
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


class _Failing(Files):
    """A disk that fails when a file has its name already."""

    def __init__(self, name: str) -> None:
        self.name = name

    def publish(self, source: Path, target: Path) -> None:
        super().publish(source, target)
        if target.name == self.name:
            raise TargetError("the disk fails")


@pytest.mark.parametrize("append", [False, True], ids=["new", "append"])
@pytest.mark.parametrize(("name", "last"), [("a", "manifest.json"), ("a.mlfa", "a.mlfa")])
def test_what_may_be_committed_is_not_taken_back(tmp_path: Path, name: str, last: str, *, append: bool) -> None:
    path = tmp_path / name
    if append:
        export(path, A)
    with pytest.raises(TargetError, match="the disk fails"):
        export(path, B, append=append, files=_Failing(last))
    assert verify(path).ok
    with open_archive(path) as archive:
        assert archive.table("runs")["run_id"].to_pylist() == ([A, B] if append else [B])
    if not append:
        other = sink(path)
        with pytest.raises(TargetError, match=r"is an archive already \(export 1 of"):
            other.begin(FACTS, Selection(runs=(A,)))
        other.abort()
    export(path, A, B, append=append)
    assert verify(path).problems == []
    with open_archive(path) as archive:
        assert archive.table("runs")["run_id"].to_pylist() == [A, B]
    assert [entry.name for entry in tmp_path.iterdir()] == [name]
    assert not (path / "staging").exists()


def test_a_part_that_changed_before_it_is_put_into_a_single_file_is_refused(tmp_path: Path) -> None:
    target = ArchiveTarget(tmp_path / "a.mlfa", append=False, files=Files())
    (target.root / "tables").mkdir(parents=True)
    (target.root / "tables" / "x").write_bytes(b"abc")
    file = UnfinishedFile(Files(), tmp_path / "a.mlfa")
    with closing(file):
        with pytest.raises(DamagedError, match="E012"):
            target._move("tables/x", sha(b"abd"), file)
        target._move("tables/x", sha(b"abc"), file)
    assert not (target.root / "tables" / "x").exists()
    target.close()


def test_a_damaged_archive_is_not_added_to(tmp_path: Path) -> None:
    path = tmp_path / "a"
    export(path, A)
    (path / "manifest.json").unlink()
    with open_archive(path) as archive:
        [problem] = archive.problems
    with pytest.raises(TargetError) as caught:
        sink(path, append=True)
    assert str(caught.value) == f"{path} is damaged ({problem}); nothing is added to it. See what `verify` says"


def test_a_folder_whose_name_ends_as_a_single_file_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.mlfa").mkdir()
    target = ArchiveTarget(tmp_path / "a.mlfa", append=False, files=Files())
    assert (target.single_file, target.durable_parts, target.root) == (False, True, tmp_path / "a.mlfa")
    target = ArchiveTarget(tmp_path / "b.mlfa", append=False, files=Files())
    assert (target.single_file, target.durable_parts, target.root) == (True, False, tmp_path / "b.mlfa.work")


def test_a_single_file_holds_its_members_in_the_order_in_which_they_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a.mlfa"
    export(path, A)
    export(path, A, B, append=True)
    with open_archive(path) as archive:
        tables = sorted({member.table for member in archive.manifest.members if member.table})
    with zipfile.ZipFile(path) as file:
        names = file.namelist()
    packs = [name for name in names if name.startswith("packs/")]
    parts = [f"tables/{table}/{export:04}-00000.parquet" for export in (2, 1) for table in tables]
    assert packs == ["packs/0002-00000.zst", "packs/0001-00000.zst"]
    assert [name for name in names if name.startswith("tables/")] == parts
    assert names == [
        *packs, *parts, "manifests/0001.json", "README.txt", "checksums.sha256", "manifests/0002.json", "manifest.json"
    ]  # fmt: skip


def test_tables_that_are_not_known_are_carried_and_told_of(tmp_path: Path) -> None:
    facts = SourceFacts(kind="database", uri="sqlite:///x")
    unknown = {"gizmos": pa.table({"id": [1, 2]}), "another": pa.table({"name": ["x"]})}
    chunks = [Chunk(tables=chunk(experiments=[experiment("1", "one")]).tables, artifacts=(), unknown_tables=unknown)]
    for name in ("a", "a.mlfa"):
        source = ChunkSource((0, chunks), facts=facts)
        report = copy(source, sink(tmp_path / name), Selection(unknown_tables=True), jobs=1)
        assert report.details["unknown_tables"] == {"another": 1, "gizmos": 2}
        assert verify(tmp_path / name).problems == []
        with open_archive(tmp_path / name) as archive:
            paths = [member.path for member in archive.manifest.members if member.path.startswith("tables/unknown")]
            assert paths == [f"tables/unknown_tables/0001-{number:05}.parquet" for number in (0, 1)]
            assert (archive.newest_export.selection, "experiments" in report.counts) == ({"unknown_tables": True}, True)


def test_an_append_with_other_rows_of_a_table_that_is_not_known_is_an_export(tmp_path: Path) -> None:
    def with_gizmos(*ids: int) -> Report:
        unknown = {"gizmos": pa.table({"id": list(ids)})} if ids else {}
        tables = chunk(experiments=[experiment("1", "one")]).tables
        facts = SourceFacts(kind="database", uri="sqlite:///x")
        source = ChunkSource((0, [Chunk(tables=tables, artifacts=(), unknown_tables=unknown)]), facts=facts)
        return copy(source, sink(tmp_path / "a", append=True), Selection(unknown_tables=True), jobs=1)

    unchanged = [with_gizmos(*ids).details["unchanged"] for ids in ((), (1,), (1,), (2,), (2,))]
    assert unchanged == [False, False, True, False, True]
    with open_archive(tmp_path / "a") as archive:
        assert archive.manifest.export_number == 3
    assert verify(tmp_path / "a").problems == []
