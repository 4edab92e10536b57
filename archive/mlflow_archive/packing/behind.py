"""What is done behind the one who makes a stream, in threads: hash and write its blocks, bring them to the medium.

All of that lets go of the interpreter's lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Queue
from threading import Thread
from typing import Final

from mlflow_archive.storage.closing import Closing
from mlflow_archive.storage.files import OutputFile

BLOCK: Final = 1024 * 1024
_WAITING: Final = 4
_UNSYNCED: Final = 64 * BLOCK
_SYNCS: Final = 2


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


class SyncBehind(Closing):
    """Brings files to the medium while more is written, and never falls far behind.

    So a slow medium shows in the progress, not as a long wait at the end. Errors are raised by a later call.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="sync")
        self._syncing: deque[Future[None]] = deque()
        self._unsynced = 0

    def write(self, output: OutputFile, data: memoryview) -> None:
        """Write, and begin a sync where much was written since the last. Raises TargetError."""
        output.write(data)
        self._unsynced += len(data)
        if self._unsynced >= _UNSYNCED:
            self.begin(output.sync_on_the_way)

    def begin(self, sync: Callable[[], None]) -> None:
        """Begin a sync, behind those before it. Raises TargetError."""
        self._unsynced = 0
        self._syncing.append(self._pool.submit(sync))
        self._wait(_SYNCS)

    def finish(self) -> None:
        """Return when all is on the medium. Raises TargetError."""
        self._wait(0)

    def close(self) -> None:
        """Wait for what has begun."""
        self._pool.shutdown()

    def _wait(self, syncs: int) -> None:
        while len(self._syncing) > syncs:
            self._syncing.popleft().result()
