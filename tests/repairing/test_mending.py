"""Repair from another copy: every member lost in turn, two copies with many damages, other archives, either form."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from mlflow_archive.errors import DamagedError, NotAnArchiveError, SelectionError, TargetError
from mlflow_archive.repairing.repair import MendedMember
from mlflow_archive.verification.checks import verify
from tests.repairing.subjects import AFTER, LONG, check_whole, hashes, remove, repair, whole
from tests.support.damage import copied, damage_both
from tests.support.memory_source import MemoryOptions, archive_id, content_of, export

__all__ = ["whole"]

GOLDEN = Path(__file__).parents[1] / "golden"
DRAWS = 200 if LONG else 4
DAMAGES = 200


def test_a_sound_archive_is_written_in_either_form(whole: Path, tmp_path: Path) -> None:
    for source, target in (("a", "n.mlfa"), ("a.mlfa", "n")):
        report = repair(whole / source, tmp_path / target)
        assert (report.mended, report.damaged, report.lost, report.gaps) == ([], [], (), ())
        check_whole(report, tmp_path / target, whole / ("a.mlfa" if source == "a" else "a"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["n", "n.mlfa"]


@pytest.mark.parametrize("name", ["v1-directory", "v1-two-exports.mlfa", "v1_1-skills.mlfa"])
def test_archives_of_earlier_versions_stay_what_they_were(tmp_path: Path, name: str) -> None:
    report = repair(GOLDEN / name, tmp_path / "new.mlfa")
    assert report.mended == []
    assert repair(tmp_path / "new.mlfa", tmp_path / "again").mended == []
    assert archive_id(tmp_path / "again") == archive_id(GOLDEN / name) == report.written_id


def test_every_member_lost_in_turn_comes_from_the_other_copy(whole: Path, tmp_path: Path) -> None:
    members = [file.relative_to(whole / "a") for file in sorted((whole / "a").rglob("*")) if file.is_file()]
    assert len(members) > 20
    for number, member in enumerate(members if LONG else members[3 :: len(members) // 5]):
        damaged = copied(whole / "a", tmp_path / "damaged")
        (damaged / member).unlink()
        before, new = hashes(damaged), tmp_path / ("new", "new.mlfa")[number % 2]
        report = repair(damaged, new, copies=[whole / ("a.mlfa", "a")[number % 3 == 0]])
        assert [mended.member for mended in report.mended] in ([str(member)], [])  # two exports may have equal parts
        check_whole(report, new, whole / ("a.mlfa" if new.suffix else "a"))
        assert hashes(damaged) == before
        remove(damaged)
        remove(new)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an archive of a hundred frames of 10 KiB in both forms."""
    folder = tmp_path_factory.mktemp("many")
    export(folder / "a", MemoryOptions(runs=100, points=30, sizes=(20_000,), runs_per_shard=1))
    repair(folder / "a", folder / "a.mlfa")
    return folder


def test_two_copies_with_many_damages_each_give_one_sound_archive(many: Path, tmp_path: Path) -> None:
    for draw in range(DRAWS):
        name = ("a", "a.mlfa")[draw % 2]
        first, second = (copied(many / name, tmp_path / f"{order}{name}") for order in ("first", "second"))
        damage_both(first, second, DAMAGES, Random(draw))  # noqa: S311 - damage that repeats
        before, new = (hashes(first), hashes(second)), tmp_path / ("new", "new.mlfa")[draw % 4 < 2]
        report = repair(first, new, copies=[second])
        assert report.damaged == [], draw
        check_whole(report, new, many / ("a.mlfa" if new.suffix else "a"))
        assert (hashes(first), hashes(second)) == before
        for path in (first, second, new):
            remove(path)


def test_what_is_damaged_in_both_copies_is_named_and_nothing_is_written(whole: Path, tmp_path: Path) -> None:
    pack = "packs/0002-00000.zst"
    for name in ("one", "other"):
        damaged = copied(whole / "a", tmp_path / name)
        data = bytearray((damaged / pack).read_bytes())
        data[200:210] = bytes(10)
        (damaged / pack).write_bytes(data)
    report = repair(tmp_path / "one", tmp_path / "new", copies=[tmp_path / "other"])
    assert (report.written_id, report.damaged, report.complete) == (None, [pack], False)
    assert {loss.kind for loss in report.lost} == {"run"}
    assert set(report.lost) == verify(tmp_path / "one").lost
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "other"]


def test_archives_of_other_ids_serve_by_sha256(whole: Path, tmp_path: Path) -> None:
    """A later export into the same archive has its members; an archive of the same runs has its blobs."""
    later = copied(whole / "a", tmp_path / "later")
    export(later, MemoryOptions(runs=9, sizes=AFTER.sizes), append=True)
    export(tmp_path / "again.mlfa", MemoryOptions(runs=20, sizes=AFTER.sizes, changed=frozenset({1}), runs_per_shard=7))
    for copy, member in (
        (later, "tables/metrics/0001-00000.parquet"),
        (tmp_path / "again.mlfa", "packs/0002-00000.zst"),
    ):
        damaged, new = copied(whole / "a", tmp_path / "damaged"), tmp_path / "new"
        data = bytearray((damaged / member).read_bytes())
        data[-300:-200] = bytes(100)
        (damaged / member).write_bytes(data)
        report = repair(damaged, new, copies=[copy])
        origin = str(copy) if copy == later else "blobs of other archives"
        assert report.mended == [MendedMember(member=member, origin=origin)]
        check_whole(report, new, whole / "a")
        remove(damaged)
        remove(new)


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(lambda data: data[:-1], id="a byte short"),
        pytest.param(lambda data: data[: len(data) // 2], id="cut in the middle"),
        pytest.param(lambda data: bytes(4) + data[4:], id="first bytes"),
        pytest.param(lambda data: data[:-3000] + bytes(3000), id="no directory"),
        pytest.param(lambda data: data[:2000] + b"odd" + data[2000:], id="bytes inserted"),
        pytest.param(lambda data: data + b"more", id="bytes behind"),
        pytest.param(lambda data: data.replace(b"PK\x03\x04", b"PK\x00\x04"), id="no header"),
        pytest.param(lambda data: data.replace(b"PK", b"QQ"), id="no header and no directory"),
    ],
)
def test_the_frame_of_a_single_file(whole: Path, tmp_path: Path, harm) -> None:  # type: ignore[no-untyped-def]
    damaged = tmp_path / "damaged.mlfa"
    damaged.write_bytes(harm((whole / "a.mlfa").read_bytes()))
    report = repair(damaged, tmp_path / "new.mlfa", copies=[whole / "a"])
    check_whole(report, tmp_path / "new.mlfa", whole / "a.mlfa")
    assert report.mended[0].member == ""


def test_only_the_directory_of_a_single_file_needs_no_copy(whole: Path, tmp_path: Path) -> None:
    data = (whole / "a.mlfa").read_bytes()
    (tmp_path / "damaged.mlfa").write_bytes(data[:-1500] + bytes(1500))
    check_whole(repair(tmp_path / "damaged.mlfa", tmp_path / "new.mlfa"), tmp_path / "new.mlfa", whole / "a.mlfa")


def test_what_cannot_be_is_refused(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(NotAnArchiveError, match="does not exist"):
        repair(whole / "none", tmp_path / "new")
    with pytest.raises(NotAnArchiveError, match="does not exist"):
        repair(whole / "a", tmp_path / "new", copies=[whole / "none"])
    with pytest.raises(SelectionError, match="is not changed"):
        repair(whole / "a", whole / "a" / "new")
    with pytest.raises(TargetError, match="choose another name"):
        repair(whole / "a", whole / "a.mlfa")
    (tmp_path / "new.work").mkdir()
    (tmp_path / "new.work" / "mine").touch()
    with pytest.raises(TargetError, match="holds something else"):
        repair(whole / "a", tmp_path / "new")
    (tmp_path / "new.work" / "mine").rename(tmp_path / "new.work" / "archive")
    with pytest.raises(TargetError, match="holds something else"):
        repair(whole / "a", tmp_path / "new")
    assert (tmp_path / "new.work" / "archive").exists()
    (tmp_path / "empty").mkdir()
    with pytest.raises(DamagedError, match="no copy of its manifest"):
        repair(tmp_path / "empty", tmp_path / "other", copies=[whole / "a"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "new.work"]


def test_an_older_state_is_not_taken_for_the_archive(tmp_path: Path) -> None:
    export(tmp_path / "old", MemoryOptions(runs=3))
    newer = copied(tmp_path / "old", tmp_path / "newer")
    export(newer, MemoryOptions(runs=5), append=True)
    for name in ("manifest.json", "manifests/0001.json", "manifests/0002.json"):
        (newer / name).unlink()
    with pytest.raises(DamagedError, match="no copy of its manifest"):
        repair(newer, tmp_path / "new", copies=[tmp_path / "old"])
    (newer / "checksums.sha256").unlink()
    with pytest.raises(DamagedError, match="no copy of its manifest"):
        repair(newer, tmp_path / "new", copies=[tmp_path / "old"])


def test_of_a_manifest_that_is_lost_the_copies_say_which_it_was(whole: Path, tmp_path: Path) -> None:
    names = ("manifest.json", "manifests/0002.json", "checksums.sha256")
    damaged = copied(whole / "a", tmp_path / "damaged")
    for name in names:
        (damaged / name).unlink()
    report = repair(damaged, tmp_path / "new", copies=[whole / "a.mlfa"])
    assert [mended.to_json() for mended in report.mended] == [
        {"member": name, "origin": str(whole / "a.mlfa")} for name in ("manifest.json", "manifests/0002.json", names[2])
    ]
    check_whole(report, tmp_path / "new", whole / "a")


def test_the_input_is_opened_where_only_one_export_is_whole(whole: Path, tmp_path: Path) -> None:
    """The newest manifest is gone: what is left is an older archive, and that is not given out as the whole."""
    damaged = copied(whole / "a", tmp_path / "damaged")
    (damaged / "manifest.json").write_bytes(b"{}")
    (damaged / "manifests" / "0002.json").unlink()
    report = repair(damaged, tmp_path / "new")
    assert [(loss.kind, loss.id) for loss in report.lost] == [("export", "2")]
    assert report.written_id is None
    salvaged = repair(damaged, tmp_path / "new", salvage=True)
    reason = (
        f"the manifest of that export is damaged in the archive {salvaged.archive_id} that this one was salvaged from"
    )
    assert [gap.row() for gap in salvaged.gaps] == [
        {"owner_kind": "source", "owner_id": "export 2", "path": "", "code": "G403", "reason": reason}
    ]
    assert verify(tmp_path / "new").problems == []
    assert content_of(tmp_path / "new").rows["gaps"]
    check = repair(damaged, tmp_path / "all", copies=[whole / "a"])
    check_whole(check, tmp_path / "all", whole / "a")
