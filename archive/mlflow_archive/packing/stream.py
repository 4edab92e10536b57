"""An archive as a stream: the bytes of its single file, whichever form it has. Nothing is written for it."""

from __future__ import annotations

from collections.abc import Iterator
from queue import Queue
from threading import Event, Thread
from typing import Final

from mlflow_archive.format.layout import MANIFEST, manifest_name
from mlflow_archive.reader.archive import Archive
from mlflow_archive.storage.closing import Closing
from mlflow_archive.storage.single_file import SingleFileMembers, single_file_blocks, single_file_size
from mlflow_archive.writer.target import single_file_order

_WAITING: Final = 4


class ReadAhead(Closing):
    """Blocks of bytes that another thread makes, some ahead; a reader of as many bytes as are asked for."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._source = blocks
        self._block = memoryview(b"")
        self._position = 0
        self._queue: Queue[bytes | BaseException] = Queue(_WAITING)
        self._stopped = Event()
        self._thread = Thread(target=self._work, name="ahead", daemon=True)
        self._thread.start()

    def read(self, size: int) -> bytes:
        """Return up to ``size`` bytes, none at the end only. Raises what the making of them raised."""
        if self._position == len(self._block):
            self._block, self._position = memoryview(self._next()), 0
        start = self._position
        self._position = min(start + size, len(self._block))
        return bytes(self._block[start : self._position])

    def _next(self) -> bytes:
        block = self._queue.get()
        if isinstance(block, BaseException):
            raise block
        if not block:
            self._queue.put(block)  # for whoever asks again
        return block

    def _work(self) -> None:
        try:
            for block in self._source:
                if self._stopped.is_set():
                    return
                if block:
                    self._queue.put(block)
            self._queue.put(b"")
        except BaseException as error:
            self._queue.put(error)

    def close(self) -> None:
        """Stop, also in the middle."""
        self._stopped.set()
        while self._thread.is_alive():
            while not self._queue.empty():
                self._queue.get()
            self._thread.join(0.01)


def archive_size(archive: Archive) -> int:
    """Return the size of the single file of an archive."""
    if isinstance(archive.members, SingleFileMembers):
        return archive.members.size
    return single_file_size(archive.members, single_file_order(archive.manifest))


def archive_blocks(archive: Archive) -> Iterator[bytes]:
    """Yield the bytes of the single file of an archive, its members checked on the way. Raises DamagedError."""
    hashes = {member.path: member.sha256 for member in archive.manifest.members}
    hashes |= {MANIFEST: archive.id, manifest_name(archive.manifest.export_number): archive.id}
    if isinstance(archive.members, SingleFileMembers):
        return archive.members.blocks(hashes)
    return single_file_blocks(archive.members, single_file_order(archive.manifest), hashes)
