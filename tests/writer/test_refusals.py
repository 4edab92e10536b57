"""What the writer refuses, word for word: where, what is wrong, and what to do next."""

from __future__ import annotations

import hashlib
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlflow_archive.errors import DamagedError, SelectionError, TargetError
from mlflow_archive.format.layout import STAGING
from mlflow_archive.format.manifest import MINOR, Export, Member
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.storage.files import Files
from mlflow_archive.writer.base import check_whole, refuse_inside
from mlflow_archive.writer.compacting.compact import CompactOptions, CompactReport, KeptExport, _refuse_newer
from mlflow_archive.writer.compacting.survey import ExportGroup, GroupSurvey, SurveyedPack, ThinningSurvey
from mlflow_archive.writer.compacting.thinned_packs import ThinnedPacks
from mlflow_archive.writer.destination import Destination
from mlflow_archive.writer.index import IndexReport, is_index, write_index
from mlflow_archive.writer.join import JoinReport, join
from mlflow_archive.writer.packs import WrittenPack
from mlflow_archive.writer.parcel import Parcel
from mlflow_archive.writer.same_source import SameSource, check_versions_whole
from mlflow_archive.writer.staged import StagedBlock
from mlflow_archive.writer.staging import Staging, plan_bytes
from mlflow_archive.writer.target import ArchiveTarget
from tests.spec.drafts import PACK, Draft, base_frames, build, encode_pack, write_directory
from tests.support.chunks import FACTS, experiment, table

BLOCK = StagedBlock(table="runs", run=1, low="a", high="b", nbytes=1, offset=0, size=1, crc=0)


def refusal(error: type[Exception], action: Any, *values: object, **options: object) -> str:
    with pytest.raises(error) as caught:
        action(*values, **options)
    return str(caught.value)


def archive(**facts: Any) -> Any:
    return SimpleNamespace(path=Path("x"), problems=[], **facts)


def test_an_archive_to_which_nothing_is_added() -> None:
    whole = SimpleNamespace(delta=None, minor=MINOR)
    delta = SimpleNamespace(delta=SimpleNamespace(base="ab"))
    check_whole(archive(manifest=whole), "so")
    assert refusal(TargetError, check_whole, SimpleNamespace(path="x", problems=["p", "q"]), "so") == (
        "x is damaged (p); so. See what `verify` says"
    )
    assert refusal(SelectionError, check_whole, archive(manifest=delta), "so") == (
        "x is a delta of the archive ab; so. Join both first (`join`)"
    )
    _refuse_newer(archive(manifest=whole))
    newer = archive(manifest=SimpleNamespace(minor=MINOR + 1))
    assert refusal(SelectionError, _refuse_newer, newer) == (
        f"x is of format 1.{MINOR + 1}, and this version knows 1.{MINOR}: it could lose what it does not know. "
        "Install a newer mlflow-archive"
    )


def test_names_that_are_taken_or_lie_inside(tmp_path: Path) -> None:
    inside = tmp_path / "a" / ".." / "a" / "x"
    refuse_inside(tmp_path / "ab", [tmp_path / "a", tmp_path / "b"])
    for path in (inside, tmp_path / "a"):
        assert refusal(SelectionError, refuse_inside, path, [tmp_path / "b", tmp_path / "a"]) == (
            f"{path} lies in {tmp_path / 'a'}, which is not changed; write it elsewhere"
        )
    assert refusal(SelectionError, join, tmp_path / "a", [], tmp_path / "n") == (
        "a join takes a base and at least one delta of it"
    )
    taken = tmp_path / "taken"
    taken.symlink_to(tmp_path / "nowhere")
    assert refusal(TargetError, Destination(taken, Files()).lock) == (
        f"{taken} exists, and a new archive is written; choose another name"
    )


@pytest.mark.parametrize(
    ("names", "is_left"),
    [
        ([], True),
        (["staging"], True),
        (["staging", "archive", "members"], True),
        (["archive"], False),
        (["staging", "mine"], False),
        (["staging/plan.json"], False),
    ],
)
def test_what_a_command_that_was_killed_left_is_taken_over(tmp_path: Path, names: list[str], is_left: bool) -> None:
    path, work = tmp_path / "n", tmp_path / "n.work"
    for name in ("", *names):
        (work / name).mkdir(parents=True, exist_ok=True)
    place = Destination(path, Files())
    if is_left:
        place.lock()
        place.close()
        assert list(tmp_path.iterdir()) == []
    else:
        assert refusal(TargetError, place.lock) == f"{work} exists and holds something else; choose another name"
    if not work.exists():
        work.touch()
        assert refusal(TargetError, place.lock) == f"{work} exists and holds something else; choose another name"


def test_a_plan_is_that_of_an_export_in_a_form_of_the_folder() -> None:
    assert plan_bytes(3, {"a": [1]}) == b'{"a":[1],"export":3,"form":5}'


def test_locks(tmp_path: Path) -> None:
    first, second = Staging(Files(), tmp_path, 1), Staging(Files(), tmp_path, 1)
    first.lock()
    assert refusal(TargetError, second.lock) == (
        f"{tmp_path}: another process is writing this archive; wait until it is done"
    )
    first.close()
    (tmp_path / STAGING / "lock").unlink()
    (tmp_path / STAGING / "lock").mkdir()
    assert refusal(TargetError, second.lock) == f"{tmp_path / STAGING / 'lock'}: cannot be locked: Is a directory"


def test_a_pack_of_a_worker_that_is_not_whole(tmp_path: Path) -> None:
    target, staging = ArchiveTarget(tmp_path / "a", append=False, files=Files()), Staging(Files(), tmp_path / "a", 1)
    folder = staging.folder / "ab" / "packs"
    folder.mkdir(parents=True)
    (folder / "0001-00000.zst").write_bytes(b"abc")
    packs = [WrittenPack(name="packs/0001-10000-ab.zst", size=size, sha256="0" * 64) for size in (3, 4)]
    parcels = [
        Parcel(
            token="ab",  # noqa: S106 - begins names of files
            blocks=(BLOCK,),
            packs=(pack,),
            large=frozenset(),
            counts={},
            notes=(),
            gaps=(),
        )
        for pack in packs
    ]
    with closing(target):
        assert target.take(replace(parcels[1], blocks=()), staging) is None
        assert refusal(TargetError, target.take, parcels[1], staging) == (
            f"{folder}/0001-00000.zst has 3 bytes, expected 4"
        )
        assert target.take(parcels[0], staging) == staging.folder / "ab" / "000001.rows"
        assert (tmp_path / "a" / packs[0].name).read_bytes() == b"abc"
        target.forget(parcels[0], staging)
        assert list(staging.folder.iterdir()) == []


def base_of(*sources: dict[str, str], models: bool = False) -> Any:
    exports = [
        Export(number=at, created_ms=0, tool="t", source=source, selection={}, counts={}, gaps=0)
        for at, source in enumerate(sources, 1)
    ]
    return SimpleNamespace(
        manifest=SimpleNamespace(exports=exports),
        experiments=lambda: iter([("1", 1600000000000, "one"), ("2", None, "two"), ("3", 5, None)]),
        holds_registered_models=lambda: models,
    )


def test_experiments_of_another_source() -> None:
    other = SameSource(base_of({"uri": "old"}, {"uri": "newest"}), FACTS)
    assert (other.is_known_place, other.note()) == (
        False,
        f"the archive was made from newest; what is added comes from {FACTS.uri}",
    )
    known = SameSource(base_of({"uri": FACTS.uri}, {"uri": "newest"}), FACTS)
    assert known.is_known_place
    start = f"{FACTS.uri} is not the source of this archive (newest): experiment"
    end = (
        ". Runs of both would lie in one experiment, so nothing was added. Export it into an archive of its own, or "
        "give --same-source if it is the same source all the same"
    )
    for row, reason in (
        (experiment("1", "one"), None),
        (experiment("1", "one", creation_time=None), None),
        (experiment("9", "nine", creation_time=7), None),
        (experiment("2", "two", creation_time=7), None),
        (experiment("1", "one", creation_time=7), "1 was made at another time"),
        (experiment("3", "three", creation_time=5), "3 is 'three' there and None in the archive"),
        (experiment("1", "other"), "1 is 'other' there and 'one' in the archive"),
    ):
        tables = {"experiments": table("experiments", [experiment("9", "nine"), row])}
        other.check({})
        if reason is None:
            other.check(tables)
            known.check(tables)
        else:
            assert refusal(TargetError, other.check, tables) == f"{start} {reason}{end}"
            if "time" not in reason:
                known.check(tables)


def test_chosen_versions_are_not_added_to_registered_models() -> None:
    chosen = Selection(models=("m",), versions=("3",))
    check_versions_whole(base_of(models=True), Selection(models=("m",)))
    check_versions_whole(base_of(), chosen)
    assert refusal(SelectionError, check_versions_whole, base_of(models=True), chosen) == (
        "--versions, --stages and --latest-versions do not go with --append to an archive that holds registered "
        "models: the versions that it has would be hidden. Export them into a new archive, or append all versions"
    )


def test_an_index_replaces_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "x"
    assert [is_index(path), is_index(tmp_path)] == [False, False]
    for data, found in ((b"MLFAINDX", True), (b"MLFAIND", False), (b"MLFAINDY", False)):
        path.write_bytes(data)
        assert is_index(path) is found
    whole = archive(manifest=SimpleNamespace(delta=None))
    assert refusal(TargetError, write_index, whole, path) == f"{path} exists and is no index; choose another name"


def group(first: int, last: int, *members: Member) -> tuple[Any, GroupSurvey]:
    holder = SimpleNamespace(_archive=SimpleNamespace(manifest=SimpleNamespace(members=members)))
    return holder, GroupSurvey(group=ExportGroup(number=1, first=first, last=last))


def member(path: str, table: str | None, export: int = 1, rows: int = 2) -> Member:
    kind: Any = "table" if table else "text" if path.endswith("txt") else "pack"
    return Member(path=path, kind=kind, export=export, size=1, sha256="0" * 64, table=table, rows=rows)


def test_tables_that_nobody_knows_stay_with_the_newest_export_or_cannot_be_thinned_out() -> None:
    others = ThinningSurvey._others
    gizmos = [member(f"g{export}", "unknown:gizmos", export) for export in (1, 2)]
    rest = [member("README.txt", None), member("packs/x", None), member("r", "runs"), member("late", "unknown:z", 3)]
    holder, surveyed = group(1, 2, *gizmos, *rest)
    assert [one.path for one in others(holder, surveyed)] == ["g2", "README.txt"]
    assert surveyed.dropped_rows == {"unknown:gizmos": 2}
    newer = member("n", "newer")
    assert [one.path for one in others(*group(1, 1, newer))] == ["n"]
    assert refusal(SelectionError, lambda: list(others(*group(1, 2, newer)))) == (
        "n is of the table 'newer', which this version does not know: a newer mlflow-archive wrote it, and one may "
        "thin it out"
    )


def test_a_pack_that_changed_or_lost_something_on_the_way_ends_the_compaction(tmp_path: Path) -> None:
    write_directory(build(Draft()), tmp_path / "a")
    data = (tmp_path / "a" / PACK).read_bytes()
    written: list[int] = []

    def pack(data: bytes, sha256: str, size: int | None = None) -> tuple[Any, SurveyedPack]:
        one = Member(path=PACK, kind="pack", export=1, size=len(data) if size is None else size, sha256=sha256)
        opened = SimpleNamespace(size=len(data), read_at=lambda at, count: data[at : at + count])
        holder = SimpleNamespace(open_member=lambda _: opened)
        return holder, SurveyedPack(member=one, live_extents=3, live_bytes=1, dead_blobs=0, whole=True)

    survey: Any = SimpleNamespace(staying=lambda _, placed: set(placed.label.extents))
    writer: Any = SimpleNamespace(append=lambda frame, label: written.append(len(label.extents)))
    sound = hashlib.sha256(data).hexdigest()
    holder, one = pack(data, sound)
    ThinnedPacks(holder, survey, writer).add([one])
    assert written == [2, 1]
    lost = replace(one, live_extents=4)
    assert refusal(RuntimeError, ThinnedPacks(holder, survey, writer).add, [lost]) == (
        "3 extents were written of 4 that stay: nothing of an archive may get lost"
    )
    for sha256, size in (("0" * 64, None), (sound, len(data) + 1)):
        holder, one = pack(data, sha256, size)
        with pytest.raises(DamagedError) as caught:
            ThinnedPacks(holder, survey, writer).add([one])
        assert str(caught.value) == f"E012: {PACK} has not the SHA-256 that the manifest states"
        assert (caught.value.code, caught.value.member) == ("E012", PACK)
    assert len(encode_pack(base_frames())[0]) == len(data)


def test_reports_as_json() -> None:
    assert JoinReport(base="b", archive_id="a", exports=1, members=2, bytes=3).to_json() == {
        "base": "b",
        "archive_id": "a",
        "exports": 1,
        "members": 2,
        "bytes": 3,
    }
    assert IndexReport(archive_id="a", known=1, blobs=2, size=3).to_json() == {
        "archive_id": "a",
        "known": 1,
        "blobs": 2,
        "size": 3,
    }
    kept = KeptExport(number=1, before=2, created_ms=3)
    report = CompactReport(
        archive_id="a",
        written_id=None,
        kept_exports=(kept,),
        dropped_exports=(1,),
        rows={"runs": 2},
        blobs=3,
        copied=4,
        written=5,
        bytes_before=10,
        bytes_after=4,
        signatures=6,
    )
    assert report.to_json() == {
        "archive_id": "a",
        "written_id": None,
        "kept_exports": [{"number": 1, "before": 2, "created_ms": 3}],
        "dropped_exports": [1],
        "rows": {"runs": 2},
        "blobs": 3,
        "copied": 4,
        "written": 5,
        "bytes_before": 10,
        "bytes_after": 4,
        "signatures": 6,
        "freed": 6,
    }
    assert (CompactOptions(tool="t", clock_ms=int).level, CompactOptions(tool="t", clock_ms=int).jobs) == (3, 2)
