"""How blobs come together in frames, how frames are compressed, and how packs are scanned: at the limits themselves."""

from __future__ import annotations

import hashlib
import io
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlflow_archive.errors import TargetError
from mlflow_archive.format.layout import pack_name
from mlflow_archive.format.packs import Extent, Label, encode_label
from mlflow_archive.storage import syncing
from mlflow_archive.storage.files import Files, OutputFile
from mlflow_archive.storage.growing import GrowingFiles
from mlflow_archive.writer import packs
from mlflow_archive.writer.compressing import Gain
from mlflow_archive.writer.packs import BlobChangedError, FrameBuilder, PackWriter, PlacedLabel, scan_pack
from mlflow_archive.writer.scratch import Scratch

NOISE = random.Random(1).randbytes(40_000)  # noqa: S311 - the same each time


@pytest.fixture
def scratch() -> Iterator[Scratch]:
    scratch = Scratch()
    yield scratch
    scratch.close()


@pytest.fixture
def writer(tmp_path: Path, scratch: Scratch) -> Iterator[PackWriter]:
    writer = PackWriter(GrowingFiles(Files(), tmp_path), 1, scratch, level=9, jobs=1)
    yield writer
    writer.close()


def scanned(root: Path, name: str) -> list[list[PlacedLabel]]:
    """Return the labels of a pack as they are given out."""
    with GrowingFiles(Files(), root).opened(name) as pack:
        return list(scan_pack(pack))


def frames(root: Path) -> list[list[int]]:
    """Return the sizes of the blobs in each frame of the first pack."""
    labels = [placed.label for batch in scanned(root, pack_name(1, 0)) for placed in batch]
    assert all(label.raw_size == sum(extent.size for extent in label.extents) for label in labels)
    return [[extent.size for extent in label.extents] for label in labels]


@pytest.mark.parametrize(
    ("sizes", "grouped"),
    [
        ([4, 5, 1], [[4, 5, 1]]),
        ([4, 5, 1, 3], [[4, 5, 1], [3]]),
        ([4, 5], [[4, 5]]),
        ([9, 11, 1], [[9, 11], [1]]),
        ([9, 12, 1], [[9], [12], [1]]),
        ([20, 20], [[20], [20]]),
        ([0, 9, 0, 1], [[0, 9, 1]]),
    ],
)
def test_a_frame_is_written_when_it_is_full_and_takes_no_more_than_fits(
    sizes: list[int],
    grouped: list[list[int]],
    tmp_path: Path,
    writer: PackWriter,
    scratch: Scratch,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Full are 10 bytes here, and 20 fit; a blob that is there already takes no room."""
    monkeypatch.setattr(packs, "SHARED_FRAME_RAW", 10)
    monkeypatch.setattr(packs, "MAX_FRAME_RAW", 20)
    monkeypatch.setattr(writer.compressor, "gain", lambda raw: Gain.MUCH)
    builder = FrameBuilder(writer, scratch)
    for at, size in enumerate(sizes):
        for _ in range(2):
            writer.add(io.BytesIO(bytes([at]) * size), builder)
    builder.flush()
    builder.flush()
    writer.sync()
    assert frames(tmp_path) == grouped


def test_a_blob_counts_as_stored_when_its_frame_is_written(writer: PackWriter, scratch: Scratch) -> None:
    builder = FrameBuilder(writer, scratch)
    digest, size = writer.add(io.BytesIO(b"text"), builder)
    assert (digest, size) == (hashlib.sha256(b"text").hexdigest(), 4)
    assert not scratch.has_blob(bytes.fromhex(digest))
    builder.flush()
    assert scratch.has_blob(bytes.fromhex(digest))
    before = writer.sync()
    assert writer.add(io.BytesIO(b"text"), builder) == (digest, size)
    builder.flush()
    assert writer.sync() == before


def test_blobs_share_a_frame_with_those_that_compress_as_well(
    tmp_path: Path, writer: PackWriter, scratch: Scratch
) -> None:
    builder = FrameBuilder(writer, scratch)
    some = bytes(byte & 0x3F for byte in NOISE[:5000])
    for data in (bytes(1000), NOISE[:2000], some, bytes(3000), NOISE[:4000]):
        builder.add(hashlib.sha256(data).digest(), data)
    builder.flush()
    writer.sync()
    assert frames(tmp_path) == [[1000, 3000], [5000], [2000, 4000]]


def test_packs_are_synced_on_the_way_and_nothing_counts_where_that_failed(
    writer: PackWriter, scratch: Scratch, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes = iter([None, TargetError("the medium is gone")])

    def sync(output: OutputFile) -> None:
        if (error := next(outcomes)) is not None:
            raise error

    monkeypatch.setattr(syncing, "_UNSYNCED", 20_000)
    monkeypatch.setattr(OutputFile, "sync_on_the_way", sync)
    builder = FrameBuilder(writer, scratch)

    def store(data: bytes) -> list[int]:
        writer.add(io.BytesIO(data), builder)
        builder.flush()
        return writer.sync()

    assert len(store(NOISE)) == 1
    with pytest.raises(TargetError, match="the medium is gone"):
        store(NOISE[1:])


class _Twice(io.BytesIO):
    """Gives other bytes from the second reading of its beginning on."""

    def __init__(self, first: bytes, second: bytes) -> None:
        super().__init__(first)
        self._second: bytes | None = second
        self._seeks = 0

    def seek(self, offset: int, whence: int = 0) -> int:
        self._seeks += 1
        if self._seeks == 2 and self._second is not None:
            self.truncate(0)
            super().seek(0)
            self.write(self._second)
        return super().seek(offset, whence)


TEXT = b"0123456789abc"


@pytest.mark.parametrize(
    ("data", "second"),
    [
        *((TEXT, second) for second in (TEXT[:10], TEXT[:-1] + b"X", b"X" + TEXT[1:], TEXT + b"d", b"")),
        *((TEXT[:10], second) for second in (TEXT[:11], TEXT[:5])),
    ],
)
def test_a_large_blob_that_changes_between_its_two_readings_is_refused(
    data: bytes, second: bytes, writer: PackWriter, scratch: Scratch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packs, "MAX_FRAME_RAW", 5)
    with pytest.raises(BlobChangedError):
        writer.add(_Twice(data, second), FrameBuilder(writer, scratch))
    assert not scratch.has_blob(hashlib.sha256(data).digest())
    assert writer.add(_Twice(data, data), FrameBuilder(writer, scratch)) == (
        hashlib.sha256(data).hexdigest(),
        len(data),
    )
    assert scratch.has_blob(hashlib.sha256(data).digest())


class _Once(io.BytesIO):
    """Is read to its end once, as a pipe is."""

    def seek(self, offset: int, whence: int = 0) -> int:
        raise io.UnsupportedOperation


def test_what_fits_into_a_frame_is_read_once_and_a_byte_more_twice(
    tmp_path: Path, writer: PackWriter, scratch: Scratch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packs, "MAX_FRAME_RAW", 5)
    builder = FrameBuilder(writer, scratch)
    assert writer.add(_Once(b"12345"), builder) == (hashlib.sha256(b"12345").hexdigest(), 5)
    with pytest.raises(io.UnsupportedOperation):
        writer.add(_Once(b"123456"), builder)
    builder.flush()
    writer.sync()
    assert frames(tmp_path) == [[5]]


def test_a_large_blob_lies_in_frames_that_follow_each_other(
    tmp_path: Path, writer: PackWriter, scratch: Scratch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packs, "MAX_FRAME_RAW", 5)
    data = b"0123456789abcdefghijklmnopqrstuvw"
    digest = hashlib.sha256(data).digest()
    for _ in range(2):
        writer.add(io.BytesIO(data), FrameBuilder(writer, scratch))
    writer.sync()
    labels = [placed.label for batch in scanned(tmp_path, pack_name(1, 0)) for placed in batch]
    assert [label.extents for label in labels] == [
        (Extent(digest=digest, raw_offset=offset, size=min(5, len(data) - offset)),) for offset in range(0, 33, 5)
    ]
    assert [label.raw_size for label in labels] == [5, 5, 5, 5, 5, 5, 3]


def test_a_pack_of_very_many_frames_is_scanned_some_thousands_at_a_time(tmp_path: Path) -> None:
    label = Label(frame_size=1, raw_size=0, extents=(Extent(digest=bytes(32), raw_offset=0, size=0),))
    one = encode_label(label) + b"x"
    for count, batches in ((4095, [4095]), (4096, [4096, 0]), (4097, [4096, 1]), (0, [0])):
        (tmp_path / "pack").write_bytes(one * count)
        found = scanned(tmp_path, "pack")
        assert [len(labels) for labels in found] == batches
    assert found == [[]]
    (tmp_path / "pack").write_bytes(one + one)
    placed = [
        PlacedLabel(label=label, frame_offset=len(one) - 1),
        PlacedLabel(label=label, frame_offset=2 * len(one) - 1),
    ]
    assert scanned(tmp_path, "pack") == [placed]
    for end in (b"", one[:-1], one[:-2], b"\0" * len(one), one[:10]):
        (tmp_path / "pack").write_bytes(one + end)
        assert scanned(tmp_path, "pack") == [placed[:1]]
