"""What an export tells: while it works, in its report, in the manifest of what it was asked for; files with gaps."""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import pytest

from mlflow_archive.errors import SelectionError, TargetError
from mlflow_archive.flow.chunk import ArtifactFile, ArtifactUnreadableError, Chunk, Gap
from mlflow_archive.flow.copy import copy
from mlflow_archive.flow.report import Report
from mlflow_archive.format.gaps import ARTIFACT_SIZE, METRIC_UNREADABLE
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.verification.checks import verify
from mlflow_archive.writer import export as exporting
from mlflow_archive.writer import packs
from mlflow_archive.writer.export import UNNOTICED, ArchiveOptions, ArchiveSink
from mlflow_archive.writer.target import ArchiveTarget
from tests.support.chunks import FACTS, ChunkSource, artifact, chunk, experiment, pairs, points, run

A, B = "a" * 32, "b" * 32
NOTE = f"{UNNOTICED}; --recheck reads all again"


class Heard:
    """Keeps what a progress hears."""

    def __init__(self) -> None:
        self.done: Counter[str] = Counter()
        self.notes: list[str] = []

    def expect(self, unit: str, amount: int) -> None: ...

    def advance(self, unit: str, amount: int) -> None:
        self.done[unit] += amount

    def note(self, message: str) -> None:
        self.notes.append(message)


def export(
    path: Path, *chunks: Chunk, heard: Heard | None = None, selection: Selection | None = None, **given: Any
) -> Report:
    facts = given.pop("facts", FACTS)
    options = ArchiveOptions(jobs=1, **given)
    sink = ArchiveSink(path, options, tool="t 1", clock_ms=lambda: 7, progress=heard)
    return copy(ChunkSource((0, list(chunks)), facts=facts), sink, selection or Selection(), jobs=1)


def one_run(run_id: str, *files: ArtifactFile, **tables: Any) -> Chunk:
    return chunk(files, experiments=[experiment("1", "one")], runs=[run(run_id, "1")], **tables)


def test_progress_and_report_say_what_was_written(tmp_path: Path) -> None:
    heard = Heard()
    files = [artifact(A, "a.txt", b"12345"), artifact(A, "b/c", b"678")]
    report = export(tmp_path / "a", one_run(A, *files, metrics=points(A, "m", [1.0, 2.0])), heard=heard)
    assert (heard.done, heard.notes) == (Counter(points=2, artifacts=2, bytes=8), [])
    with open_archive(tmp_path / "a") as archive:
        assert report.details == {"archive_id": archive.id, "export": 1, "unchanged": False}
        newest = archive.newest_export
    counts = {"experiments": 1, "runs": 1, "metrics": 2, "artifacts": 2, "blobs": 2}
    assert (report.counts, report.gaps) == (counts, [])
    assert (newest.number, newest.created_ms, newest.tool, newest.gaps) == (1, 7, "t 1", 0)
    assert (newest.counts, newest.selection, newest.settled) == (counts, {}, None)
    assert newest.source == {
        "kind": FACTS.kind, "uri": FACTS.uri, "mlflow_version": FACTS.mlflow_version, "extra": dict(FACTS.extra)
    }  # fmt: skip


@pytest.mark.parametrize(
    ("selection", "stated"),
    [
        (Selection(), {}),
        (Selection(on_missing="fail"), {}),
        (Selection(experiments=("one", "2")), {"experiments": ["one", "2"]}),
        (
            Selection(deleted=False, since_ms=0),
            {"deleted": False, "since_ms": 0},
        ),
        (Selection(filter_string="x", artifact_globs=("a/*",)), {"filter_string": "x", "artifact_globs": ["a/*"]}),
    ],
)
def test_the_manifest_states_what_differs_from_everything(
    tmp_path: Path, selection: Selection, stated: dict[str, Any]
) -> None:
    export(tmp_path / "a", one_run(A), selection=selection)
    with open_archive(tmp_path / "a") as archive:
        assert archive.newest_export.selection == stated


def test_what_an_append_over_rest_cannot_see_is_said(tmp_path: Path) -> None:
    rest = replace(FACTS, kind="rest")
    export(tmp_path / "a", one_run(A), facts=rest)
    for recheck, notes in ((False, [NOTE]), (True, [])):
        heard = Heard()
        report = export(tmp_path / "a", one_run(A), heard=heard, facts=rest, append=True, recheck=recheck)
        assert heard.notes == notes
        assert report.details.get("unnoticed") == (UNNOTICED if notes else None)
    heard = Heard()
    moved = replace(rest, uri="http://elsewhere")
    export(tmp_path / "a", one_run(A), heard=heard, facts=moved, append=True)
    made = f"the archive was made from {FACTS.uri}; what is added comes from http://elsewhere"
    assert heard.notes == [made, NOTE]
    with pytest.raises(TargetError, match="experiment 1 was made at another time"):
        export(tmp_path / "a", chunk(experiments=[experiment("1", "one", creation_time=5)]), append=True)
    export(tmp_path / "a", chunk(experiments=[experiment("1", "one", creation_time=5)]), append=True, same_source=True)
    with open_archive(tmp_path / "a") as archive:
        assert archive.manifest.export_number == 5
        assert [row["creation_time"].timestamp() for row in archive.table("experiments").to_pylist()] == [0.005]


def test_where_what_an_export_needs_is_made_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = Heard()
    monkeypatch.setattr("mlflow_archive.writer.export.gettempdir", lambda: "/there")
    monkeypatch.setattr("mlflow_archive.writer.export.disk_usage", lambda folder: SimpleNamespace(free=3 * 2**29))
    monkeypatch.setattr(ArchiveTarget, "needs", "two packs are kept")
    export(tmp_path / "a", one_run(A), heard=heard)
    assert heard.notes == ["two packs are kept in /there, where 1.5 GiB are free"]


def test_unknown_tables_are_for_databases(tmp_path: Path) -> None:
    with pytest.raises(SelectionError) as caught:
        export(tmp_path / "a", selection=Selection(unknown_tables=True))
    assert str(caught.value) == f"--unknown-tables is for databases, and {FACTS.uri} is none"
    assert not (tmp_path / "a").exists()


def unreadable(path: str, code: str, reason: str) -> ArtifactFile:
    def opened() -> AbstractContextManager[BinaryIO]:
        raise ArtifactUnreadableError(reason, code=code)

    return ArtifactFile(owner_kind="run", owner_id=A, path=path, size=None, open=opened)


class _Changing(io.BytesIO):
    """Gives other bytes the second time."""

    def seek(self, offset: int, whence: int = 0) -> int:
        if self.tell():
            self.getbuffer()[0] ^= 1
        return super().seek(offset, whence)


def test_files_that_cannot_be_had_are_gaps_and_the_others_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packs, "MAX_FRAME_RAW", 4)

    @contextmanager
    def changing() -> Iterator[BinaryIO]:
        yield _Changing(b"0123456789")

    files = [
        artifact(A, "first", b"1"),
        unreadable("gone", "G099", "it is gone"),
        ArtifactFile(owner_kind="run", owner_id=A, path="changing", size=10, open=changing),
        artifact(A, "last", b"22"),
    ]
    told = {"owner_kind": "run", "owner_id": A, "path": "m", "code": METRIC_UNREADABLE, "reason": "so"}
    heard = Heard()
    report = export(tmp_path / "a", one_run(A, *files, gaps=[told]), heard=heard)
    gaps = [
        Gap(**told),
        Gap(owner_kind="run", owner_id=A, path="gone", code="G099", reason="it is gone"),
        Gap(
            owner_kind="run",
            owner_id=A,
            path="changing",
            code=ARTIFACT_SIZE,
            reason="the file changed while it was read",
        ),
    ]
    assert report.gaps == gaps
    assert heard.done == Counter(artifacts=2, bytes=3)
    with open_archive(tmp_path / "a") as archive:
        rows = archive.table("artifacts").to_pylist()
        assert [(row["path"], row["size"], row["digest"]) for row in rows] == [
            (path, len(data), hashlib.sha256(data).hexdigest()) for path, data in (("first", b"1"), ("last", b"22"))
        ]
        assert sorted(row["path"] for row in archive.table("gaps").to_pylist()) == ["changing", "gone", "m"]
        assert (archive.newest_export.gaps, archive.newest_export.counts["gaps"]) == (3, 3)
        assert {row["digest"] for row in archive.table("blobs").to_pylist()} == {row["digest"] for row in rows}
    assert verify(tmp_path / "a").problems == []


def test_very_many_gaps_are_all_in_the_archive_and_the_first_in_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "MAX_REPORTED_GAPS", 3)
    told = [
        {"owner_kind": "run", "owner_id": A, "path": str(n), "code": METRIC_UNREADABLE, "reason": "so"}
        for n in range(5)
    ]
    report = export(tmp_path / "a", one_run(A, gaps=told[:2]), chunk(gaps=told[2:]))
    assert [gap.path for gap in report.gaps] == ["0", "1", "2"]
    with open_archive(tmp_path / "a") as archive:
        assert archive.newest_export.gaps == 5


def test_an_append_adds_what_is_new_and_changes_nothing_where_nothing_is(tmp_path: Path) -> None:
    path = tmp_path / "a"
    whole = one_run(A, artifact(A, "f", b"data"), params=pairs(A, {"k": "v"}))
    export(path, whole)
    before = sorted(str(p.relative_to(path)) for p in path.rglob("*"))
    more = one_run(B, artifact(B, "g", b"data"), params=pairs(B, {"k": "w"}))
    report = export(path, whole, more, append=True)
    assert (report.details["export"], report.details["unchanged"]) == (2, False)
    with open_archive(path) as archive:
        assert [row["run_id"] for row in archive.table("runs").to_pylist()] == [A, B]
        assert [row["value"] for row in archive.table("params").to_pylist()] == ["v", "w"]
        digest = hashlib.sha256(b"data").hexdigest()
        assert {row["digest"] for row in archive.table("blobs").to_pylist()} == {digest}
        listed = {member.path for member in archive.manifest.members}
        assert [member.kind for member in archive.manifest.members if member.path == "manifests/0001.json"] == [
            "manifest"
        ]
        assert len([name for name in listed if name.startswith("packs/")]) == 1  # the blob is stored once
    assert verify(path).problems == []
    after = {str(p.relative_to(path)) for p in path.rglob("*")}
    assert set(before) <= after
    assert not (path / "staging").exists()
