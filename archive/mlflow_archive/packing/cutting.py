"""A stream cut into volumes. Another thread writes and hashes them, as both let go of the interpreter's lock."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Final

from mlflow_archive.packing.volumes import SetFile
from mlflow_archive.storage.closing import Closing
from mlflow_archive.storage.files import Files, OutputFile

BLOCK: Final = 1024 * 1024
_WAITING: Final = 4


class VolumeWriter(Closing):
    """Takes a stream and writes it into files of at most ``volume_size`` bytes, named by ``name_of`` from 1 on.

    Errors of the thread that writes are raised by the next ``write`` or by ``finish``.
    """

    def __init__(self, files: Files, folder: Path, name_of: Callable[[int], str], volume_size: int) -> None:
        self._files, self._folder, self._name_of, self._volume_size = files, folder, name_of, volume_size
        self._buffer = bytearray()
        self._queue: Queue[bytearray | None] = Queue(_WAITING)
        self._error: BaseException | None = None
        self._volumes: list[SetFile] = []
        self._output: OutputFile | None = None
        self._digest = hashlib.sha256()
        self._thread = Thread(target=self._work, name="volumes", daemon=True)
        self._thread.start()

    def write(self, data: bytes) -> int:
        """Take bytes of the stream. Raises TargetError."""
        self._buffer += data
        if len(self._buffer) >= BLOCK:
            self._send()
        return len(data)

    def finish(self) -> list[SetFile]:
        """Return the volumes, whole and synced. Raises TargetError."""
        self._send()
        self._queue.put(None)
        self._thread.join()
        self._raise()
        return self._volumes

    def close(self) -> None:
        """Stop, also in the middle of a volume."""
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
        """Write what comes until the end; after an error all is taken and nothing written, so that nobody waits."""
        try:
            while (block := self._queue.get()) is not None:
                if self._error is None:
                    self._take(memoryview(block))
            if self._error is None:
                self._end_volume()
        except BaseException as error:
            self._error = error
            while block is not None:
                block = self._queue.get()
        finally:
            if self._output is not None:
                self._output.close()

    def _take(self, block: memoryview) -> None:
        while block:
            if self._output is None:
                self._output = self._files.create(self._folder / self._name_of(len(self._volumes) + 1))
                self._digest = hashlib.sha256()
            piece = block[: self._volume_size - self._output.size]
            self._output.write(piece)
            self._digest.update(piece)
            block = block[len(piece) :]
            if self._output.size == self._volume_size:
                self._end_volume()

    def _end_volume(self) -> None:
        if self._output is not None:
            self._output.sync()
            self._output.close()
            name, size = self._output.path.name, self._output.size
            self._volumes.append(SetFile(name=name, size=size, sha256=self._digest.hexdigest()))
            self._output = None
