"""At which level frames are compressed, and that each is proved."""

from __future__ import annotations

import random
import struct
from typing import Final

import pytest

from mlflow_archive.format.packs import compressor
from mlflow_archive.writer import compressing
from mlflow_archive.writer.compressing import Alike, FrameCompressor, Gain

NOISE: Final = random.Random(1).randbytes(40_000)  # noqa: S311 - the same each time
TEXT: Final = b" ".join(f"run {byte:x} of {byte % 7} said {byte % 23}".encode() for byte in NOISE[:2000])
"""Of which a high level leaves less."""
NUMBERS: Final = struct.pack("<4000q", *(byte * 4 for byte in NOISE[:4000]))
"""Of which the cheapest leaves less."""


def at(level: int, raw: bytes) -> bytes:
    return compressor(level).compress(raw)


def test_the_gain_is_that_of_a_sample() -> None:
    gain = FrameCompressor(3).gain
    assert [gain(data) for data in (bytes(1000), NOISE, b"")] == [Gain.MUCH, Gain.NONE, Gain.NONE]
    assert gain(bytes(16 * 1024) + NOISE) is Gain.MUCH
    assert gain(NOISE[: 16 * 1024] + bytes(100_000)) is Gain.NONE


def test_the_level_is_the_one_asked_for_where_the_cheapest_leaves_more() -> None:
    assert len(at(9, TEXT)) < 0.99 * len(at(1, TEXT))
    assert len(at(1, NUMBERS)) < len(at(3, NUMBERS))
    for gain in (None, Gain.MUCH, Gain.SOME):
        assert FrameCompressor(9).compress(TEXT, Alike(gain)) == at(9, TEXT)
        assert FrameCompressor(3).compress(NUMBERS, Alike(gain)) == at(1, NUMBERS)
    assert FrameCompressor(9).compress(TEXT, Alike(Gain.NONE)) == at(1, TEXT)
    assert FrameCompressor(9).compress(NOISE, Alike()) == at(1, NOISE)


@pytest.mark.parametrize("level", [-5, 1])
def test_a_level_of_the_cheapest_or_below_is_kept(level: int) -> None:
    for raw in (NOISE, TEXT, NUMBERS):
        assert FrameCompressor(level).compress(raw, Alike()) == at(level, raw)


def test_what_one_frame_of_a_kind_tells_counts_for_the_next_until_another_is_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compressing, "_TRIED", 3)
    frames, alike = FrameCompressor(9), Alike(Gain.MUCH)
    levels = [9 if frames.compress(raw, alike) == at(9, raw) else 1 for raw in (TEXT, NUMBERS, TEXT)]
    assert (levels, alike.level) == ([9, 9, 9], 9)
    levels = [9 if frames.compress(raw, alike) == at(9, raw) else 1 for raw in (NUMBERS, TEXT, TEXT, TEXT)]
    assert (levels, alike.level, alike.frames) == ([1, 1, 1, 9], 9, 7)
    assert FrameCompressor(9).compress(NUMBERS, Alike()) == at(1, NUMBERS)
    frames.compress(NOISE, alike)
    assert alike.frames == 8


def test_frames_that_do_not_compress_tell_nothing_of_others() -> None:
    alike = Alike()
    FrameCompressor(9).compress(NOISE, alike)
    assert alike == Alike()


def test_a_frame_that_does_not_decode_to_what_was_compressed_is_never_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compressing, "decode_frame", lambda frame, size, where: bytes(size))
    with pytest.raises(RuntimeError) as caught:
        FrameCompressor(3).compress(b"text", Alike())
    assert str(caught.value) == "a frame does not decode to what was compressed: memory or the zstd library is faulty"
