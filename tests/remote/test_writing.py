"""An export into a bucket: whole or not at all, whatever ends it, and whoever else writes there."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from obstore.exceptions import GenericError
from obstore.store import MemoryStore

from mlflow_archive.errors import NotAnArchiveError, RemotePlaceError, TargetError
from mlflow_archive.flow.copy import copy
from mlflow_archive.flow.report import Report
from mlflow_archive.format.location import RemotePlace
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.storage.remote import connecting
from mlflow_archive.verification.checks import verify
from mlflow_archive.writer import bucket_target
from mlflow_archive.writer.export import ArchiveOptions, ArchiveSink
from mlflow_archive_cli.main import run
from tests.conformance import independent_reader
from tests.support.counted_store import CountedBucket, lead_to
from tests.support.cuts import EVERYWHERE
from tests.support.memory_source import START_MS, Content, MemoryOptions, MemorySource, content, content_of
from tests.support.memory_source import export as export_locally

PLACE = RemotePlace("s3://bucket/deep/backup")
STORE = str(Path(__file__).resolve().parents[2] / "demo" / "mlruns")
FIRST = MemoryOptions(runs=2, points=2)
SECOND = MemoryOptions(runs=4, points=2, changed=frozenset({1}))
SHARED = {"README.txt", "checksums.sha256", "manifest.json"}


class Killed(BaseException):
    """The process is gone: no request follows."""


@contextmanager
def on_another_machine(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[None]:
    """Have another folder for temporary files, as whoever else writes there has."""
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(folder))
        yield


def export(options: MemoryOptions, *, append: bool = False, place: RemotePlace = PLACE) -> Report:
    sink = ArchiveSink(place, ArchiveOptions(append=append, jobs=1), tool="test 1", clock_ms=lambda: START_MS)
    return copy(MemorySource(options), sink, jobs=1)


def content_at(place: RemotePlace = PLACE) -> Content:
    with open_archive(place) as archive:
        return content(archive)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> tuple[Content, Content]:
    """What an archive on disk holds after the first export, and after the second."""
    path = tmp_path_factory.mktemp("local") / "backup"
    export_locally(path, FIRST)
    first = content_of(path)
    export_locally(path, SECOND, append=True)
    return first, content_of(path)


def names(bucket: CountedBucket) -> set[str]:
    entries = bucket.objects.list().collect()
    return {entry["path"].removeprefix("deep/backup/") for entry in entries}


def listed(bucket: CountedBucket) -> set[str]:
    """Return all keys that the manifest accounts for."""
    with open_archive(PLACE) as archive:
        members = {member.path for member in archive.manifest.members}
        return members | {"manifest.json", "checksums.sha256", f"manifests/{archive.manifest.export_number:04d}.json"}


def test_an_export_and_one_that_adds(counted: CountedBucket, expected: tuple[Content, Content]) -> None:
    report = export(FIRST)
    assert content_at() == expected[0]
    assert report.details["export"] == 1
    with pytest.raises(TargetError, match=r"^s3://bucket/deep/backup is an archive already \(export 1 of memory:"):
        export(FIRST)
    export(SECOND, append=True)
    assert content_at() == expected[1]
    assert names(counted) == listed(counted)
    checked = verify(PLACE)
    assert (checked.ok, checked.problems) == (True, [])
    assert export(SECOND, append=True).details["unchanged"]
    assert content_at() == expected[1]


def test_a_copy_on_disk_is_an_archive_as_any(
    counted: CountedBucket, expected: tuple[Content, Content], tmp_path: Path
) -> None:
    export(FIRST)
    export(SECOND, append=True)
    for name in names(counted):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(bytes(counted.objects.get(f"deep/backup/{name}").bytes()))
    assert content_of(tmp_path) == expected[1]
    assert verify(tmp_path).problems == []
    theirs = independent_reader.Archive(tmp_path)
    digests = {row["digest"] for row in theirs.rows("artifacts")}
    assert {hashlib.sha256(theirs.blob(digest)).hexdigest() for digest in digests} == digests
    export_locally(tmp_path, MemoryOptions(runs=5, points=2, changed=frozenset({1})), append=True)
    assert verify(tmp_path).problems == []


def test_two_writers_never_write_one_key_but_those_that_follow(counted: CountedBucket) -> None:
    export(FIRST)
    first = names(counted)
    counted.objects = MemoryStore()
    export(FIRST)
    assert {name for name in first & names(counted) if name not in SHARED} == {"manifests/0001.json"}


@pytest.mark.parametrize("answered", [False, True], ids=["before a request", "behind it"])
def test_killed_at_any_request(counted: CountedBucket, expected: tuple[Content, Content], *, answered: bool) -> None:
    """The bucket is the archive before or the new one, and the same export makes it the new one, with nothing left."""
    export(FIRST)
    keys = [entry["path"] for entry in counted.objects.list().collect()]
    start = {key: bytes(counted.objects.get(key).bytes()) for key in keys}
    counted.forget()
    export(SECOND, append=True)
    writes = [at for at, request in enumerate(counted.requests) if request.verb != "get"]
    states = set()
    for at in writes if EVERYWHERE else (writes[1], *writes[-5:]):
        counted.objects = MemoryStore()
        for key, data in start.items():
            counted.objects.put(key, data)
        counted.forget()

        def kill(verb: str, key: str, at: int = at) -> None:
            if len(counted.requests) - answered >= at:
                raise Killed

        counted.before, counted.after = (None, kill) if answered else (kill, None)
        with pytest.raises(Killed):
            export(SECOND, append=True)
        counted.before = counted.after = None
        states.add(expected.index(content_at()))
        assert not [problem for problem in verify(PLACE).problems if problem.severity == "error"]
        export(SECOND, append=True)
        assert content_at() == expected[1]
        assert listed(counted) <= names(counted)
    assert states == {0, 1}


def test_killed_behind_the_first_commit(counted: CountedBucket, expected: tuple[Content, Content]) -> None:
    def kill(verb: str, key: str) -> None:
        if verb == "put" and any(request.name.endswith("manifests/0001.json") for request in counted.requests):
            raise Killed

    counted.before = kill
    with pytest.raises(Killed):
        export(FIRST)
    counted.before = None
    assert not SHARED & names(counted)
    assert content_at() == expected[0]
    report = verify(PLACE)
    assert report.sound
    assert [problem.code for problem in report.problems] == ["W001"]
    export(SECOND, append=True)
    assert content_at() == expected[1]
    assert (verify(PLACE).problems, names(counted)) == ([], listed(counted))


def test_killed_before_the_first_commit_there_is_no_archive(counted: CountedBucket) -> None:
    def kill(verb: str, key: str) -> None:
        if key.endswith("manifests/0001.json"):
            raise Killed

    counted.before = kill
    with pytest.raises(Killed):
        export(FIRST)
    counted.before = None
    with pytest.raises(NotAnArchiveError):
        open_archive(PLACE)
    export(FIRST)
    assert verify(PLACE).ok


def test_the_loser_of_two_writers_touches_no_shared_key(
    counted: CountedBucket, expected: tuple[Content, Content], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    export(FIRST)

    def other(verb: str, key: str) -> None:
        if verb == "put" and key.endswith("manifests/0002.json"):
            counted.before = None
            with on_another_machine(monkeypatch, tmp_path):
                export(SECOND, append=True)
            counted.forget()

    counted.before = other
    with pytest.raises(TargetError) as caught:
        export(MemoryOptions(runs=3, points=2), append=True)
    assert str(caught.value) == (
        "s3://bucket/deep/backup: another writer has committed export 2 meanwhile, and nothing of this one counts; "
        "run it again with --append, and it adds what is new"
    )
    assert {request.verb for request in counted.requests} == {"put", "get", "delete"}
    assert [r.name for r in counted.requests if r.verb == "put"] == ["deep/backup/manifests/0002.json"]
    assert content_at() == expected[1]
    assert names(counted) == listed(counted)


@pytest.mark.parametrize("lost", ["manifests/0001.json", "manifest.json", "checksums.sha256"])
def test_an_answer_that_is_lost(counted: CountedBucket, expected: tuple[Content, Content], lost: str) -> None:
    """A store's client asks again then, and is refused by what it wrote itself."""

    def write_first(verb: str, key: str) -> None:
        if verb == "put" and key.endswith(f"/{lost}"):
            counted.before = None
            counted.objects.put(key, counted.waiting)

    counted.before = write_first
    export(FIRST)
    assert content_at() == expected[0]
    assert (verify(PLACE).problems, names(counted)) == ([], listed(counted))


def test_a_commit_whose_answer_never_comes(counted: CountedBucket, expected: tuple[Content, Content]) -> None:
    def break_off(verb: str, key: str) -> None:
        if verb == "put" and key.endswith("manifests/0001.json"):
            raise GenericError("the connection was reset")

    counted.after = break_off
    export(FIRST)
    assert content_at() == expected[0]
    counted.after, counted.objects = None, MemoryStore()
    counted.before = break_off
    with pytest.raises(RemotePlaceError, match="the connection was reset"):
        export(FIRST)
    counted.before = None
    with pytest.raises(NotAnArchiveError):
        open_archive(PLACE)


def test_a_commit_that_cannot_be_completed_is_told(counted: CountedBucket, expected: tuple[Content, Content]) -> None:
    def break_off(verb: str, key: str) -> None:
        if (verb, key) == ("put", "deep/backup/manifest.json"):
            raise GenericError("the connection was reset")

    counted.before = break_off
    with pytest.raises(RemotePlaceError) as caught:
        export(FIRST)
    counted.before = None
    assert str(caught.value) == (
        "export 1 is committed, and the next export with --append completes it: s3://bucket/deep/backup/manifest.json "
        "cannot be reached, or is refused: the connection was reset"
    )
    assert content_at() == expected[0]
    assert export(FIRST, append=True).details["unchanged"]
    assert (verify(PLACE).problems, names(counted)) == ([], listed(counted))


def test_a_writer_that_comes_late_does_not_set_the_manifest_back(
    counted: CountedBucket, expected: tuple[Content, Content], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def other(verb: str, key: str) -> None:
        if verb == "put" and key.endswith("checksums.sha256"):
            counted.before = None
            with on_another_machine(monkeypatch, tmp_path):
                export(SECOND, append=True)

    counted.before = other
    export(FIRST)
    assert content_at() == expected[1]
    assert (verify(PLACE).problems, names(counted)) == ([], listed(counted))


def test_what_others_hold_there_is_not_taken_for_an_archive(counted: CountedBucket) -> None:
    counted.objects.put("deep/backup/notes.txt", b"mine")
    with pytest.raises(TargetError, match=r"holds notes\.txt and no archive; choose another name"):
        export(FIRST)
    assert names(counted) == {"notes.txt"}


def test_what_was_left_a_day_ago_goes(counted: CountedBucket) -> None:
    left = {"packs/0001-00000-0123456789ab.zst", "tables/runs/0001-00000-0123456789ab.parquet"}
    for name in left:
        counted.objects.put(f"deep/backup/{name}", b"left")
    counted.objects.put("deep/backup/notes/mine.txt", b"mine")
    counted.objects.put("deep/backup/packs/0001-00000.zst", b"mine")
    with pytest.raises(TargetError, match="holds notes/mine"):
        export(FIRST)
    counted.objects.delete("deep/backup/notes/mine.txt")
    export(FIRST)
    assert left <= names(counted)
    counted.days = dict.fromkeys(left, 2)
    export(SECOND, append=True)
    assert not left & names(counted)


def test_a_single_file_is_put_there_whole(counted: CountedBucket, expected: tuple[Content, Content]) -> None:
    place = RemotePlace("s3://bucket/deep/backup.mlfa")
    export(FIRST, place=place)
    assert [r.verb for r in counted.requests if r.verb != "head"] == ["put"]
    assert content_at(place) == expected[0]
    with pytest.raises(TargetError, match=r"^s3://bucket/deep/backup\.mlfa is an archive already \(export 1"):
        export(FIRST, place=place)
    with pytest.raises(TargetError) as caught:
        export(SECOND, append=True, place=place)
    assert str(caught.value) == (
        "s3://bucket/deep/backup.mlfa: nothing can be added to a single file in a bucket; export with --append to a "
        "name that does not end in .mlfa, or to a copy on this machine"
    )


def test_a_dry_run_writes_nothing(counted: CountedBucket, capsys: pytest.CaptureFixture[str]) -> None:
    export(FIRST)
    counted.objects.delete("deep/backup/manifest.json")
    counted.forget()
    assert run(["export", str(PLACE), "--from", STORE, "--append", "--same-source", "--dry-run"]) == 0
    assert {request.verb for request in counted.requests} == {"list", "get"}
    assert run(["export", str(PLACE), "--from", STORE, "--dry-run"]) == 1
    assert "s3://bucket/deep/backup is an archive already" in capsys.readouterr().err


def test_a_web_server_is_not_written_to(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export", "https://host/backup.mlfa?sig=secret", "--from", STORE]) == 2
    assert capsys.readouterr().err == (
        "mlflow-archive: https://host/backup.mlfa: an archive is only read from a web server; write it to a path or a "
        "bucket\n"
    )


def test_what_is_not_there_whole_is_not_committed(counted: CountedBucket) -> None:
    def lose(verb: str, key: str) -> None:
        if verb == "put" and "/packs/" in key:
            counted.objects.put(key, b"short")

    counted.after = lose
    with pytest.raises(
        TargetError, match=r"/packs/0001-00000-[0-9a-f]{12}\.zst has 5 bytes, expected [0-9]+; nothing is"
    ):
        export(FIRST)
    assert names(counted) == set()


def test_an_upload_that_took_too_long_is_not_committed(counted: CountedBucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket_target, "LONGEST", timedelta(-1))
    with pytest.raises(TargetError, match="others may take it for left behind; nothing was committed"):
        export(FIRST)
    assert names(counted) == set()


@pytest.mark.parametrize("answered", [False, True], ids=["before the commit", "behind it"])
def test_killed_at_the_commit_on_a_real_server(
    s3: tuple[str, Any], monkeypatch: pytest.MonkeyPatch, expected: tuple[Content, Content], *, answered: bool
) -> None:
    bucket = CountedBucket(objects=connecting.open_objects(RemotePlace(s3[0]), ""))
    lead_to(bucket, monkeypatch)
    export(FIRST)

    def kill(verb: str, key: str) -> None:
        if (verb, key) == ("put", "deep/backup/manifests/0002.json"):
            bucket.before = bucket.after = gone
            raise Killed

    def gone(verb: str, key: str) -> None:
        raise Killed

    bucket.before, bucket.after = (None, kill) if answered else (kill, None)
    with pytest.raises(Killed):
        export(SECOND, append=True)
    bucket.before = bucket.after = None
    assert content_at() == expected[0]
    assert ("manifests/0002.json" in names(bucket)) is answered
    export(SECOND, append=True)
    assert content_at() == expected[1]
    assert listed(bucket) < names(bucket) if not answered else listed(bucket) == names(bucket)
