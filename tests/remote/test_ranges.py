"""Which ranges of an object are asked for, and what is given out of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from obstore.store import MemoryStore

from mlflow_archive.errors import DamagedError, MlflowArchiveError, RemotePlaceError
from mlflow_archive.format.location import RemotePlace
from mlflow_archive.storage.remote.object_bytes import KeptRanges, ObjectBytes, open_object
from mlflow_archive.storage.remote.store import ObjectRange, ObjectStream, RemoteStore

KIB, MIB = 1024, 1024 * 1024
LARGE, SIZE = 70 * MIB, 4 * MIB
GAP = 512 * KIB
DATA = bytes(range(251)) * (LARGE // 251 + 1)


class Recorded(RemoteStore):
    """Obstore's memory store, with a note of each range and ETag that is asked for.

    ``lost`` bytes are missing at the end of what comes, ``tag`` is said in place of the true one.
    """

    def __init__(self, size: int = SIZE) -> None:
        super().__init__(RemotePlace("s3://box/x"), MemoryStore())
        self.put("o", DATA[:size])
        self.ranges: list[tuple[int, int]] = []
        self.tags: list[str | None] = []
        self.lost = 0
        self.tag: str | None = None

    def get(self, name: str, position: int, size: int, *, tag: str | None = None) -> ObjectRange:
        self.ranges.append((position, size))
        self.tags.append(tag)
        answer = super().get(name, position, size)
        return replace(answer, data=answer.data[: len(answer.data) - self.lost], tag=self.tag)

    def stream(self, name: str, position: int, size: int, *, tag: str | None = None) -> ObjectStream:
        self.ranges.append((position, size))
        self.tags.append(tag)
        return replace(super().stream(name, position, size), tag=self.tag)

    def asked(self) -> list[tuple[int, int]]:
        ranges, self.ranges = sorted(self.ranges), []
        return ranges


def of(store: Recorded, size: int = SIZE, **options: Any) -> ObjectBytes:
    return ObjectBytes(store, "o", size, ranges=KeptRanges(), **options)


def test_who_reads_on_gets_more_at_a_time_and_who_jumps_little() -> None:
    store = Recorded(LARGE)
    file = of(store, LARGE)
    for position, size, asked in (
        (0, 10, [(0, MIB)]),
        (10, 10, []),
        (20, MIB - 20, []),
        (MIB, 10, [(MIB, 16 * MIB)]),
        (MIB + 10, 16 * MIB - 10, []),
        (17 * MIB + 64 * KIB, 10, [(17 * MIB + 64 * KIB, 32 * MIB)]),
        (60 * MIB, 10, [(60 * MIB, 64 * KIB)]),
        (60 * MIB + 64 * KIB + 11, 10, [(60 * MIB + 64 * KIB + 11, 64 * KIB)]),
        (59 * MIB, 10, [(59 * MIB, 64 * KIB)]),
        (55 * MIB, 100 * KIB, [(55 * MIB, 100 * KIB)]),
        (LARGE - 64 * KIB, 10, [(LARGE - 64 * KIB, 64 * KIB)]),
    ):
        assert file.read(position, size) == DATA[position : position + size]
        assert store.asked() == asked, position
    for position, size in ((64 * KIB - 1, MIB), (64 * KIB, 64 * KIB)):  # a first read near the begin goes on, too
        of(store, LARGE).read(position, 1)
        assert store.asked() == [(position, size)]


def test_at_the_ends_of_what_is_kept_and_of_the_object() -> None:
    store = Recorded(MIB)
    file = of(store, MIB)
    middle = 500 * KIB
    assert file.read(middle, 1) == DATA[middle : middle + 1]
    assert store.asked() == [(middle, 64 * KIB)]
    end = middle + 64 * KIB
    assert file.read(end - 5, 10) == DATA[end - 5 : end]
    assert store.asked() == []
    assert file.read(middle - 32 * KIB, 40 * KIB) == DATA[middle - 32 * KIB : middle]
    assert store.asked() == [(middle - 32 * KIB, 32 * KIB)]
    assert [file.read(position, size) for position, size in ((MIB, 1), (0, 0), (0, -1))] == [b"", b"", b""]
    assert store.asked() == []
    assert file.read(MIB - 1, 9) == DATA[MIB - 1 : MIB]
    assert store.asked() == [(MIB - 1, 1)]


def test_what_is_missing_between_ranges() -> None:
    kept = KeptRanges()
    for first in (10, 20, 40):
        kept.keep("a", first, bytes(10))
    spans = ((0, 60), (10, 30), (10, 31), (15, 45), (30, 50), (30, 51), (5, 10), (25, 30), (39, 41), (40, 40))
    expected = [(0, 60), (30, 30), (30, 31), (30, 40), (30, 40), (30, 51), (5, 10), (30, 30), (39, 40), (40, 40)]
    assert [kept.missing("a", span) for span in spans] == expected
    assert [kept.missing("a", span) for span in ((0, 30), (0, 25), (0, 20))] == [(0, 10)] * 3
    assert kept.missing("b", (5, 10)) == (5, 10)


def test_of_what_is_kept_those_used_last_stay() -> None:
    kept = KeptRanges()
    for name in "abc":
        kept.keep(name, 0, DATA[: 32 * MIB])
    assert len(kept.from_position("a", 0)) == 32 * MIB  # so that b is the oldest
    kept.keep("d", 0, b"x")
    assert [len(kept.from_position(name, 0)) for name in "abcd"] == [32 * MIB, 0, 32 * MIB, 1]
    kept.close()
    with pytest.raises(MlflowArchiveError) as caught:
        kept.check_open()
    assert str(caught.value) == "the archive is closed: read what is needed before, or open it again"


def test_ranges_near_each_other_are_asked_for_as_one() -> None:
    store = Recorded()
    file = of(store)
    far = 20 + GAP + GAP + 1
    file.anticipate([(far, 10), (10 + GAP, 10), (0, 10), (2, 3), (SIZE - 3, 9), (SIZE, 9), (5, 0)])
    assert store.asked() == [(0, 20 + GAP), (far, 10), (SIZE - 3, 3)]
    file.anticipate([(0, 10), (far + 5, 10)])
    assert store.asked() == [(far + 10, 5)]
    file.anticipate([(0, 10)])
    assert store.asked() == []


def test_what_is_read_in_order_is_one_request() -> None:
    store = Recorded()
    file = of(store)
    ordered = file.in_order(100, 2 * MIB)
    assert ordered.read(150, 10) == DATA[150:160]
    assert store.asked() == [(150, 2 * MIB - 50)]
    end = 100 + 2 * MIB
    for position, size, asked in (
        (160, 5, []),
        (165 + GAP, 10, []),
        (175 + 2 * GAP + 1, 5, [(175 + 2 * GAP + 1, 64 * KIB)]),
        (175 + 2 * GAP, end - 175 - 2 * GAP, []),
    ):
        assert ordered.read(position, size) == DATA[position : position + size]
        assert store.asked() == asked, position
    short = of(store).in_order(100, 1000)
    assert short.read(1095, 10) == DATA[1095:1105]
    assert store.asked() == [(1095, MIB)]
    within = of(store).in_order(MIB, MIB)
    assert within.read(2 * MIB - 9, 9) == DATA[2 * MIB - 9 : 2 * MIB]
    assert store.asked() == [(2 * MIB - 9, 64 * KIB)]
    before, behind = of(store).in_order(MIB, MIB), of(store).in_order(MIB, MIB)
    assert before.read(MIB - 1, 2) == DATA[MIB - 1 : MIB + 1]
    assert behind.read(2 * MIB - 1, 2) == DATA[2 * MIB - 1 : 2 * MIB + 1]
    assert store.asked() == [(MIB - 1, 64 * KIB), (2 * MIB - 1, 64 * KIB)]


def test_bytes_that_do_not_come_are_missed() -> None:
    store = Recorded()
    store.lost = 1
    with pytest.raises(RemotePlaceError) as caught:
        of(store).read(100 * KIB, 10)
    assert str(caught.value) == "s3://box/x/o: 65535 bytes came where 65536 were asked for"


@pytest.mark.parametrize("blocks", [[], [b"1234"], [b"123", b"", b"4"]])
def test_a_stream_that_ends_too_early_is_missed_by_who_reads_in_order(
    blocks: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Recorded()
    monkeypatch.setattr(store, "stream", lambda *_, **__: ObjectStream(iter(blocks), SIZE, None))
    ordered = of(store).in_order(100, 5)
    with pytest.raises(RemotePlaceError) as caught:
        ordered.read(100, 5)
    come = len(b"".join(blocks))
    assert str(caught.value) == f"s3://box/x/o: {come} bytes came where 5 were asked for"
    assert ordered.read(100, 5) == DATA[100:105]  # anew, as any other range


def test_a_size_that_is_not_true_is_damage_and_says_where_it_is_from() -> None:
    for origin, said in (("", "a moment ago it had"), ("the manifest states", "the manifest states")):
        with pytest.raises(DamagedError) as caught:
            of(Recorded(9), 10, origin=origin).read(0, 1)
        assert str(caught.value) == f"E011: o has 9 bytes, {said} 10"
        assert caught.value.member == "o"
    with pytest.raises(DamagedError) as behind:
        of(Recorded(9), 100 * KIB).read(90 * KIB, 1)
    assert str(behind.value) == f"E011: o: it ends before byte {90 * KIB}"


@pytest.mark.parametrize(("tag", "asked"), [('"1"', '"1"'), ('W/"1"', None), (None, None)])
def test_only_an_etag_that_stands_for_exact_bytes_is_asked_for(tag: str | None, asked: str | None) -> None:
    store = Recorded(MIB)
    store.tag = tag
    file = open_object(store, "o", KeptRanges())
    assert (file.size, file.read(0, 5)) == (MIB, DATA[:5])
    file.read(600 * KIB, 5)
    assert (store.ranges, store.tags) == ([(0, 256 * KIB), (600 * KIB, 64 * KIB)], [None, asked])
    stated = of(store, MIB)
    for position in (300 * KIB, 700 * KIB):
        stated.read(position, 5)
    assert store.tags[2:] == [None, asked]
    streamed = of(store, MIB)
    for position in (0, 10):
        assert b"".join(map(bytes, streamed.stream(position, position + 5))) == DATA[position : position + 5]
    assert store.tags[4:] == [None, asked]


def test_an_empty_object() -> None:
    file = open_object(Recorded(0), "o", KeptRanges())
    assert (file.size, file.read(0, 5)) == (0, b"")
