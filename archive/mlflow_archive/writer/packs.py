"""Write blobs into packs: small ones share frames, large ones are cut into frames that compress in parallel."""

from __future__ import annotations

import hashlib
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from io import BufferedIOBase
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
from threading import Lock
from typing import BinaryIO, Final, Protocol, cast

from mlflow_archive.errors import TargetError
from mlflow_archive.format.layout import pack_name
from mlflow_archive.format.packs import (
    LABEL_PREFIX_SIZE,
    MAX_FRAME_RAW,
    Extent,
    Label,
    decode_label,
    encode_label,
    label_size,
)
from mlflow_archive.storage.growing import GrowingMember, GrowingMembers
from mlflow_archive.storage.members import MemberFile
from mlflow_archive.storage.syncing import SyncBehind
from mlflow_archive.writer.compressing import Alike, FrameCompressor, Gain, Raw

SHARED_FRAME_RAW: Final = 1024 * 1024
PACK_SIZE: Final = 1024 * 1024 * 1024


class BlobChangedError(Exception):
    """A stream gave other bytes the second time it was read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenPack:
    """A finished pack. ``size`` in bytes."""

    name: str
    size: int
    sha256: str


@dataclass(slots=True)
class _OpenPack:
    number: int
    output: GrowingMember


class StoredBlobs(Protocol):
    """Which blobs are stored already, by digest; safe to use from several threads."""

    def add_blobs(self, digests: Iterable[bytes]) -> None:
        """Remember blobs that are stored in packs."""

    def has_blob(self, digest: bytes) -> bool:
        """Return whether a blob is stored in a pack."""


class Sender(Protocol):
    """Where packs go once they are whole; used by one thread at a time."""

    def send(self, pack: WrittenPack) -> None:
        """Take over a pack, once those before are where they go; raises what happened to them."""

    def wait(self) -> None:
        """Wait until all are where they go; raises what happened to them."""

    def close(self) -> None:
        """Let go of what is on its way."""


class PackWriter:
    """Appends frames to the packs of one export; safe to use from several threads.

    A blob counts as stored only when its last frame is in the file, so no thread ever relies on bytes that another
    still holds in memory. Two threads that meet the same small blob at once may store it twice; readers take either.
    With a ``sender`` a pack is handed over to it as soon as it is whole.
    """

    def __init__(
        self,
        place: GrowingMembers,
        export: int,
        stored: StoredBlobs,
        *,
        level: int,
        jobs: int,
        sender: Sender | None = None,
    ) -> None:
        self._place, self._export, self._stored = place, export, stored
        self.compressor = FrameCompressor(level)
        self._sender = sender
        self._jobs = jobs
        self._pool = ThreadPoolExecutor(jobs, thread_name_prefix="compress")
        self._disk = SyncBehind()
        self._lock = Lock()
        self._large = Lock()
        self._open: _OpenPack | None = None
        self._done: list[WrittenPack] = []

    def resume(self, sizes: Sequence[int], sent: Sequence[WrittenPack] = ()) -> None:
        """Take over packs of an interrupted export, cut to what was durable; sizes in order of their numbers.

        The first of them may have been ``sent``: these are not here. Every frame that is whole counts, also those no
        finished run refers to.
        """
        self._done += sent
        here = self._place.take_over(pack_sizes(self._export, sizes, len(sent)))
        for number, output in enumerate(here, start=len(sent)):
            self._finish_open()
            self._open = _OpenPack(number, output)
            with self._place.opened(pack_name(self._export, number)) as pack:
                for labels in scan_pack(pack):
                    self._stored.add_blobs(_whole_blobs(labels))

    def add(self, stream: BinaryIO, frames: FrameBuilder) -> tuple[str, int]:
        """Store a blob unless it is stored; return its digest in hex and its size.

        Small blobs go to ``frames``, which the caller flushes. Raises BlobChangedError if a large stream gives
        other bytes the second time; nothing refers to what was written of it then.
        """
        data = _read(stream, frames.room)
        if len(data) <= MAX_FRAME_RAW:
            digest = hashlib.sha256(data).digest()
            if not self._stored.has_blob(digest):
                frames.add(digest, data)
            return digest.hex(), len(data)
        return self._add_large(stream, frames.room[:MAX_FRAME_RAW])

    def _add_large(self, stream: BinaryIO, room: memoryview) -> tuple[str, int]:
        stream.seek(0)
        hashed, size, marks = hashlib.sha256(), 0, []
        while raw := _read(stream, room):
            hashed.update(raw)
            marks.append(zlib.crc32(raw))
            size += len(raw)
        digest = hashed.digest()
        with self._large:  # one at a time: its frames are compressed in parallel anyway
            if not self._stored.has_blob(digest):
                stream.seek(0)
                self._write_large(stream, room, digest, marks)
                self._stored.add_blobs([digest])
        return digest.hex(), size

    def _write_large(self, stream: BinaryIO, room: memoryview, digest: bytes, marks: Sequence[int]) -> None:
        """Write the frames of a blob; those with other bytes than ``marks`` say are never written under its name."""
        again, offset = hashlib.sha256(), 0
        waiting: deque[tuple[Future[bytes], Label]] = deque()
        expected, compress = iter(marks), partial(self.compressor.compress, alike=Alike())
        while raw := bytes(_read(stream, room)):
            if zlib.crc32(raw) != next(expected, None):
                raise BlobChangedError
            again.update(raw)
            extent = Extent(digest=digest, raw_offset=offset, size=len(raw))
            offset += len(raw)
            label = Label(frame_size=0, raw_size=len(raw), extents=(extent,))
            waiting.append((self._pool.submit(compress, raw), label))
            if len(waiting) > 2 * self._jobs:
                self._append_next(waiting)
        while waiting:
            self._append_next(waiting)
        if again.digest() != digest:
            raise BlobChangedError

    def _append_next(self, waiting: deque[tuple[Future[bytes], Label]]) -> None:
        future, label = waiting.popleft()
        self.append(future.result(), label)

    def append(self, frame: bytes, label: Label) -> None:
        """Append a frame with its label and count the blobs it completes as stored, but for cut ones."""
        data = encode_label(Label(frame_size=len(frame), raw_size=label.raw_size, extents=label.extents))
        with self._lock:
            if self._open is None or self._open.output.size + len(data) + len(frame) > PACK_SIZE:
                self._next_pack()
            assert self._open is not None  # noqa: S101 - for the type checker
            self._disk.write(self._open.output, data)
            self._disk.write(self._open.output, frame)

    def _next_pack(self) -> None:
        number = self._open.number + 1 if self._open else len(self._done)
        self._finish_open()
        self._open = _OpenPack(number, self._place.begin(pack_name(self._export, number)))

    def _finish_open(self) -> None:
        if self._open is not None:
            self._disk.finish()
            name, sha256 = pack_name(self._export, self._open.number), self._open.output.finish()
            pack = WrittenPack(name=name, size=self._open.output.size, sha256=sha256)
            self._done.append(pack)
            self._open = None
            if self._sender is not None:
                self._sender.send(pack)

    def sync(self) -> list[int]:
        """Make all frames durable; return the sizes of all packs in order."""
        with self._lock:
            self._disk.finish()
            if self._open is not None:
                self._open.output.sync()
            return [pack.size for pack in self._done] + ([self._open.output.size] if self._open else [])

    def finish(self) -> list[WrittenPack]:
        """Finish the last pack and return all that are here."""
        with self._lock:
            self._finish_open()
            self._pool.shutdown()
            if self._sender is None:
                return list(self._done)
            self._sender.wait()
            return []

    def close(self) -> None:
        """Release files and threads; what was not synced may be lost."""
        with self._lock:
            self._pool.shutdown(cancel_futures=True)
            self._disk.close()
            if self._sender is not None:
                self._sender.close()
            if self._open is not None:
                unfinished, self._open = self._open, None
                with suppress(TargetError):  # what is not synced is cut off when the export continues
                    unfinished.output.close()


@dataclass(slots=True)
class _Lane:
    """Blobs of like gain, one behind the other in ``room``, with the size of each by its digest."""

    room: memoryview
    alike: Alike
    sizes: dict[bytes, int] = field(default_factory=dict)
    filled: int = 0


class FrameBuilder:
    """Collects small blobs of one thread into shared frames of about 1 MiB, those of like gain together.

    ``room`` is where that thread reads a blob, with a byte more than fits into a frame. It is used again, as are the
    lanes: fresh memory for each blob costs as much as reading it.
    """

    def __init__(self, packs: PackWriter, stored: StoredBlobs) -> None:
        self._packs, self._stored = packs, stored
        self.room = _room(MAX_FRAME_RAW + 1)
        self._lanes = {gain: _Lane(_room(MAX_FRAME_RAW), Alike(gain)) for gain in Gain}

    def add(self, digest: bytes, data: Raw) -> None:
        """Take a blob; its frame is written when it is full, at the latest by ``flush``."""
        if any(digest in lane.sizes for lane in self._lanes.values()):
            return
        lane = self._lanes[gain := self._packs.compressor.gain(data)]
        if lane.filled + len(data) > MAX_FRAME_RAW:
            self._write(gain)
        lane.room[lane.filled : lane.filled + len(data)] = data
        lane.sizes[digest] = len(data)
        lane.filled += len(data)
        if lane.filled >= SHARED_FRAME_RAW:
            self._write(gain)

    def flush(self) -> None:
        """Write what was collected; afterwards every blob added counts as stored."""
        for gain in Gain:
            self._write(gain)

    def _write(self, gain: Gain) -> None:
        lane = self._lanes[gain]
        if not lane.sizes:
            return
        extents = tuple(Extent(digest=digest, raw_offset=0, size=size) for digest, size in lane.sizes.items())
        frame = self._packs.compressor.compress(lane.room[: lane.filled], lane.alike)
        self._packs.append(frame, Label(frame_size=0, raw_size=lane.filled, extents=extents))
        self._stored.add_blobs(lane.sizes)
        lane.sizes, lane.filled = {}, 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedLabel:
    """A label with the offset of its zstd frame in the pack."""

    label: Label
    frame_offset: int


def pack_sizes(export: int, sizes: Sequence[int], sent: int = 0) -> dict[str, int]:
    """Return the sizes of the packs of an export, given in order of their numbers, by name, but for those sent."""
    return {pack_name(export, number): size for number, size in enumerate(sizes) if number >= sent}


def scan_pack(pack: MemberFile) -> Iterator[list[PlacedLabel]]:
    """Read the labels of a pack, a few thousand at a time, without reading its frames.

    Stops at the first bad label, and at a label or frame that is cut short.
    """
    position, labels = 0, []
    while position + LABEL_PREFIX_SIZE <= pack.size:
        try:
            length = label_size(pack.read_at(position, LABEL_PREFIX_SIZE))
            label = decode_label(pack.read_at(position, min(length, pack.size - position)))
        except ValueError:
            break
        if position + length + label.frame_size > pack.size:
            break
        labels.append(PlacedLabel(label=label, frame_offset=position + length))
        position += length + label.frame_size
        if len(labels) >= 4096:
            yield labels
            labels = []
    yield labels


def _room(size: int) -> memoryview:
    """Return memory of which only what was written to is taken."""
    return memoryview(mmap(-1, size, MAP_PRIVATE | MAP_ANONYMOUS))


def _read(stream: BinaryIO, room: memoryview) -> memoryview:
    """Return what was read until there is no more room or to the end; a raw stream may give less at a time."""
    filled = 0
    while filled < len(room) and (amount := cast(BufferedIOBase, stream).readinto(room[filled:])):
        filled += amount
    return room[:filled]


def _whole_blobs(labels: list[PlacedLabel]) -> list[bytes]:
    """Return the digests of blobs that lie whole in one frame; a cut blob may lack frames and is stored again."""
    return [
        extent.digest
        for placed in labels
        for extent in placed.label.extents
        if extent.raw_offset == 0 and placed.label.raw_size < MAX_FRAME_RAW
    ]
