"""Listing and bytes: what is said of members that are not what the manifest states, in which order, each once."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from mlflow_archive.flow.report import Quiet
from mlflow_archive.format.problems import Problem
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.verification.checks import verify
from mlflow_archive.verification.members import check_bytes, check_members
from mlflow_archive.verification.report import Level, VerifyReport
from tests.spec.drafts import COPY, PACK, Draft, Files, Row, build, in_order, part, write_directory, zipped
from tests.spec.faults import flipped
from tests.support.counted_store import CountedBucket, lead_to

CHECKSUMS, MANIFEST, README = "checksums.sha256", "manifest.json", "README.txt"

Told = list[tuple[str, str, str]]


def found(path: Path | str, level: Level = Level.FULL) -> Told:
    return [(problem.code, problem.member, problem.message) for problem in verify(path, level, jobs=1).problems]


def written(path: Path, files: Files) -> Path:
    write_directory(files, path)
    return path


def stating(**sums: str) -> Callable[[Row], None]:
    """Return an edit of the manifest: SHA-256 of the parts of some tables."""

    def edit(document: Row) -> None:
        for name, stated in sums.items():
            [member] = [member for member in document["members"] if member["path"] == part(name)]
            member["sha256"] = stated

    return edit


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CountedBucket:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    lead_to(counted := CountedBucket(), monkeypatch)
    return counted


def put(bucket: CountedBucket, files: Files, *missing: str) -> str:
    for name, data in files.items():
        if name not in missing:
            bucket.objects.put(f"a/{name}", data)
    return "s3://bucket/a"


def test_in_a_bucket_an_export_that_was_cut_off_behind_its_commit_lacks_what_the_next_one_writes(
    bucket: CountedBucket,
) -> None:
    files = build(Draft())
    cut_off = ("W001", MANIFEST, "an export was cut off behind its commit; the next one completes it")
    uri = put(bucket, files, MANIFEST, CHECKSUMS, README)
    for level in Level:
        told = found(uri, level)
        assert cut_off in told
        assert {code for code, _, _ in told} == {"W001"}
    bucket.objects.delete([f"a/{part('params')}"])
    lost = ("E010", part("params"), "the manifest lists it, and it is not there")
    assert [told for told in found(uri, Level.QUICK) if told[0] != "W001"] == [lost]


def test_in_a_bucket_with_a_manifest_nothing_else_may_lack(bucket: CountedBucket) -> None:
    files = build(Draft())
    assert found(put(bucket, files), Level.QUICK) == []
    bucket.objects.delete([f"a/{CHECKSUMS}", f"a/{README}"])
    assert found("s3://bucket/a", Level.QUICK) == [
        ("E010", README, "the manifest lists it, and it is not there"),
        ("E010", CHECKSUMS, "it is not there"),
    ]


def test_what_an_unfinished_export_left_is_told_once_and_other_files_one_by_one(tmp_path: Path) -> None:
    names = ("staging/plan.json", "staging/rows/1", "staging", "stagings/x", "b.txt", "a.txt")
    unlisted = {name: b"" for name in names if name != "staging"}
    other = "it belongs to nothing; the manifest does not list it"
    path = written(tmp_path / "a", {**build(Draft()), **unlisted})
    assert found(path, Level.QUICK) == [
        ("W001", "staging", "an export was not finished; running it again continues it"),
        ("W002", "a.txt", other),
        ("W002", "b.txt", other),
        ("W002", "stagings/x", other),
    ]
    (tmp_path / "a.mlfa").write_bytes(zipped(in_order({**build(Draft()), **unlisted})))
    assert found(tmp_path / "a.mlfa", Level.QUICK) == [
        ("E013", name, "the manifest does not list it") for name in sorted(unlisted)
    ]  # fmt: skip


def test_features_that_are_not_known_are_told_in_their_order_and_those_that_are_not_at_all(tmp_path: Path) -> None:
    def edit(document: Row) -> None:
        document["optional_features"] = ["a", "b", "c", "d"]

    path = written(tmp_path / "a", build(Draft(manifest=edit)))
    assert found(path, Level.QUICK) == [
        ("W004", MANIFEST, f"optional feature {name!r} is not known to this version; it was not checked")
        for name in "abcd"
    ]


def test_a_line_of_checksums_is_a_sum_and_all_that_follows_is_the_path(tmp_path: Path) -> None:
    files = build(Draft())
    line = b"%s  x  packs/0002-00000.zst\n" % (b"0" * 64)
    path = written(tmp_path / "a", {**files, CHECKSUMS: files[CHECKSUMS] + line})
    assert found(path, Level.QUICK) == [("E014", CHECKSUMS, "it does not list the members as the manifest does")]


def test_members_are_read_from_the_largest_to_the_smallest_and_of_one_size_by_path(tmp_path: Path) -> None:
    def pad(files: Files) -> None:
        files[README] = bytes(5_000)

    names = ("artifacts", "blobs", "params", "runs")
    edit = stating(**dict.fromkeys(names, "0" * 64))
    files = build(Draft(members=pad, manifest=lambda d: [edit(d), d["members"][0].update(sha256="1" * 64)]))
    path = written(tmp_path / "a", files)
    sizes = {name: len(files[name]) for name in (README, *map(part, names))}
    in_this_order = sorted(sizes, key=lambda name: (-sizes[name], name))
    assert in_this_order[0] == README
    with open_archive(path) as archive:
        report = VerifyReport(level=Level.STORED, archive_id=archive.id)
        assert check_bytes(archive, report, Quiet(), 2) == set(sizes)
    assert [problem.member for problem in report.problems] == in_this_order
    told = {(problem.code, problem.message.rpartition(", ")[2]) for problem in report.problems}
    assert told == {("E012", f"the manifest states {digit * 64}") for digit in "01"}
    equal = build(Draft(members=lambda files: files.update({name: bytes(7) for name in ("b.txt", "a.txt", "c.txt")})))
    for name in ("a.txt", "b.txt", "c.txt"):
        equal[name] = bytes(6) + b"x"
    with open_archive(written(tmp_path / "b", equal)) as archive:
        report = VerifyReport(level=Level.STORED, archive_id=archive.id)
        assert check_bytes(archive, report, Quiet(), 2) == {"a.txt", "b.txt", "c.txt"}
    assert [problem.member for problem in report.problems] == ["a.txt", "b.txt", "c.txt"]


def test_of_members_checked_together_each_bad_one_is_named_and_what_is_read_is_counted(tmp_path: Path) -> None:
    """Of what is not there, or of another size, the listing tells."""
    path = written(tmp_path / "a", build(Draft(manifest=stating(params="0" * 64))))
    (path / README).unlink()
    (path / PACK).write_bytes((path / PACK).read_bytes() + b"x")
    with open_archive(path) as archive:
        members = {member.path: member for member in archive.manifest.members}
        asked = [members[name] for name in (README, PACK, part("params"), part("runs"))]
        found = check_members(archive, asked, Quiet())
        assert check_members(archive, asked) == found
    assert found.bad == {README, PACK, part("params")}
    [problem] = found.problems
    assert (problem.code, problem.member) == ("E012", part("params"))
    assert problem.message == f"its SHA-256 is {members_sum(path)}, the manifest states {'0' * 64}"
    assert found.checked == {"bytes": asked[2].size + asked[3].size}


def members_sum(path: Path) -> str:
    """Return the SHA-256 of the part of params, as another archive of the same rows states it."""
    with open_archive(written(path.parent / "right", build(Draft()))) as archive:
        [member] = [member for member in archive.manifest.members if member.path == part("params")]
        return member.sha256


@pytest.mark.parametrize("name", [MANIFEST, CHECKSUMS, COPY])
def test_what_the_manifest_of_a_single_file_cannot_list_has_its_crc_too(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.mlfa").write_bytes(zipped(in_order(build(Draft())), crc={name: 1}))
    assert found(tmp_path / "a.mlfa", Level.STORED) == [
        ("E024", name, "its CRC-32 is not the one that the single file states")
    ]
    assert found(tmp_path / "a.mlfa", Level.QUICK) == []


class Steps(Quiet):
    """Adds up what is expected and what is done."""

    def __init__(self) -> None:
        self.expected: Counter[str] = Counter()
        self.done: Counter[str] = Counter()

    def expect(self, unit: str, amount: int) -> None:
        self.expected[unit] += amount

    def advance(self, unit: str, amount: int) -> None:
        self.done[unit] += amount


def test_of_a_single_file_all_bytes_of_all_members_are_expected_and_read(tmp_path: Path) -> None:
    files = build(Draft())
    (tmp_path / "a.mlfa").write_bytes(zipped(in_order(files)))
    steps = Steps()
    report = verify(tmp_path / "a.mlfa", Level.STORED, jobs=1, progress=steps)
    size = sum(map(len, files.values()))
    assert (report.problems, report.checked["bytes"]) == ([], size)
    assert steps.expected == steps.done == {"bytes": size}


def test_a_header_that_is_not_the_one_of_its_entry_is_told_of_what_the_manifest_cannot_list(tmp_path: Path) -> None:
    data = zipped(in_order(build(Draft())))
    at = data.index(CHECKSUMS.encode()) - 30
    (tmp_path / "a.mlfa").write_bytes(flipped(data, at + 10))
    problems: list[Problem] = verify(tmp_path / "a.mlfa", Level.STORED, jobs=1).problems
    assert {(problem.code, problem.member) for problem in problems} == {("E021", CHECKSUMS)}
