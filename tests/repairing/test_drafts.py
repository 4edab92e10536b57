"""A member put together from copies: where these differ, how that is told apart, and what a hash decides."""

from __future__ import annotations

import hashlib
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlflow_archive.errors import DamagedError
from mlflow_archive.repairing import drafts
from mlflow_archive.repairing.copies import SECTOR, PaddedMember
from mlflow_archive.repairing.drafts import Draft, differing, majority
from mlflow_archive.storage.members import BytesMember

TEXT = Random(1).randbytes(5000)  # noqa: S311 - values that repeat


def with_zeros(*ranges: tuple[int, int]) -> BytesMember:
    content = bytearray(TEXT)
    for low, high in ranges:
        content[low:high] = bytes(high - low)
    return BytesMember("m", bytes(content))


def settled(*copies: BytesMember) -> bytes:
    draft = Draft(copies)
    assert draft.settle_rest([hashlib.sha256(TEXT).hexdigest()])
    return draft.read_at(0, draft.size)


@pytest.mark.parametrize(
    ("gap", "cut", "expected"),
    [
        (0, 0, [(0, 1), (2, 5), (8, 9)]),
        (1, 0, [(0, 5), (8, 9)]),
        (3, 0, [(0, 9)]),
        (0, 4, [(0, 1), (2, 4), (4, 5), (8, 9)]),
    ],
)
def test_where_pieces_differ(gap: int, cut: int, expected: list[tuple[int, int]]) -> None:
    assert differing([b"abcdefghij", b"Xbcdefghij", b"abXYZfghXj"], gap, cut=cut) == expected
    assert differing([b"same", b"same"], gap) == []
    shifted = [(low, high) for low, high in differing([b"aaaa", b"bbbb"], 0, cut=4, offset=3)]
    assert shifted == [(0, 1), (1, 4)]


def test_copies_that_are_damaged_in_different_places() -> None:
    assert settled(with_zeros((0, 1000)), with_zeros((1100, 1500), (4000, 5000))) == TEXT
    assert settled(with_zeros((320, 640)), with_zeros((640, 900))) == TEXT  # side by side, at a multiple of 64
    assert settled(with_zeros((9, 90)), with_zeros((80, 120)), with_zeros((300, 400))) == TEXT
    assert Draft([with_zeros((9, 90)), with_zeros((80, 120))]).settle_rest([hashlib.sha256(TEXT).hexdigest()]) is False


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, len(TEXT) - 1)), max_size=6, unique_by=lambda hit: hit[1]))
def test_any_few_bytes(hits: list[tuple[bool, int]]) -> None:
    copies = [bytearray(TEXT), bytearray(TEXT)]
    for copy, at in hits:
        copies[copy][at] ^= 0x40
    assert settled(*(BytesMember("m", bytes(copy)) for copy in copies)) == TEXT


def test_what_is_proved_in_two_ways_stays_undecided() -> None:
    same = b"s" * 100
    draft = Draft([BytesMember("m", b"b" + same + b"_"), BytesMember("m", b"X" + same + b"Y")])
    assert draft.settle(0, 102, lambda content: content.startswith(b"X"))
    assert draft.undecided == [(101, 102)]
    assert draft.settle_rest([hashlib.sha256(b"X" + same + b"_").hexdigest()])
    assert (draft.read_at(0, 102), draft.read_at(100, 2), draft.undecided) == (b"X" + same + b"_", b"s_", [])


def test_what_is_proved_in_no_way_is_that_of_the_first_copy() -> None:
    draft = Draft([BytesMember("m", b"abc"), BytesMember("m", b"aXc")])
    assert draft.settle(0, 3, lambda _: False) is False
    assert draft.settle(0, 1, lambda _: False) is True
    assert (draft.read_at(0, 3), draft.undecided) == (b"abc", [(1, 2)])


def in_cells(length: int, *cells: int) -> BytesMember:
    """Return zeros with ones in some cells of 64 bytes."""
    content = bytearray(64 * length)
    for cell in cells:
        content[64 * cell] = 1
    return BytesMember("m", bytes(content))


def test_as_many_ways_are_tried_as_the_limits_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two copies that differ in seven places there are 128 ways, and with a cut at each 512 bytes four; 64 are
    always tried."""
    copies = [in_cells(12), in_cells(12, *range(2, 9))]
    start, end = 64, 64 * 11
    for tries, tried_bytes, ways in (
        (128, 1 << 30, 128),
        (127, 1 << 30, 4),
        (1 << 14, 128 * (end - start), 128),
        (1 << 14, 128 * (end - start) - 1, 4),
    ):
        monkeypatch.setattr(drafts, "MAX_TRIES", tries)
        monkeypatch.setattr(drafts, "MAX_TRIED_BYTES", tried_bytes)
        found = list(Draft(copies).variants(start, end))
        assert (len(found), len(set(found))) == (ways, ways)
    monkeypatch.setattr(drafts, "MAX_TRIED_BYTES", 1)
    assert len(list(Draft([in_cells(12), in_cells(12, *range(2, 8))]).variants(start, end))) == 64
    assert list(Draft(copies).variants(0, 64)) == [bytes(64)]


def test_a_hash_decides_within_the_limits_and_not_beyond(monkeypatch: pytest.MonkeyPatch) -> None:
    copies, mixed = [in_cells(4, 1), in_cells(4, 3)], in_cells(4, 1, 3)
    for tries, tried_bytes, decided in ((4, 1 << 30, True), (3, 1 << 30, False), (4, 256, True), (4, 255, False)):
        monkeypatch.setattr(drafts, "MAX_TRIES", tries)
        monkeypatch.setattr(drafts, "MAX_TRIED_BYTES", tried_bytes)
        draft = Draft(copies)
        assert draft.settle_rest([mixed.sha256()]) is decided
        assert draft.read_at(0, 256) == (mixed if decided else copies[0]).read_at(0, 256)


def test_copies_that_differ_in_more_places_are_none_of_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    for most, comparable in ((3, True), (2, False)):
        monkeypatch.setattr(drafts, "MAX_RANGES", most)
        assert Draft([in_cells(5), in_cells(5, 0, 2, 4)]).comparable is comparable


def test_most_of_three_copies() -> None:
    pieces = [b"abcd", b"aXcd", b"abcY"]
    assert majority(pieces).read_at(0, 4) == b"abcd"


class Failing(BytesMember):
    """A medium with a sector that cannot be read."""

    def read_at(self, offset: int, size: int) -> bytes:
        if offset < 2 * SECTOR and offset + size > SECTOR:
            raise DamagedError("cannot be read", code="E011")
        return super().read_at(offset, size)


def test_a_sector_that_cannot_be_read_is_zero_and_so_is_what_is_cut_off() -> None:
    content = b"x" * (3 * SECTOR)
    padded = PaddedMember("m", Failing("m", content), 4 * SECTOR)
    assert padded.read_at(0, 4 * SECTOR) == b"x" * SECTOR + bytes(SECTOR) + b"x" * SECTOR + bytes(SECTOR)
    assert padded.read_at(3 * SECTOR, 1) == b"\0"
    assert (padded.read_at(0, 0), padded.read_at(4 * SECTOR, 0)) == (b"", b"")
    assert padded.read_at(3 * SECTOR - 1, 2) == b"x\0"
    assert padded.read_at(2 * SECTOR, SECTOR) == b"x" * SECTOR
    with pytest.raises(DamagedError, match="E011"):
        padded.read_at(4 * SECTOR, 1)
