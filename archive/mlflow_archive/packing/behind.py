"""What is done behind the one who makes a stream, in a thread: hash and write its blocks.

All of that lets go of the interpreter's lock.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import Queue
from threading import Thread
from typing import Final

from mlflow_archive.storage.closing import Closing

BLOCK: Final = 1024 * 1024
_WAITING: Final = 4


class WriteBehind(Closing):
    """Takes a stream, and calls ``take`` with its blocks in a thread of its own, in turn.

    What ``take`` raises is raised by the next ``write`` or by ``finish``; it is not called again then.
    """

    def __init__(self, take: Callable[[memoryview], object]) -> None:
        self._take = take
        self._buffer = bytearray()
        self._queue: Queue[bytearray | None] = Queue(_WAITING)
        self._error: BaseException | None = None
        self._thread = Thread(target=self._work, name="behind", daemon=True)
        self._thread.start()

    def write(self, data: bytes) -> int:
        """Take bytes of the stream."""
        self._buffer += data
        if len(self._buffer) >= BLOCK:
            self._send()
        return len(data)

    def finish(self) -> None:
        """Return when all was handed on."""
        self._send()
        self.close()
        self._raise()

    def close(self) -> None:
        """Stop, also in the middle of the stream: what waits is handed on before."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def _send(self) -> None:
        self._raise()
        self._queue.put(self._buffer)
        self._buffer = bytearray()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        """Hand on what comes until the end; after an error all is taken from the queue, so that nobody waits."""
        while (block := self._queue.get()) is not None:
            if self._error is None:
                try:
                    self._take(memoryview(block))
                except BaseException as error:
                    self._error = error
