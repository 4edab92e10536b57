"""What of a pack or part proves itself: labels, frames, footers and pages, and what that decides of two copies."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import pytest

from mlflow_archive.format.manifest import Member
from mlflow_archive.format.packs import MAX_FRAME_RAW, Extent, Label, encode_label
from mlflow_archive.repairing.drafts import Draft
from mlflow_archive.repairing.loose_file import LooseFile
from mlflow_archive.repairing.units import frame_is_sound, label_at, label_length, next_label, settle_units
from mlflow_archive.storage.members import HASH_BLOCK, BytesMember
from tests.spec.drafts import Frame, base_rows, compress, encode_pack, encode_part, make_table, sha

BLOBS = [b"first blob " * 9, b"", b"another blob " * 30, b"the last"]
LABEL = Label(
    frame_size=7,
    raw_size=3,
    extents=(
        Extent(digest=bytes(32), raw_offset=0, size=2),
        Extent(digest=b"\1" * 32, raw_offset=0, size=1),
    ),
)
ENCODED = encode_label(LABEL)


def label_of(*extents: tuple[bytes, int, int], raw_size: int | None = None) -> Label:
    """Return the label of a frame of extents: the blob of each, where in it they begin, and their size."""
    sizes = sum(size for _, _, size in extents)
    made = tuple(
        Extent(digest=hashlib.sha256(blob).digest(), raw_offset=offset, size=size) for blob, offset, size in extents
    )
    return Label(frame_size=1, raw_size=sizes if raw_size is None else raw_size, extents=made)


@pytest.mark.parametrize(
    ("label", "raw", "sound"),
    [
        (label_of((b"ab", 0, 2), (b"cde", 0, 3)), b"abcde", True),
        (label_of((b"ab", 0, 2), (b"cde", 0, 3)), b"abcdX", False),
        (label_of((b"ab", 0, 2), (b"cde", 0, 3)), b"aXcde", False),
        (label_of((b"", 0, 0), (b"cde", 0, 3)), b"cde", True),
        (label_of((b"ab", 0, 2), (b"cde", 0, 3), (b"f", 0, 1)), b"abcdef", True),
        (label_of((b"ab", 0, 2), (b"cde", 0, 3), (b"f", 0, 1)), b"abcdeX", False),
        (label_of((b"what begins elsewhere", 5, 2)), b"ab", True),
        (label_of((b"ab", 0, 2), raw_size=3), b"abc", True),
        (label_of((b"ab", 0, 2), raw_size=3), b"ab", False),
    ],
    ids=[
        "two",
        "the last differs",
        "the first differs",
        "empty",
        "three",
        "the third differs",
        "a piece",
        "rest",
        "another size",
    ],
)
def test_a_frame_is_sound_if_its_blobs_are(label: Label, raw: bytes, sound: bool) -> None:
    assert frame_is_sound(label, compress(raw)) is sound


def test_the_first_piece_of_a_large_blob_has_not_its_digest() -> None:
    frame = bytes(MAX_FRAME_RAW)
    assert frame_is_sound(label_of((frame + b"more", 0, MAX_FRAME_RAW)), compress(frame))
    assert not frame_is_sound(label_of((frame, 0, MAX_FRAME_RAW - 1)), compress(frame[:-1]))
    assert not frame_is_sound(label_of((b"ab", 0, 2)), b"no frame")


@pytest.mark.parametrize("before", [0, 1, HASH_BLOCK - 2, HASH_BLOCK - 1, HASH_BLOCK, HASH_BLOCK + 1])
def test_the_next_label_is_the_first_that_is_sound(before: int) -> None:
    magic = ENCODED[:4]
    pack = BytesMember("pack", bytes(before) + magic + b"no label" + ENCODED + ENCODED)
    at = before + 12
    assert next_label(pack, 0) == at
    assert next_label(pack, before) == at
    assert next_label(pack, at) == at
    assert next_label(pack, at + 1) == at + len(ENCODED)
    assert next_label(pack, at + len(ENCODED) + 1) is None
    assert next_label(pack, pack.size) is None


def test_a_label_is_whole_and_as_long_as_it_says() -> None:
    pack = BytesMember("pack", b"x" + ENCODED)
    assert label_at(pack, 1) == LABEL
    assert label_length(LABEL) == len(ENCODED)
    assert [label_at(pack, at) for at in (0, 2, pack.size - 1)] == [None, None, None]
    assert label_at(BytesMember("pack", ENCODED[:-1]), 0) is None
    assert label_at(BytesMember("pack", ENCODED[:-1] + b"X"), 0) is None


def drafted(
    stored: bytes, kind: Literal["pack", "table", "text", "manifest"], *damages: list[tuple[int, int]]
) -> tuple[Draft, Member]:
    """Return a draft of copies of some bytes, each with its ranges of X, and the member that they are of."""
    copies = []
    for ranges in damages:
        data = bytearray(stored)
        for low, high in ranges:
            data[low:high] = b"X" * (high - low)
        copies.append(BytesMember("m", bytes(data)))
    footer = sha(stored[-8 - int.from_bytes(stored[-8:-4], "little") :]) if kind == "table" else None
    member = Member(path="m", kind=kind, export=1, size=len(stored), sha256=sha(stored), footer_sha256=footer)
    return Draft(copies), member


def content(draft: Draft) -> bytes:
    return draft.read_at(0, draft.size)


PACK, _ = encode_pack([Frame(blobs=BLOBS[:2]), Frame(blobs=BLOBS[2:3]), Frame(blobs=BLOBS[3:])])
SECOND = PACK.index(ENCODED[:4], 1)
THIRD = PACK.index(ENCODED[:4], SECOND + 1)


@pytest.mark.parametrize(
    "damages",
    [
        [[(4, 9)], [(SECOND + 5, SECOND + 8)]],
        [[(30, 40)], [(SECOND + 1, SECOND + 2), (THIRD + 90, THIRD + 95)]],
        [[(SECOND - 3, SECOND)], [(len(PACK) - 3, len(PACK))]],
        [[(0, 1), (THIRD, THIRD + 1)], [(8, 12), (THIRD + 8, THIRD + 12)], [(SECOND - 9, SECOND - 4)]],
    ],
)
def test_labels_and_frames_of_a_pack_decide(damages: list[list[tuple[int, int]]]) -> None:
    draft, member = drafted(PACK, "pack", *damages)
    assert content(draft) != PACK
    settle_units(draft, member)
    assert (content(draft), draft.undecided) == (PACK, [])


def test_behind_a_label_that_is_lost_the_next_one_decides() -> None:
    draft, member = drafted(PACK, "pack", [(2, 60)], [(2, 40), (THIRD + 90, THIRD + 95)])
    settle_units(draft, member)
    assert content(draft)[SECOND:] == PACK[SECOND:]
    assert all(high <= SECOND for _, high in draft.undecided)


PART = encode_part(make_table("params", base_rows()["params"]))
FOOTER = len(PART) - 8 - int.from_bytes(PART[-8:-4], "little")


@pytest.mark.parametrize(
    "damages",
    [
        [[(0, 2)], [(FOOTER + 20, FOOTER + 30)]],
        [[(FOOTER, FOOTER + 4)], [(len(PART) - 7, len(PART) - 5)]],
        [[(5, 8)], [(FOOTER - 4, FOOTER)]],
        [[(len(PART) - 2, len(PART))], [(20, 24)]],
    ],
    ids=["magic and footer", "footer and its size", "pages", "end and page"],
)
def test_footer_and_pages_of_a_part_decide(damages: list[list[tuple[int, int]]]) -> None:
    draft, member = drafted(PART, "table", *damages)
    assert content(draft) != PART
    settle_units(draft, member)
    assert (content(draft), draft.undecided) == (PART, [])


def test_what_proves_nothing_stays_undecided() -> None:
    kinds: tuple[Literal["text", "manifest"], ...] = ("text", "manifest")
    for kind in kinds:
        draft, member = drafted(PACK, kind, [(4, 9)], [(40, 42)])
        settle_units(draft, member)
        assert draft.undecided == [(4, 9), (40, 42)]
    draft, member = drafted(PART, "table", [(4, 9)], [(40, 42)])
    settle_units(draft, Member(path="m", kind="table", export=1, size=len(PART), sha256=member.sha256))
    assert draft.undecided == [(4, 9), (40, 42)]


@pytest.mark.parametrize(("size", "undecided"), [(12, []), (11, [(9, 10)])])
def test_the_smallest_part_is_magic_footer_and_its_size(size: int, undecided: list[tuple[int, int]]) -> None:
    stored = b"PAR1\0\0\0\0PAR1"[-size:]
    footer = sha(stored[-8:])
    copies = [BytesMember("m", stored), BytesMember("m", stored[:9] + b"X" + stored[10:])]
    draft = Draft(copies[::-1])
    settle_units(draft, Member(path="m", kind="table", export=1, size=size, sha256=sha(stored), footer_sha256=footer))
    assert draft.undecided == undecided
    assert content(draft) == (copies[1].read_at(0, size) if undecided else stored)


def test_a_piece_of_a_file_ends_where_the_file_does(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"0123456789")
    file = LooseFile(tmp_path / "a")
    pieces = [file.piece("m", offset, 4) for offset in (0, 6, 8, 10, 12)]
    assert [piece.read_at(0, piece.size) for piece in pieces] == [b"0123", b"6789", b"89", b"", b""]
    file.close()
