"""Packs and the blob index under verification: what is found at which byte, and what still counts as proved."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from mlflow_archive.errors import DamagedError
from mlflow_archive.format.manifest import Member
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.reader.blobs import StoredExtent
from mlflow_archive.verification.checks import verify
from mlflow_archive.verification.packs import raw_digest
from mlflow_archive.verification.report import Lost
from mlflow_archive.verification.taken import _is_read, _Packs, check_taken
from tests.spec.drafts import HELLO, PACK, RUN_A, RUN_B, WORLD, Draft, Files, build, write_directory


def archive(path: Path, **edits: Any) -> Path:
    """Write the base archive with some edits as a folder."""
    write_directory(build(Draft(**edits)), path)
    return path


def pack_changed(change: Callable[[bytes], bytes]) -> Callable[[Files], None]:
    """Return an edit of the pack, of which the manifest states the right hash."""

    def edit(members: Files) -> None:
        members[PACK] = change(members[PACK])

    return edit


def found(path: Path) -> list[tuple[str, str, str]]:
    return [(problem.code, problem.member, problem.message) for problem in verify(path, jobs=1).problems]


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def frames_of(path: Path) -> list[int]:
    """Return where the frames of the base archive begin."""
    with open_archive(path) as opened:
        return sorted(set(opened.table("blobs")["frame_offset"].to_pylist()))


def test_behind_a_damaged_label_the_frame_that_the_index_names_still_counts(tmp_path: Path) -> None:
    path = archive(tmp_path / "a", members=pack_changed(lambda data: b"\0" + data[1:]))
    assert found(path) == [("E041", PACK, "at byte 0: no label of a frame")]
    assert verify(path).lost == set()


def test_where_neither_label_nor_frame_is_one_the_next_frame_is_looked_for(tmp_path: Path) -> None:
    first, _ = frames_of(archive(tmp_path / "base"))

    def spoil(data: bytes) -> bytes:
        return b"\0" + data[1:first] + bytes(4) + data[first + 4 :]

    path = archive(tmp_path / "a", members=pack_changed(spoil))
    assert found(path) == [
        ("E041", PACK, "at byte 0: no label of a frame"),
        ("E041", PACK, f"at byte {first}: no label of a frame"),
        ("E044", PACK, f"the blob index names a frame at byte {first}, where there is none"),
        ("E042", "", f"blob {sha(HELLO)} does not come out with its digest"),
    ]
    assert verify(path).lost == {Lost(kind="run", id=RUN_A, path="a b.txt")}  # the empty one needs no frame


@pytest.mark.parametrize(
    ("missing", "reason"),
    [
        (1, "E011: {pack}: bytes {second} to {end} are asked for, it has {size}"),
        (30, "E011: {pack}: bytes {second} to {end} are asked for, it has {size}"),
        (31, "E011: {pack}: bytes {label} to {second} are asked for, it has {size}"),
        (78, "E011: {pack}: bytes {label} to {second} are asked for, it has {size}"),
        (79, "a label is cut short"),
    ],
)
def test_a_pack_that_ends_within_a_frame_or_a_label(tmp_path: Path, missing: int, reason: str) -> None:
    base = archive(tmp_path / "base")
    label, second, end = frames_of(base)[1] - 76, frames_of(base)[1], (base / PACK).stat().st_size
    path = archive(tmp_path / "a", members=pack_changed(lambda data: data[:-missing]))
    said = reason.format(pack=PACK, label=label, second=second, end=end, size=end - missing)
    assert found(path) == [
        ("E041", PACK, f"at byte {label}: {said}"),
        *([("E041", PACK, f"at byte {second}: no label of a frame")] if missing < end - second else []),
        ("E044", PACK, f"the blob index names a frame at byte {second}, where there is none"),
        ("E042", "", f"blob {sha(WORLD)} does not come out with its digest"),
    ]
    assert verify(path).lost == {Lost(kind="run", id=RUN_B, path="dir/world.txt")}


@pytest.mark.parametrize(("column", "value"), [("offset_in_frame", -1), ("offset_in_frame", 1), ("raw_size", 18)])
def test_an_extent_that_lies_outside_of_its_frame(tmp_path: Path, column: str, value: int) -> None:
    def edit(rows: dict[str, list[dict[str, Any]]]) -> None:
        [row] = [row for row in rows["blobs"] if row["digest"] == sha(WORLD)]
        row[column] = value

    path = archive(tmp_path / "a", rows=edit)
    at = frames_of(path)[1]
    assert found(path) == [
        ("E041", PACK, f"the blob index and the label of the frame at byte {at} disagree on {sha(WORLD)}"),
        ("E044", PACK, f"an extent of blob {sha(WORLD)} lies outside of the frame at byte {at}"),
        ("E042", "", f"blob {sha(WORLD)} does not come out with its digest"),
    ]
    with open_archive(path) as opened, pytest.raises(DamagedError, match=r"E044|E052"):
        check_taken(opened)


def test_texts_that_are_no_digest_equal_none() -> None:
    assert (raw_digest("00ff"), raw_digest("x"), raw_digest("0")) == (b"\x00\xff", b"", b"")


@pytest.mark.parametrize(
    ("key_min", "key_max", "read"),
    [
        ("a", "b", True),
        ("b", "b", True),
        ("b", "c", True),
        ("c", "c", False),
        ("c", "d", True),
        ("d", "e", True),
        ("e", "f", False),
        ("a", "a", False),
        (None, None, True),
        ("c", None, True),
        ("e", None, False),
    ],
)
def test_which_parts_are_read_for_some_ids(key_min: str | None, key_max: str | None, read: bool) -> None:
    def member(name: str) -> Member:
        return Member(
            path="p", kind="table", export=1, size=0, sha256="", table=name, rows=1, key_min=key_min, key_max=key_max
        )

    ids = pa.array(["b", "d"], pa.string())
    assert _is_read(member("params"), ids) is read
    assert _is_read(member("params"), None)
    for name in ("runs", "artifacts", "blobs", "experiments", "gaps"):
        assert _is_read(member(name), ids)


def test_where_an_extent_may_lie(tmp_path: Path) -> None:
    with open_archive(archive(tmp_path / "a")) as opened:
        rows = [row for row in opened.table("blobs").to_pylist() if row.pop("digest") == sha(WORLD)]
        [member] = [member for member in opened.manifest.members if member.path == PACK]
        packs = _Packs(opened)
        right = StoredExtent(**rows[0])
        packs.check(right)
        assert packs.names == {PACK}
        packs.check(replace(right, offset_in_frame=len(WORLD), raw_size=0))
        with pytest.raises(DamagedError, match="no zstd frame"):
            packs.check(replace(right, frame_offset=right.frame_offset + 1, frame_size=1))
        outside = f"E044: {PACK}: an extent lies outside of the frame at byte"
        for changes in (
            {"raw_size": len(WORLD) + 1},
            {"offset_in_frame": 1},
            {"offset_in_frame": -1, "raw_size": 1},
            {"frame_size": 0},
            {"frame_size": member.size - right.frame_offset + 1},
            {"frame_offset": -1},
            {"frame_offset": member.size},
        ):
            wrong = StoredExtent(**{**rows[0], **changes})
            with pytest.raises(DamagedError) as caught:
                packs.check(wrong)
            assert str(caught.value) == f"{outside} {wrong.frame_offset}"
            assert (caught.value.code, caught.value.member) == ("E044", PACK)
        with pytest.raises(DamagedError) as caught:
            packs.check(replace(right, frame_offset=0, frame_size=4))
        assert str(caught.value).startswith(f"E044: {PACK} at byte 0: no zstd frame: ")
        assert (caught.value.code, caught.value.member) == ("E044", PACK)
        with pytest.raises(DamagedError) as caught:
            packs.check(replace(right, pack="packs/0009-00000.zst"))
        assert str(caught.value) == "E044: pack packs/0009-00000.zst is not listed in the manifest"
        assert (caught.value.code, caught.value.member) == ("E044", "packs/0009-00000.zst")
