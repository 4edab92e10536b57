"""Packs of an export go into the bucket as they fill: little room is taken here, and what was put is taken up again."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from mlflow_archive.flow.copy import copy
from mlflow_archive.flow.report import Report
from mlflow_archive.format.location import RemotePlace
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.verification.checks import verify
from mlflow_archive.writer import packs, packs_there
from mlflow_archive.writer.export import ArchiveOptions, ArchiveSink
from tests.support.counted_store import CountedBucket
from tests.support.cuts import EVERYWHERE
from tests.support.memory_source import START_MS, Content, MemoryOptions, MemorySource, content, content_of
from tests.support.memory_source import export as export_locally
from tests.support.workers import SendingPool, SharedMemorySource, export_by

KIB = 1024
PLACE = RemotePlace("s3://bucket/deep/backup")
OPTIONS = MemoryOptions(runs=6, runs_per_shard=1, points=2, sizes=(200 * KIB, 900, 900), distinct=5)
PACKS = 10
"""Two of each run with artifacts of its own: what compresses shares frames."""
FOLLOWS = {"README.txt", "checksums.sha256", "manifest.json", "manifests/0001.json"}


class Killed(BaseException):
    """The process is gone: no request follows."""


@pytest.fixture(autouse=True)
def small_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a pack be full with the artifacts of one run."""
    monkeypatch.setattr(packs, "PACK_SIZE", 100 * KIB)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Content:
    path = tmp_path_factory.mktemp("local") / "backup"
    export_locally(path, OPTIONS)
    return content_of(path)


def export(options: MemoryOptions = OPTIONS, *, append: bool = False, jobs: int = 1) -> Report:
    written = ArchiveOptions(append=append, jobs=jobs, seal_seconds=0)
    sink = ArchiveSink(PLACE, written, tool="test 1", clock_ms=lambda: START_MS)
    return copy(MemorySource(options), sink, jobs=jobs)


def content_there() -> Content:
    with open_archive(PLACE) as archive:
        return content(archive)


def packs_put(bucket: CountedBucket) -> list[str]:
    names = [request.name.removeprefix("deep/backup/") for request in bucket.requests if request.verb == "put"]
    return [name for name in names if name.startswith("packs/")]


def names(bucket: CountedBucket) -> set[str]:
    return {entry["path"].removeprefix("deep/backup/") for entry in bucket.objects.list().collect()}


def members() -> set[str]:
    with open_archive(PLACE) as archive:
        return {member.path for member in archive.manifest.members}


def kept_folders() -> list[Path]:
    return list(Path(tempfile.gettempdir()).glob("mlflow-archive-kept-*"))


@contextmanager
def killed_at_pack(bucket: CountedBucket, number: int, *, answered: bool = False) -> Iterator[None]:
    """Let the process be gone at the PUT of a pack; what it has on this machine stays as it is then."""
    bucket.forget()
    with killed(bucket, lambda verb, key: len(packs_put(bucket)) - answered >= number, answered=answered):
        yield


@contextmanager
def killed(bucket: CountedBucket, when: Callable[[str, str], bool], *, answered: bool) -> Iterator[None]:
    kept = Path(tempfile.gettempdir(), "as-it-was")
    gone: list[str] = []

    def kill(verb: str, key: str) -> None:
        if gone or when(verb, key):
            gone.append(key)
            if len(gone) == 1:
                for folder in kept_folders():
                    shutil.copytree(folder, kept)
            raise Killed

    bucket.before, bucket.after = (None, kill) if answered else (kill, None)
    with pytest.raises(Killed):
        yield
    bucket.before = bucket.after = None
    if kept.exists():  # what this process does before it ends, one that is killed does not do
        for folder in kept_folders():
            shutil.rmtree(folder)
        name = hashlib.sha256(str(PLACE).encode()).hexdigest()[:16]
        kept.rename(kept.with_name(f"mlflow-archive-kept-{name}"))


def check_whole(expected: Content, *, left: bool = False) -> None:
    """What is there is the export, and nothing of it is left on this machine; in the bucket perhaps for a day."""
    assert content_there() == expected
    assert {problem.code for problem in verify(PLACE).problems} <= ({"W002"} if left else set())
    assert kept_folders() == []


@pytest.mark.parametrize("by", ["threads", "a worker"])
def test_two_packs_at_most_take_room_on_this_machine(counted: CountedBucket, expected: Content, by: str) -> None:
    room: list[int] = []

    def look(verb: str, key: str) -> None:
        files = Path(tempfile.gettempdir()).rglob("*.zst")
        room.append(sum(path.stat().st_size for path in files if path.exists()))

    counted.before = counted.after = look
    if by == "threads":
        export(jobs=2)
    else:
        export_by(str(PLACE), SendingPool(1), OPTIONS)
    counted.before = counted.after = None
    check_whole(expected)
    sizes = [entry["size"] for entry in counted.objects.list().collect() if "/packs/" in entry["path"]]
    assert len(sizes) >= 5
    assert max(room) <= 2 * max(sizes) < sum(sizes) / 2
    assert names(counted) == members() | FOLLOWS


@pytest.mark.parametrize("answered", [False, True], ids=["before a request", "behind it"])
def test_killed_at_any_request_it_goes_on(counted: CountedBucket, expected: Content, *, answered: bool) -> None:
    """MUST: whatever request was the last, the same export, given again, is whole, and no blob is in it by half."""
    export()
    writes = [at for at, request in enumerate(counted.requests) if request.verb != "get"]
    for at in writes if EVERYWHERE else (writes[2], writes[4], writes[-4]):
        counted.objects = MemoryStore()
        counted.forget()

        def when(verb: str, key: str, at: int = at) -> bool:
            return len(counted.requests) - answered >= at

        with killed(counted, when, answered=answered):
            export()
        export()  # also where it was killed behind its commit: then nothing is new
        check_whole(expected, left=True)


def test_what_was_put_before_a_kill_is_taken_up(counted: CountedBucket, expected: Content) -> None:
    with killed_at_pack(counted, 3):
        export()
    there = {name for name in names(counted) if name.startswith("packs/")}
    assert len(there) == 3
    counted.forget()
    export()
    assert not there & set(packs_put(counted))
    assert len(there) + len(packs_put(counted)) == PACKS
    assert {request.name.removeprefix("deep/backup/") for request in counted.requests if request.verb == "get"} >= there
    check_whole(expected)
    assert names(counted) == members() | FOLLOWS


@pytest.mark.parametrize("cut", [True, False], ids=["cut", "changed"])
def test_a_pack_that_is_not_as_it_was_put_is_not_taken_up(
    counted: CountedBucket, expected: Content, *, cut: bool
) -> None:
    with killed_at_pack(counted, 2):
        export()
    there = sorted(name for name in names(counted) if name.startswith("packs/"))
    found = bytes(counted.objects.get(f"deep/backup/{there[-1]}").bytes())
    counted.objects.put(f"deep/backup/{there[-1]}", found[:-1] if cut else found[:-1] + bytes([found[-1] ^ 1]))
    export()
    check_whole(expected, left=True)
    assert not set(there) & members()


def test_packs_of_yesterday_are_not_taken_up_as_others_may_remove_them(
    counted: CountedBucket, expected: Content
) -> None:
    with killed_at_pack(counted, 2):
        export()
    left = {name for name in names(counted) if name.startswith("packs/")}
    counted.days = dict.fromkeys(left, 1)
    export()
    check_whole(expected)
    assert not left & names(counted)


def test_what_is_there_for_long_is_put_anew(
    counted: CountedBucket, expected: Content, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packs_there, "_RENEWED", timedelta(0))
    export()
    assert sum(request.verb == "copy" for request in counted.requests) >= 2 * PACKS
    check_whole(expected)
    assert names(counted) == members() | FOLLOWS


CUT = MemoryOptions(runs=1, sizes=(24 * KIB * KIB,), points=2)


@pytest.mark.parametrize("then", ["threads", "a worker"])
def test_an_artifact_that_was_cut_by_a_kill_is_whole(
    counted: CountedBucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, then: str
) -> None:
    """Its first frames are in packs that are in the bucket; whoever goes on writes all of it."""
    monkeypatch.setattr(packs, "PACK_SIZE", 3 * KIB * KIB)
    export_locally(tmp_path / "local", CUT)
    with killed_at_pack(counted, 1):
        export(CUT)
    if then == "threads":
        export(CUT)
    else:
        export_by(str(PLACE), SendingPool(1), CUT)
    check_whole(content_of(tmp_path / "local"), left=True)


@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "elsewhere"])
def test_what_workers_have_put_is_taken_up(
    counted: CountedBucket, expected: Content, monkeypatch: pytest.MonkeyPatch, *, elsewhere: bool
) -> None:
    """Workers of other machines do not see which runs are staged: they read them again."""
    monkeypatch.setattr(SendingPool, "elsewhere", elsewhere)

    def when(verb: str, key: str) -> bool:
        """Say whether the rows of two parcels were taken: what removes them comes behind that."""
        return [request.verb for request in counted.requests].count("delete") >= 2

    with killed(counted, when, answered=False):
        export_by(str(PLACE), SendingPool(1), OPTIONS)
    there = {name for name in names(counted) if name.startswith("packs/")}
    source = SharedMemorySource(OPTIONS)
    export_by(str(PLACE), SendingPool(1), OPTIONS, source=source)
    assert there & members()
    assert (len(set(source.given)) == OPTIONS.runs) is elsewhere
    check_whole(expected, left=True)


def test_an_append_that_was_killed_goes_on_and_finds_what_the_archive_has(
    counted: CountedBucket, tmp_path: Path
) -> None:
    later = MemoryOptions(runs=8, runs_per_shard=1, points=2, sizes=(200 * KIB, 900), changed=frozenset({1, 2, 3}))
    export_locally(tmp_path / "local", OPTIONS)
    export_locally(tmp_path / "local", later, append=True)
    export()
    first = members()
    with killed_at_pack(counted, 3):
        export(later, append=True)
    assert members() == first
    export(later, append=True)
    check_whole(content_of(tmp_path / "local"))
    assert export(later, append=True).details["unchanged"]
    assert names(counted) == members() | FOLLOWS | {"manifests/0002.json"}
    assert kept_folders() == []
