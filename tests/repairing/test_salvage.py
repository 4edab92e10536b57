"""Repair without a copy: what can be made anew is; the rest that is sound has a gap for each thing that is lost."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from mlflow_archive.format.manifest import Member
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.repairing.repair import MendedMember, RepairReport
from mlflow_archive.verification.checks import verify
from tests.repairing.subjects import AFTER, LONG, check_whole, hashes, remove, repair, whole
from tests.support.damage import CELL, copied, files_of, harm
from tests.support.memory_source import MemoryOptions, content_of, export, run_id

__all__ = ["whole"]

OWN = ("README.txt", "manifest.json", "manifests/0002.json", "checksums.sha256", "tables/blobs/0001-00000.parquet")


@pytest.mark.parametrize("name", OWN)
def test_what_follows_from_the_rest_needs_no_copy(whole: Path, tmp_path: Path, name: str) -> None:
    damaged = copied(whole / "a", tmp_path / "damaged")
    (damaged / name).unlink()
    report = repair(damaged, tmp_path / "new", salvage=True)
    origin = {OWN[0]: "its known text", OWN[4]: "the labels of the packs"}.get(name, "the manifest")
    assert report.mended == [MendedMember(member=name, origin=origin)]
    check_whole(report, tmp_path / "new", whole / "a")


@pytest.mark.parametrize("at", [0, 12], ids=["first byte of the file", "page header"])
def test_a_part_of_which_every_row_decodes_is_written_again(whole: Path, tmp_path: Path, at: int) -> None:
    """The byte that is hit has no checksum but that of the whole member, which says that all is as it was."""
    name = "tables/params/0001-00000.parquet"
    damaged = copied(whole / "a", tmp_path / "damaged")
    data = bytearray((damaged / name).read_bytes())
    data[at] ^= 1
    (damaged / name).write_bytes(data)
    report = repair(damaged, tmp_path / "new")
    assert report.mended == [MendedMember(member=name, origin="its rows, written again")]
    check_whole(report, tmp_path / "new", whole / "a")


def salvaged(damaged: Path, new: Path) -> RepairReport:
    """Salvage, and check what holds of whatever is salvaged."""
    before = hashes(damaged)
    report = repair(damaged, new, salvage=True)
    assert hashes(damaged) == before
    checked = verify(new)
    assert checked.ok, checked.problems
    assert {problem.code for problem in checked.problems} <= {"W003", "W004"}
    with open_archive(new) as archive:
        if report.written_id != report.archive_id:
            newest = archive.newest_export
            assert newest.source["extra"]["archive_id"] == report.archive_id
            assert newest.gaps == len(report.gaps)
            earlier = archive.manifest.member(f"manifests/{newest.number - 1:04d}.json")
            assert isinstance(earlier, Member)
            assert earlier.sha256 == report.archive_id
        codes = {(row["owner_kind"], row["owner_id"], row["path"]) for row in archive.table("gaps").to_pylist()}
        assert {(gap.owner_kind, gap.owner_id, gap.path) for gap in report.gaps} <= codes
    return report


def check_nothing_is_lost_silently(report: RepairReport, new: Path, expected: Path) -> None:
    """Every run and artifact that is not as it was has a gap, and so has every run with another row."""
    places = {(gap.owner_id, gap.path) for gap in report.gaps if gap.owner_kind == "run"}
    everything, rest = content_of(expected), content_of(new)
    spans = [gap.owner_id.split(" … ") for gap in report.gaps if gap.owner_kind == "run" and " … " in gap.owner_id]
    source = any(gap.owner_kind in ("source", "experiment", "dataset") for gap in report.gaps)
    for number in range(AFTER.runs):
        run = run_id(number)
        hit = any(owner == run and not path for owner, path in places) or any(low <= run <= high for low, high in spans)
        for table in ("runs", "params", "tags", "metrics", "dataset_inputs"):
            rows = [[row for row in content.rows[table] if run in row] for content in (everything, rest)]
            assert rows[0] == rows[1] or hit or (run, table) in places or source, (run, table)
    for (owner, path), digest in everything.artifacts.items():
        is_named = bool({(owner, path), (owner, "artifacts"), (owner, "")} & places)
        assert rest.artifacts.get((owner, path)) == digest or is_named, (owner, path)


def test_every_member_lost_in_turn_is_salvaged_around(whole: Path, tmp_path: Path) -> None:
    members = [file.relative_to(whole / "a") for file in sorted((whole / "a").rglob("*")) if file.is_file()]
    for number, member in enumerate(members if LONG else members[1 :: len(members) // 4]):
        damaged, new = copied(whole / "a", tmp_path / "damaged"), tmp_path / ("new", "new.mlfa")[number % 2]
        (damaged / member).unlink()
        report = salvaged(damaged, new)
        check_nothing_is_lost_silently(report, new, whole / "a")
        export(new, AFTER, append=True)  # what is lost and still at the source is read again
        healed, expected = content_of(new), content_of(whole / "a")
        assert healed.artifacts == expected.artifacts, member
        assert {name: rows for name, rows in healed.rows.items() if name != "gaps"} == {
            name: rows for name, rows in expected.rows.items() if name != "gaps"
        }, member
        remove(damaged)
        remove(new)


def test_random_damage_is_salvaged_around(whole: Path, tmp_path: Path) -> None:
    with_gaps = 0
    for draw in range(60 if LONG else 3):
        chance = Random(draw)  # noqa: S311 - damage that repeats
        damaged, new = copied(whole / "a", tmp_path / "damaged"), tmp_path / "new.mlfa"
        files = [f for f in files_of(damaged) if f.name not in ("manifest.json", "checksums.sha256")]
        for path in chance.sample(files, 3):
            harm(path, [chance.randrange(0, path.stat().st_size, CELL)], chance)
        report = salvaged(damaged, new)
        check_nothing_is_lost_silently(report, new, whole / "a")
        with_gaps += bool(report.gaps)
        remove(damaged)
        remove(new)
    assert with_gaps


def test_a_hit_frame_loses_its_artifacts_and_no_others(tmp_path: Path) -> None:
    export(tmp_path / "a", MemoryOptions(runs=6, sizes=(500,), runs_per_shard=1), jobs=1)
    with open_archive(tmp_path / "a") as archive:
        frame = archive.table("blobs").to_pylist()[2]
        owner = {row["digest"]: row["owner_id"] for row in archive.table("artifacts").to_pylist()}[frame["digest"]]
    expected = content_of(tmp_path / "a")
    pack = tmp_path / "a" / frame["pack"]
    data = bytearray(pack.read_bytes())
    data[frame["frame_offset"] + frame["frame_size"] // 2] ^= 4
    pack.write_bytes(data)
    report = salvaged(tmp_path / "a", tmp_path / "new")
    assert [gap.row() for gap in report.gaps] == [
        {
            "owner_id": owner,
            "owner_kind": "run",
            "path": "model/file 0.bin",
            "code": "G102",
            "reason": f"its blob {frame['digest']} is damaged in the archive {report.archive_id} that this one was "
            "salvaged from",
        }
    ]
    rest = content_of(tmp_path / "new")
    assert rest.artifacts == {place: d for place, d in expected.artifacts.items() if place[0] != owner}
    assert rest.rows["metrics"] == expected.rows["metrics"]


def test_blobs_that_another_archive_has_are_not_lost(tmp_path: Path) -> None:
    """The packs are gone, and the other archive has these blobs in frames of another size."""
    export(tmp_path / "a", MemoryOptions(runs=2, sizes=(500, 5_000_000), runs_per_shard=1))
    export(tmp_path / "other", MemoryOptions(runs=3, sizes=(500, 5_000_000), runs_per_shard=3))
    expected = content_of(tmp_path / "a")
    (tmp_path / "a" / "packs" / "0001-00000.zst").unlink()
    report = repair(tmp_path / "a", tmp_path / "new", copies=[tmp_path / "other"], salvage=True)
    assert (report.gaps, report.complete) == ([], True)
    assert content_of(tmp_path / "new") == expected
    assert verify(tmp_path / "new").problems == []


def test_runs_of_a_lost_experiment_go_with_it(tmp_path: Path) -> None:
    export(tmp_path / "a", MemoryOptions(runs=4))
    (tmp_path / "a" / "tables" / "experiments" / "0001-00000.parquet").unlink()
    report = salvaged(tmp_path / "a", tmp_path / "new")
    runs = [(gap.owner_id, gap.code) for gap in report.gaps if gap.owner_kind == "run"]
    assert sorted(runs) == sorted((run_id(number), "G201") for number in range(4))
    assert content_of(tmp_path / "new").rows["runs"] == []
