"""The bytes of one object, read by ranges that are kept for a while.

A request takes as long as half a megabyte, so ranges near each other are asked for as one, and who reads on gets more
than asked for.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Final

from mlflow_archive.errors import DamagedError, MlflowArchiveError, RemotePlaceError
from mlflow_archive.storage.remote.store import NoObjectError, ObjectRange, OtherObjectError, RangeError, RemoteStore

FIRST: Final = 256 * 1024
"""Bytes that come with the first request, which is made to learn the size."""

TOGETHER: Final = 16
"""How many requests of one reader are on their way at a time."""

_LEAST: Final = 64 * 1024
_MOST: Final = 32 * 1024 * 1024
_GAP: Final = 512 * 1024
_KEPT_BYTES: Final = 96 * 1024 * 1024

if TYPE_CHECKING:
    from typing_extensions import Buffer

Range = tuple[int, int]
"""First byte of an object and the one behind the last."""


class KeptRanges:
    """Ranges of all objects of an archive, those used last, up to _KEPT_BYTES; safe for several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._order: OrderedDict[tuple[str, int], int] = OrderedDict()
        self._objects: dict[str, dict[int, bytes]] = {}
        self._bytes = 0
        self._closed = False

    def check_open(self) -> None:
        """Raise MlflowArchiveError once it is closed."""
        if self._closed:
            raise MlflowArchiveError("the archive is closed: read what is needed before, or open it again")

    def keep(self, name: str, first: int, data: bytes) -> None:
        """Keep bytes of an object from the one numbered ``first`` on."""
        with self._lock:
            self._forget(name, first)
            self._objects.setdefault(name, {})[first] = data
            self._order[name, first] = len(data)
            self._bytes += len(data)
            while self._bytes > _KEPT_BYTES and len(self._order) > 1:
                self._forget(*next(iter(self._order)))

    def _forget(self, name: str, first: int) -> None:
        if (size := self._order.pop((name, first), None)) is not None:
            self._bytes -= size
            del self._objects[name][first]

    def from_position(self, name: str, position: int) -> memoryview:
        """Return the bytes that are kept of an object from a position on, none where none are."""
        with self._lock:
            for first, data in self._objects.get(name, {}).items():
                if first <= position < first + len(data):
                    self._order.move_to_end((name, first))
                    return memoryview(data)[position - first :]
        return memoryview(b"")

    def missing(self, name: str, span: Range) -> Range:
        """Return a range without what is kept at its begin and end."""
        position, end = span
        while position < end and (length := len(self.from_position(name, position))):
            position += length
        with self._lock:
            ranges = [(first, first + len(data)) for first, data in self._objects.get(name, {}).items()]
        for first, behind in sorted(ranges, reverse=True):
            if position < first < end <= behind:
                end = first
        return position, max(position, end)

    def close(self) -> None:
        """Keep nothing, and let nothing more be read."""
        with self._lock:
            self._closed = True
            self._order.clear()
            self._objects.clear()


class ObjectBytes:
    """The bytes of an object of ``size`` bytes; another object of the same name is noticed and refused.

    ``origin`` is where the size comes from, for the message where the object has another.
    """

    distant = True

    def __init__(
        self, store: RemoteStore, name: str, size: int, *, ranges: KeptRanges, tag: str | None = None, origin: str = ""
    ) -> None:
        self.name, self.size = name, size
        self._store, self._ranges, self._tag, self._origin = store, ranges, tag, origin
        self._lock = Lock()
        self._next, self._window = -1, _LEAST

    def read(self, position: int, size: int) -> bytes:
        self._ranges.check_open()
        if position >= self.size or size <= 0:
            return b""
        data = self._ranges.from_position(self.name, position)
        if not data:
            first, end = self._around(position, size)
            data = memoryview(self._bring((first, end)))[position - first :]
        with self._lock:
            self._next = position + min(size, len(data))
        return bytes(data[:size])

    def _around(self, position: int, size: int) -> Range:
        """Return what is asked for where a range is: more than that of who reads on."""
        with self._lock:
            goes_on = 0 <= position - self._next <= _LEAST  # there are labels between frames
            self._window = min(_MOST, self._window * 16) if goes_on else _LEAST
            end = position + max(size, self._window)
        return self._ranges.missing(self.name, (position, min(self.size, end)))

    def anticipate(self, ranges: Iterable[tuple[int, int]]) -> None:
        self._ranges.check_open()
        gaps = [self._ranges.missing(self.name, (first, min(first + size, self.size))) for first, size in ranges]
        joined = _joined([gap for gap in gaps if gap[0] < gap[1]])
        if len(joined) <= 1:
            for span in joined:
                self._bring(span)
            return
        with ThreadPoolExecutor(min(TOGETHER, len(joined)), thread_name_prefix="ranges") as pool:
            for _ in pool.map(self._bring, joined):
                pass

    def in_order(self, position: int, size: int) -> OrderedBytes:
        return OrderedBytes(self, position, position + size)

    def stream(self, position: int, end: int) -> Iterator[Buffer]:
        """Ask for a range in one request; its blocks are exactly as many bytes, or they raise."""
        self._ranges.check_open()
        with self._refusals(position):
            answer = self._store.stream(self.name, position, end - position, tag=self._tag)
            self._believe(answer.size, answer.tag)
        return self._whole(answer.blocks, position, end)

    def _whole(self, blocks: Iterator[Buffer], position: int, end: int) -> Iterator[Buffer]:
        first = position
        with self._refusals(first):
            for block in _ahead(blocks):
                position += memoryview(block).nbytes
                yield block
        self._check_count(position - first, end - first)

    def _bring(self, span: Range) -> bytes:
        first, end = span
        answer = self._get(first, end - first)
        self._check_count(len(answer.data), end - first)
        self._ranges.keep(self.name, first, answer.data)
        return answer.data

    def _get(self, position: int, size: int) -> ObjectRange:
        with self._refusals(position):
            answer = self._store.get(self.name, position, size, tag=self._tag)
            self._believe(answer.size, answer.tag)
        return answer

    def _believe(self, size: int, tag: str | None) -> None:
        """Compare the size that the store states, and keep the ETag. Raises DamagedError (E011)."""
        if size != self.size:
            message = f"{self.name} has {size} bytes, {self._origin or 'a moment ago it had'} {self.size}"
            raise DamagedError(message, code="E011", member=self.name)
        self._tag = self._tag or _strong(tag)

    def _check_count(self, count: int, expected: int) -> None:
        if count != expected:
            place = f"{self._store.place}/{self.name}"
            raise RemotePlaceError(f"{place}: {count} bytes came where {expected} were asked for")

    @contextmanager
    def _refusals(self, position: int) -> Iterator[None]:
        try:
            yield
        except NoObjectError as error:
            raise DamagedError(f"{self.name} is not in {self._store.place}", code="E010", member=self.name) from error
        except RangeError as error:
            raise DamagedError(f"{self.name}: it ends before byte {position}", code="E011", member=self.name) from error
        except OtherObjectError as error:
            message = f"{self._store.place}/{self.name} was replaced while it was read; run the same command again"
            raise RemotePlaceError(message) from error


class OrderedBytes:
    """The bytes of an object for one reader who goes on: a range in one request, from the first read in it on.

    What lies before, behind, or far ahead of where the reader is comes as from any ``ObjectBytes``.
    """

    distant = True

    def __init__(self, file: ObjectBytes, position: int, end: int) -> None:
        self._file, self._position, self._end = file, position, min(end, file.size)
        self._blocks: Iterator[Buffer] | None = None
        self._rest = memoryview(b"")

    def read(self, position: int, size: int) -> bytes:
        ahead = position - self._position
        if not 0 <= ahead <= _GAP or position + size > self._end:
            return self._file.read(position, size)
        if self._blocks is None:
            self._position, ahead = position, 0
            self._blocks = self._file.stream(position, self._end)
        try:
            self._take(ahead)
            return b"".join(self._take(size))
        except BaseException:
            self._end = self._position  # who reads on asks anew
            raise

    def anticipate(self, ranges: Iterable[tuple[int, int]]) -> None:
        self._file.anticipate(ranges)

    def in_order(self, position: int, size: int) -> OrderedBytes:
        return self._file.in_order(position, size)

    def _take(self, size: int) -> list[memoryview]:
        """Return the next bytes, which the range has, in pieces."""
        pieces: list[memoryview] = []
        while size and self._blocks is not None:
            if not self._rest:
                self._rest = memoryview(next(self._blocks))  # which raises where the range has fewer
            piece = self._rest[:size]
            self._rest = self._rest[len(piece) :]
            self._position += len(piece)
            size -= len(piece)
            pieces.append(piece)
        return pieces


def open_object(store: RemoteStore, name: str, ranges: KeptRanges) -> ObjectBytes:
    """Open an object of unknown size with its first bytes, in one request. Raises NoObjectError, RemotePlaceError."""
    try:
        answer = store.get(name, 0, FIRST)
    except RangeError:
        return ObjectBytes(store, name, 0, ranges=ranges)
    ranges.keep(name, 0, answer.data)
    return ObjectBytes(store, name, answer.size, ranges=ranges, tag=_strong(answer.tag))


def _ahead(blocks: Iterator[Buffer]) -> Iterator[Buffer]:
    """Yield blocks; the next one is on its way while one is used."""
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as pool:
        coming = pool.submit(next, blocks, None)
        while (block := coming.result()) is not None:
            coming = pool.submit(next, blocks, None)
            yield block


def _strong(tag: str | None) -> str | None:
    """Return an ETag that stands for exact bytes; a weak one cannot be asked for (RFC 9110, section 13.1.1)."""
    return None if tag is None or tag.startswith("W/") else tag


def _joined(ranges: Sequence[Range]) -> list[Range]:
    """Return ranges in order, those with little between them as one."""
    joined: list[Range] = []
    for first, end in sorted(ranges):
        if joined and first - joined[-1][1] <= _GAP:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((first, end))
    return joined
