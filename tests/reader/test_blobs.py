"""Blobs: where their extents may lie, what is decoded once and what again, and that no wrong byte is given out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlflow_archive.errors import DamagedError
from mlflow_archive.format.packs import MAX_FRAME_RAW, MAX_FRAME_SIZE, decode_frame
from mlflow_archive.reader import blobs as reader
from mlflow_archive.reader.archive import Archive, open_archive
from mlflow_archive.reader.blobs import Blobs, StoredExtent, _check_order
from tests.spec.drafts import EMPTY, HELLO, PACK, WORLD, Draft, build, sha, write_directory
from tests.spec.faults import cut, wrong_digest

Opened = Callable[..., Blobs]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    """Give a function that writes an archive with some edits and opens its blobs."""
    archives: list[Archive] = []

    def open_blobs(**edits: Any) -> Blobs:
        write_directory(build(Draft(**edits)), path := tmp_path / str(len(archives)))
        archives.append(open_archive(path))
        return Blobs(archives[-1])

    yield open_blobs
    for archive in archives:
        archive.close()


def refused(error: pytest.ExceptionInfo[DamagedError]) -> tuple[str, str | None, str]:
    return error.value.code, error.value.member, str(error.value)


def test_blobs_are_found_by_their_digest_and_read_whole(opened: Opened) -> None:
    blobs = opened()
    pieces = blobs.pieces([sha(HELLO), sha(WORLD), "0" * 64])
    assert {digest: [(one.raw_offset, one.raw_size, one.offset_in_frame) for one in found]
            for digest, found in pieces.items()} == {sha(HELLO): [(0, 16, 0)], sha(WORLD): [(0, 17, 0)]}  # fmt: skip
    assert [blobs.open(sha(data)).read() for data in (HELLO, WORLD, EMPTY)] == [HELLO, WORLD, b""]
    assert blobs.open(sha(WORLD), pieces[sha(WORLD)]).read() == WORLD
    with pytest.raises(DamagedError) as error:
        blobs.open("0" * 64)
    assert refused(error) == ("E050", None, f"E050: blob {'0' * 64} is not in the archive")


def test_extents_come_in_raw_order_and_each_once(opened: Opened) -> None:
    blobs = opened(frames=cut(WORLD, (5, WORLD[5:]), (0, WORLD[:5]), (0, WORLD[:5])))
    [pieces] = blobs.pieces([sha(WORLD)]).values()
    assert [(one.raw_offset, one.raw_size) for one in pieces] == [(0, 5), (5, 12)]
    assert blobs.open(sha(WORLD)).read() == WORLD


def extent(offset: int, size: int, *, place: int = 0, frame: int = 0) -> StoredExtent:
    return StoredExtent(
        raw_offset=offset, raw_size=size, pack=PACK, frame_offset=frame, frame_size=9, offset_in_frame=place
    )


@pytest.mark.parametrize(
    ("pieces", "code", "message"),
    [
        ([extent(0, 0)], "", ""),
        ([extent(0, MAX_FRAME_RAW), extent(MAX_FRAME_RAW, 1, frame=1)], "", ""),
        ([extent(0, 2), extent(2, 3, place=2)], "", ""),
        ([extent(1, 2)], "E043", "blob d: its extents leave a gap or overlap at byte 0"),
        ([extent(0, 2), extent(3, 1, place=2)], "E043", "blob d: its extents leave a gap or overlap at byte 2"),
        ([extent(0, 2), extent(1, 1, place=2)], "E043", "blob d: its extents leave a gap or overlap at byte 2"),
        ([extent(0, -1)], "E043", "blob d: its extents leave a gap or overlap at byte 0"),
        (
            [extent(0, MAX_FRAME_RAW + 1)],
            "E044",
            f"{PACK}: no frame holds {MAX_FRAME_RAW + 1} bytes, as an extent of blob d states",
        ),
        (
            [extent(0, 2), extent(2, 2), extent(4, 2)],
            "E043",
            "blob d: 3 extents lie in 1 places of the packs, expected as many",
        ),
    ],
)
def test_extents_follow_each_other_in_places_of_their_own(pieces: list[StoredExtent], code: str, message: str) -> None:
    if not code:
        _check_order("d", pieces)
        return
    with pytest.raises(DamagedError) as error:
        _check_order("d", pieces)
    assert refused(error) == (code, PACK if code == "E044" else None, f"{code}: {message}")


def test_an_extent_lies_within_its_frame_and_that_within_its_pack(opened: Opened) -> None:
    blobs = opened()
    [[right]] = blobs.pieces([sha(WORLD)]).values()
    assert blobs.piece(right) == WORLD
    assert blobs.piece(replace(right, offset_in_frame=16, raw_size=1)) == WORLD[-1:]
    assert blobs.piece(replace(right, offset_in_frame=17, raw_size=0)) == b""
    size = blobs._packs[PACK].size
    assert right.frame_offset + right.frame_size == size
    outside = f"E044: {PACK}: an extent lies outside of its frame at byte {right.frame_offset}"
    cases: list[tuple[dict[str, Any], str]] = [
        ({"offset_in_frame": -1, "raw_size": 1}, outside),
        ({"offset_in_frame": 1}, outside),
        ({"pack": "packs/0009-00000.zst"}, "E044: pack packs/0009-00000.zst is not listed in the manifest"),
        *(
            (
                {"frame_offset": offset, "frame_size": frame_size},
                f"E044: {PACK}: no frame of {frame_size} bytes can lie at byte {offset}",
            )
            for offset, frame_size in (
                *((0, 0), (0, MAX_FRAME_SIZE + 1), (-1, 5), (size - 4, 5), (right.frame_offset + 1, right.frame_size)),
            )
        ),
    ]
    for changes, message in cases:
        wrong = replace(right, **changes)
        with pytest.raises(DamagedError) as error:
            blobs.piece(wrong)
        assert refused(error) == ("E044", wrong.pack, message)
    with pytest.raises(DamagedError, match=rf"^E040: {PACK} at byte 1: no zstd frame"):
        blobs.piece(replace(right, frame_offset=1, frame_size=5))


def test_the_frames_that_were_used_last_are_not_decoded_again(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "_CACHED_FRAMES", 2)
    decoded: list[str] = []

    def counted(frame: bytes, raw_size: int | None, *, where: str) -> bytes:
        decoded.append(where)
        return decode_frame(frame, raw_size, where=where)

    monkeypatch.setattr(reader, "decode_frame", counted)
    blobs = opened(frames=cut(WORLD, (0, WORLD[:5]), (5, WORLD[5:9]), (9, WORLD[9:])))
    [[first, second, third]] = blobs.pieces([sha(WORLD)]).values()
    for piece in (first, second, first, first, third, first, second):
        blobs.piece(piece)
    offsets = [piece.frame_offset for piece in (first, second, third, second)]
    assert decoded == [f"{PACK} at byte {offset}" for offset in offsets]
    assert len(blobs._frames) == 2


def test_a_large_blob_is_read_from_any_place(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MAX_FRAME_RAW", 16)
    blobs = opened(frames=cut(WORLD, (0, WORLD[:5]), (5, WORLD[5:])))
    with blobs.open(sha(WORLD)) as stream:
        assert not hasattr(stream, "getbuffer")  # not whole in memory
        assert stream.read() == WORLD
        assert [stream.seek(4), stream.read(2), stream.seek(-1, 2), stream.read(9), stream.read(1)] == [
            4, WORLD[4:6], len(WORLD) - 1, WORLD[-1:], b""
        ]  # fmt: skip
    with blobs.open(sha(HELLO)) as stream:
        assert hasattr(stream, "getbuffer")
        assert stream.read() == HELLO


def test_bytes_with_another_digest_are_refused(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = opened(frames=wrong_digest)
    message = f"E042: blob {sha(WORLD)}: its bytes have SHA-256 {hashlib.sha256(WORLD.upper()).hexdigest()}"
    with pytest.raises(DamagedError) as error:
        blobs.open(sha(WORLD))
    assert refused(error) == ("E042", None, message)
    monkeypatch.setattr(reader, "MAX_FRAME_RAW", 16)
    monkeypatch.setattr(reader, "_check_order", lambda digest, pieces: None)
    with blobs.open(sha(WORLD)) as stream:  # large now: found where it is read to its end
        with pytest.raises(DamagedError) as error:
            stream.read()
        assert str(error.value) == message
    with blobs.open(sha(WORLD)) as stream:
        stream.seek(3)
        assert stream.read(4) == WORLD.upper()[3:7]  # who jumps about has the checksum of each frame only


def test_an_empty_blob_has_the_digest_of_nothing(opened: Opened) -> None:
    def lie(rows: dict[str, list[dict[str, Any]]]) -> None:
        for row in rows["blobs"]:
            if row["digest"] == sha(EMPTY):
                row["digest"] = "f" * 64

    with pytest.raises(DamagedError, match=rf"^E042: blob {'f' * 64}: its bytes have SHA-256 {sha(EMPTY)}"):
        opened(rows=lie).open("f" * 64)
