"""Files brought to the medium while more is written, in a thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, Protocol

from mlflow_archive.storage.closing import Closing

_UNSYNCED: Final = 64 * 1024 * 1024
_SYNCS: Final = 2


class SyncableOutput(Protocol):
    """What is written at its end, and can be brought to the medium meanwhile."""

    def write(self, data: bytes | memoryview) -> Any:
        """Append bytes. Raises TargetError."""

    def sync_on_the_way(self) -> None:
        """Bring to the medium what is in the file by now; another thread may be writing. Raises TargetError."""


class SyncBehind(Closing):
    """Brings files to the medium while more is written, and never falls far behind.

    So a slow medium shows in the progress, not as a long wait at the end. Errors are raised by a later call.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="sync")
        self._syncing: deque[Future[None]] = deque()
        self._unsynced = 0

    def write(self, output: SyncableOutput, data: bytes | memoryview) -> None:
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
