"""Which packs stay as they are when an archive is thinned out, and what its manifest states beside them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlflow_archive.errors import DamagedError
from mlflow_archive.format.layout import MANIFEST, manifest_name
from mlflow_archive.format.manifest import Member, MemberKind, decode, encode
from mlflow_archive.format.packs import Extent, Label, compressor
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.writer.compacting import thinned_packs
from mlflow_archive.writer.compacting.compact import CompactOptions, _about, _renamed, compact
from mlflow_archive.writer.compacting.policy import Keep
from mlflow_archive.writer.compacting.survey import ExportGroup, GroupSurvey, SurveyedPack
from mlflow_archive.writer.compacting.thinned_packs import SMALL_PACK, ThinnedPacks, packs_to_copy, packs_to_write
from tests.support.memory_source import MemoryOptions, export


def pack(name: str, size: int, *, whole: bool, extents: int = 1) -> SurveyedPack:
    member = Member(path=name, kind="pack", export=1, size=size, sha256="0" * 64)
    return SurveyedPack(member=member, live_extents=extents, live_bytes=size, dead_blobs=0, whole=whole)


LARGE = SMALL_PACK
SMALL = SMALL_PACK - 1


@pytest.mark.parametrize(
    ("packs", "written", "copied"),
    [
        ([], [], []),
        ([pack("a", SMALL, whole=True)], [], ["a"]),
        ([pack("b", SMALL, whole=True), pack("a", SMALL, whole=True)], ["a", "b"], []),
        ([pack("a", LARGE, whole=True), pack("b", SMALL, whole=True)], [], ["a", "b"]),
        ([pack("a", LARGE, whole=False)], ["a"], []),
        ([pack("b", LARGE, whole=False), pack("a", SMALL, whole=True)], ["a", "b"], []),
        ([pack("a", LARGE, whole=False), pack("b", LARGE, whole=True)], ["a"], ["b"]),
        ([pack("a", SMALL, whole=False, extents=0)], [], []),
        ([pack("a", SMALL, whole=False, extents=0), pack("b", SMALL, whole=True)], ["b"], []),
        ([pack("a", 0, whole=True, extents=0)], [], ["a"]),
    ],
)
def test_packs_that_stay_and_packs_that_are_written(
    packs: list[SurveyedPack], written: list[str], copied: list[str]
) -> None:
    surveyed = GroupSurvey(group=ExportGroup(number=1, first=1, last=1), packs=packs)
    assert [one.member.path for one in packs_to_write(surveyed)] == written
    assert [one.member.path for one in packs_to_copy(surveyed)] == copied


def test_copied_members_are_numbered_by_folder_in_the_order_of_exports() -> None:
    def member(export: int, path: str, table: str | None = None) -> Member:
        kind: MemberKind = "table" if table else "text"
        return Member(path=path, kind=kind, export=export, size=1, sha256="0" * 64, table=table)

    copied = [
        *(member(2, "a", "tags"), member(1, "b", "gizmos"), member(1, "c", "tags"), member(1, "README.txt")),
        *(member(2, "d", "others"), member(1, "b2", "tags")),
    ]
    surveyed = GroupSurvey(group=ExportGroup(number=7, first=1, last=2), copied=copied)
    assert [(member.path, name) for member, name in _renamed(surveyed)] == [
        ("README.txt", "README.txt"),
        ("b", "tables/unknown_tables/0007-00000.parquet"),
        ("b2", "tables/tags/0007-00000.parquet"),
        ("c", "tables/tags/0007-00001.parquet"),
        ("a", "tables/tags/0007-00002.parquet"),
        ("d", "tables/unknown_tables/0007-00001.parquet"),
    ]


def test_a_frame_of_another_size_than_its_label_says_is_not_taken_apart() -> None:
    """Of a label that says less, what stays would be cut out at wrong places."""
    extent = Extent(digest=b"d" * 32, raw_offset=0, size=4)
    nothing: Any = None
    with pytest.raises(DamagedError, match=r"E045: packs/x at byte 7: the frame states 5 raw bytes, .*; expected 4"):
        ThinnedPacks(nothing, nothing, nothing)._keep(
            compressor(1).compress(b"12345"),
            Label(frame_size=0, raw_size=4, extents=(extent,)),
            {extent},
            "packs/x at byte 7",
        )


def test_extents_that_stay_share_frames_up_to_their_size_and_number(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[list[int]] = []
    writer: Any = SimpleNamespace(
        compressor=SimpleNamespace(compress=lambda raw, alike: raw),
        append=lambda frame, label: written.append([len(frame), *(extent.size for extent in label.extents)]),
    )
    nothing: Any = None
    extents = tuple(Extent(digest=bytes([size]) * 32, raw_offset=0, size=size) for size in (6, 4, 1, 9, 2, 3))
    label = Label(frame_size=0, raw_size=25, extents=extents)
    staying = [extent for extent in extents if extent.size != 9]
    for size, number, grouped in ((10, 9, [[10, 6, 4], [6, 1, 2, 3]]), (100, 2, [[10, 6, 4], [3, 1, 2], [3, 3]])):
        monkeypatch.setattr(thinned_packs, "SHARED_FRAME_RAW", size)
        monkeypatch.setattr(thinned_packs, "MAX_EXTENTS", number)
        written.clear()
        packs = ThinnedPacks(nothing, nothing, writer)
        packs._keep(compressor(1).compress(bytes(25)), label, staying, "x")
        packs._flush()
        assert written == grouped


def test_what_would_stay_is_the_share_of_rows_of_parts_that_are_written_anew() -> None:
    def part(size: int, rows: int | None) -> Member:
        return Member(path="x", kind="table", export=1, size=size, sha256="0" * 64, table="runs", rows=rows)

    surveyed = GroupSurvey(group=ExportGroup(number=1, first=1, last=1), packs=[pack("a", 7, whole=True)])
    surveyed.copied = [part(1000, 1)]
    surveyed.merged = {"runs": [part(100, 4), part(50, 6)], "tags": [part(30, None)]}
    surveyed.dropped_rows["runs"] = 4
    survey: Any = SimpleNamespace(groups=[surveyed, surveyed])
    assert _about(survey) == 2 * (1000 + 7 + 90)


def test_a_group_holds_what_its_exports_wrote() -> None:
    group = ExportGroup(number=1, first=2, last=3)
    members = [Member(path="x", kind="text", export=number, size=0, sha256="0" * 64) for number in range(1, 5)]
    assert [group.holds(member) for member in members] == [False, True, True, False]


def test_what_a_manifest_states_of_the_whole_archive_stays(tmp_path: Path) -> None:
    """Features that a reader may ignore, and what this version does not know."""
    old, new = tmp_path / "old", tmp_path / "new"
    export(old, MemoryOptions(runs=1))
    data = (old / MANIFEST).read_bytes()
    stated = replace(decode(data, where="m"), optional_features=("later",), unknown={"note": [1]})
    for name in (MANIFEST, manifest_name(1)):
        (old / name).write_bytes(encode(stated))
    compact(old, new, Keep(last=1), CompactOptions(tool="t", clock_ms=lambda: 7))
    with open_archive(new) as archive:
        manifest = archive.manifest
    assert (manifest.optional_features, manifest.required_features, manifest.unknown) == (("later",), (), {"note": [1]})
