"""Packs of an interrupted export are taken over: what is whole in them counts as stored, and nothing else does."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest

from mlflow_archive.flow.chunk import ArtifactFile, Chunk, Known, Shard
from mlflow_archive.flow.copy import copy
from mlflow_archive.format.layout import pack_name
from mlflow_archive.format.packs import MAX_FRAME_RAW
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.reader.blobs import Blobs
from mlflow_archive.storage.files import Files
from mlflow_archive.storage.growing import GrowingFiles
from mlflow_archive.verification.checks import verify
from mlflow_archive.writer import packs
from mlflow_archive.writer.export import ArchiveOptions, ArchiveSink
from mlflow_archive.writer.packs import FrameBuilder, PackWriter, PlacedLabel, WrittenPack, scan_pack
from mlflow_archive.writer.scratch import Scratch
from tests.support.chunks import ChunkSource, artifact, chunk, experiment, run

CUT, LARGE = bytes(MAX_FRAME_RAW + 1), bytes(4 * MAX_FRAME_RAW + 1)
SMALL, OTHER = b"one small blob\n", b"another small blob\n"


@contextmanager
def opened(root: Path, sizes: list[int] | None = None) -> Iterator[tuple[PackWriter, Scratch]]:
    """Give a writer of packs below a folder, with those of ``sizes`` taken over, and what it knows to be stored."""
    scratch = Scratch()
    writer = PackWriter(GrowingFiles(Files(), root), 1, scratch, level=1, jobs=1)
    try:
        writer.resume(sizes or [])
        yield writer, scratch
    finally:
        writer.close()
        scratch.close()


def write(root: Path, *blobs: bytes) -> list[int]:
    """Write blobs, a frame each (large ones several), and stop; return how long the packs are."""
    with opened(root) as (writer, scratch):
        for data in blobs:
            builder = FrameBuilder(writer, scratch)
            writer.add(io.BytesIO(data), builder)
            builder.flush()
        return writer.sync()


def ends(root: Path, number: int = 0) -> list[int]:
    """Return where the frames of a pack end."""
    return [placed.frame_offset + placed.label.frame_size for placed in labels_of(root, pack_name(1, number))]


def labels_of(root: Path, name: str) -> list[PlacedLabel]:
    """Return the labels of a pack."""
    with GrowingFiles(Files(), root).opened(name) as pack:
        return [placed for labels in scan_pack(pack) for placed in labels]


def stored(scratch: Scratch, *blobs: bytes) -> list[bool]:
    return [scratch.has_blob(hashlib.sha256(data).digest()) for data in blobs]


def test_a_blob_of_which_only_the_first_frame_is_there_is_not_stored(tmp_path: Path) -> None:
    write(tmp_path, CUT)
    first, last = ends(tmp_path)
    with opened(tmp_path, [first]) as (_, scratch):
        assert stored(scratch, CUT) == [False]
    assert (tmp_path / pack_name(1, 0)).stat().st_size == first < last


def test_whole_frames_before_the_cut_count_as_stored_and_those_behind_do_not(tmp_path: Path) -> None:
    write(tmp_path, SMALL, OTHER)
    first, last = ends(tmp_path)
    for size, expected in ((last, [True, True]), (first, [True, False]), (first - 1, [False] * 2), (0, [False] * 2)):
        with opened(tmp_path, [size]) as (_, scratch):
            assert stored(scratch, SMALL, OTHER) == expected


def test_all_whole_blobs_of_a_pack_that_is_taken_over_count_as_stored(tmp_path: Path) -> None:
    sizes = write(tmp_path, SMALL, OTHER, b"")
    with opened(tmp_path, sizes) as (_, scratch):
        assert stored(scratch, SMALL, OTHER, b"", b"never seen") == [True, True, True, False]


def test_a_pack_that_is_taken_over_goes_on_where_it_was_cut_and_has_the_hash_of_its_bytes(tmp_path: Path) -> None:
    write(tmp_path, SMALL, OTHER)
    first, last = ends(tmp_path)
    with opened(tmp_path, [first]) as (writer, scratch):
        builder = FrameBuilder(writer, scratch)
        writer.add(io.BytesIO(OTHER), builder)
        builder.flush()
        assert writer.sync() == [last]
        written = writer.finish()
    data = (tmp_path / pack_name(1, 0)).read_bytes()
    assert written == [WrittenPack(name=pack_name(1, 0), size=last, sha256=hashlib.sha256(data).hexdigest())]
    assert ends(tmp_path) == [first, last]


def test_every_pack_is_taken_over_and_the_last_one_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packs, "PACK_SIZE", 1)
    sizes = write(tmp_path, SMALL, OTHER)
    assert len(sizes) == 2
    with opened(tmp_path, sizes) as (writer, scratch):
        assert stored(scratch, SMALL, OTHER) == [True, True]
        builder = FrameBuilder(writer, scratch)
        writer.add(io.BytesIO(b"a third"), builder)
        builder.flush()
        assert [pack.name for pack in writer.finish()] == [pack_name(1, number) for number in range(3)]
    assert [len(ends(tmp_path, number)) for number in range(3)] == [1, 1, 1]


def test_a_pack_is_filled_up_to_its_size_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (whole,) = write(tmp_path / "a", SMALL, OTHER)
    monkeypatch.setattr(packs, "PACK_SIZE", whole)
    assert write(tmp_path / "b", SMALL, OTHER) == [whole]
    monkeypatch.setattr(packs, "PACK_SIZE", whole - 1)
    assert len(write(tmp_path / "c", SMALL, OTHER)) == 2


@pytest.mark.parametrize(("size", "frames"), [(MAX_FRAME_RAW, 1), (MAX_FRAME_RAW + 1, 2)])
def test_a_blob_of_the_greatest_size_of_a_frame_is_not_cut(tmp_path: Path, size: int, frames: int) -> None:
    write(tmp_path, bytes(size))
    labels = [placed.label for placed in labels_of(tmp_path, pack_name(1, 0))]
    assert [label.raw_size for label in labels] == [MAX_FRAME_RAW, size - MAX_FRAME_RAW][:frames]
    offsets = [extent.raw_offset for label in labels for extent in label.extents]
    assert offsets == [0, MAX_FRAME_RAW][:frames]


class _InterruptedError(Exception):
    pass


class _Source(ChunkSource):
    """Stops behind the first run."""

    def read(self, shard: Shard, known: Known) -> Iterator[Chunk]:
        if shard.name == "2":
            raise _InterruptedError
        yield from super().read(shard, known)


class _Changing(io.BytesIO):
    """Ends in other bytes when it is read again: its first frames are in the pack then, the last is not."""

    seeks = 0

    def seek(self, offset: int, whence: int = 0) -> int:
        self.seeks += 1
        if self.seeks == 2:
            self.getbuffer()[-1] = 1
        return super().seek(offset, whence)


@contextmanager
def _changing() -> Iterator[BinaryIO]:
    yield _Changing(LARGE)


def test_a_cut_blob_is_whole_after_an_interruption_in_it(tmp_path: Path) -> None:
    """Its first frame was durable, as another chunk was sealed meanwhile."""
    changing = ArtifactFile(owner_kind="run", owner_id="a" * 32, path="large", size=len(LARGE), open=_changing)

    def run_with(file: ArtifactFile) -> Chunk:
        return chunk(experiments=[experiment("1", "one")], runs=[run("a" * 32, "1")], artifacts=[file])

    def sink() -> ArchiveSink:
        options = ArchiveOptions(seal_seconds=0.0, jobs=1)
        return ArchiveSink(tmp_path / "a", options, tool="t 1", clock_ms=lambda: 0)

    with pytest.raises(_InterruptedError):
        copy(_Source((0, [run_with(changing)]), (1, [chunk()]), (2, [chunk()])), sink(), jobs=1)
    assert 0 < len(ends(tmp_path / "a")) < 5
    copy(ChunkSource((0, [run_with(artifact("a" * 32, "large", LARGE))])), sink(), jobs=1)
    assert verify(tmp_path / "a").problems == []
    with open_archive(tmp_path / "a") as archive, Blobs(archive).open(hashlib.sha256(LARGE).hexdigest()) as stream:
        assert stream.read() == LARGE
