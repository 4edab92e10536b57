"""Labels and frames of packs byte by byte, and at their limits."""

from __future__ import annotations

import struct
import zlib

import pytest
import zstandard

from mlflow_archive.errors import DamagedError
from mlflow_archive.format.packs import (
    LABEL_PREFIX_SIZE,
    MAX_EXTENTS,
    MAX_FRAME_RAW,
    MAX_FRAME_SIZE,
    Extent,
    Label,
    compressor,
    decode_frame,
    decode_label,
    encode_label,
    label_size,
)

ONE, TWO = bytes(range(32)), b"\xff" * 32
LABEL = Label(
    frame_size=1000,
    raw_size=70,
    extents=(Extent(digest=ONE, raw_offset=2**40, size=30), Extent(digest=TWO, raw_offset=0, size=40)),
)


def written(
    entries: bytes, count: int, *, frame_size: int = 1000, raw_size: int = 70, version: int = 1, reserved: int = 0
) -> bytes:
    """Return a label as spec/format.md has it, with the CRC that fits."""
    body = struct.pack("<4sBBHIII", b"MLFA", version, reserved, 0, frame_size, raw_size, count) + entries
    body += struct.pack("<I", zlib.crc32(body))
    return struct.pack("<II", 0x184D2A5A, len(body)) + body


ENTRIES = struct.pack("<32sQI", ONE, 2**40, 30) + struct.pack("<32sQI", TWO, 0, 40)


def test_a_label_is_written_as_the_format_has_it_and_read_again() -> None:
    data = encode_label(LABEL)
    assert data == written(ENTRIES, 2)
    assert label_size(data[:LABEL_PREFIX_SIZE]) == len(data) == 8 + 20 + 2 * 44 + 4
    assert decode_label(data) == LABEL


def test_every_changed_byte_of_a_label_is_noticed() -> None:
    data = encode_label(LABEL)
    for at in range(len(data)):
        with pytest.raises(ValueError, match=r"label|extents"):
            decode_label(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (encode_label(LABEL)[: LABEL_PREFIX_SIZE - 1], "a label is cut short"),
        (encode_label(LABEL)[:-1], "the label has another size than it says"),
        (encode_label(LABEL) + b"\0", "the label has another size than it says"),
        (b"\0" + encode_label(LABEL)[1:], "no label of a frame"),
        (encode_label(LABEL).replace(b"MLFA", b"MLFB"), "no label of a frame"),
        (written(ENTRIES, 2, version=2), "no label of a frame"),
        (written(ENTRIES, 2, reserved=1), "the label has reserved bits set"),
        (written(ENTRIES, 1), "a label of 1 extents cannot have 112 bytes"),
        (written(b"", 0), "a label of 0 extents cannot have 24 bytes"),
        (encode_label(LABEL)[:-1] + b"\0", "the label's CRC is wrong"),
        (written(ENTRIES, 2, raw_size=69), "the extents do not fill the frame"),
        (written(ENTRIES, 2, raw_size=71), "the extents do not fill the frame"),
        (written(ENTRIES, 2, frame_size=MAX_FRAME_SIZE + 1), "the extents do not fill the frame"),
    ],
)
def test_what_is_wrong_with_a_label_is_said(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole sentence is compared below
        decode_label(data)
    assert str(caught.value) == reason


def test_the_largest_frame_fits_a_label_and_a_larger_one_does_not() -> None:
    whole = Extent(digest=ONE, raw_offset=0, size=MAX_FRAME_RAW)
    largest = Label(frame_size=MAX_FRAME_SIZE, raw_size=MAX_FRAME_RAW, extents=(whole,))
    assert decode_label(encode_label(largest)) == largest
    one_more = Extent(digest=ONE, raw_offset=0, size=1)
    with pytest.raises(ValueError, match="the extents do not fill the frame"):
        decode_label(encode_label(Label(frame_size=9, raw_size=MAX_FRAME_RAW + 1, extents=(whole, one_more))))


def test_a_label_has_at_most_so_many_extents() -> None:
    empty = struct.pack("<32sQI", ONE, 0, 0)
    most = written(empty * MAX_EXTENTS, MAX_EXTENTS, raw_size=0)
    assert len(decode_label(most).extents) == MAX_EXTENTS
    with pytest.raises(ValueError, match=f"a label of {MAX_EXTENTS + 1} extents cannot have"):
        label_size(written(empty * (MAX_EXTENTS + 1), MAX_EXTENTS + 1, raw_size=0)[:LABEL_PREFIX_SIZE])


def test_a_frame_states_its_size_and_has_a_checksum_and_no_dictionary() -> None:
    frame = compressor(3).compress(b"x" * 1000)
    parameters = zstandard.get_frame_parameters(frame)
    assert (parameters.content_size, parameters.has_checksum, parameters.dict_id) == (1000, True, 0)
    assert decode_frame(frame, 1000, where="p") == b"x" * 1000
    noise = bytes((i * i * 2654435761 >> 16) & 255 for i in range(20_000)) * 3
    assert len(compressor(19).compress(noise)) < len(compressor(-50).compress(noise))


def refusal(frame: bytes, raw_size: int | None) -> str:
    with pytest.raises(DamagedError) as caught:
        decode_frame(frame, raw_size, where="p at 0")
    return str(caught.value)


def test_what_is_wrong_with_a_frame_is_said() -> None:
    frame = compressor(3).compress(b"x" * 1000)
    over = MAX_FRAME_RAW + 1
    assert refusal(frame, over) == f"E045: p at 0: a frame of {over} raw bytes is over the limit"
    assert refusal(b"none", 4).startswith("E040: p at 0: no zstd frame: ")
    states = "E045: p at 0: the frame states"
    assert refusal(frame, 999) == f"{states} 1000 raw bytes, checksum on; expected 999, checksum on"
    unsized = zstandard.ZstdCompressor(write_checksum=True, write_content_size=False).compress(b"x" * 1000)
    assert refusal(unsized, 1000) == refusal(unsized, None) == "E045: p at 0: the frame states no size"
    plain = zstandard.ZstdCompressor(write_checksum=False).compress(b"x" * 1000)
    assert refusal(plain, 1000) == f"{states} 1000 raw bytes, checksum off; expected 1000, checksum on"
    assert refusal(frame[:-1] + bytes([frame[-1] ^ 1]), 1000).startswith(
        "E040: p at 0: the frame does not decompress: "
    )
    undecoded = "E040: p at 0: the frame does not decompress: "
    assert refusal(frame[:-1], 1000) == f"{undecoded}decompression error: did not decompress full frame"
    for behind in (b"\0", frame):
        assert refusal(frame + behind, 1000).startswith(f"{undecoded}compressed input contains {len(behind)} bytes")


def test_a_frame_without_bytes_is_looked_at_to_its_end() -> None:
    frame = compressor(3).compress(b"")
    assert decode_frame(frame, 0, where="p") == decode_frame(frame, None, where="p") == b""
    for odd in (frame[:-1], frame + frame, frame + b"\0"):
        assert refusal(odd, 0) == "E040: p at 0: the frame is not one whole frame of 0 raw bytes"
    assert refusal(frame[:-1] + b"\0", 0).startswith("E040: p at 0: the frame does not decompress: ")


def test_the_largest_frame_is_decoded() -> None:
    raw = bytes(MAX_FRAME_RAW)
    assert decode_frame(compressor(1).compress(raw), MAX_FRAME_RAW, where="p") == raw


def _window(descriptor: int) -> bytes:
    """Return the beginning of a frame of four bytes with a checksum, whose window is stated by a byte."""
    return struct.pack("<IBBI", 0xFD2FB528, 0x84, descriptor, 4) + struct.pack("<I", 4 << 3 | 1)[:3] + b"abcd"


def test_a_window_of_128_mib_is_taken_and_a_larger_one_is_not() -> None:
    allowed, larger = _window(17 << 3), _window(17 << 3 | 1)
    assert [zstandard.get_frame_parameters(frame).window_size for frame in (allowed, larger)] == [1 << 27, 9 << 24]
    assert refusal(allowed, 4).startswith("E040: ")
    assert refusal(larger, 4).startswith("E045: ")
