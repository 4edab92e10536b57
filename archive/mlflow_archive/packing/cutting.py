"""A stream cut into volumes, each of them hashed on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

from mlflow_archive.packing.behind import WriteBehind
from mlflow_archive.packing.volumes import SetFile
from mlflow_archive.storage.closing import Closing
from mlflow_archive.storage.files import Files, OutputFile
from mlflow_archive.storage.syncing import SyncBehind


class VolumeWriter(Closing):
    """Takes a stream and writes it into files of at most ``volume_size`` bytes, named by ``name_of`` from 1 on.

    Errors of the thread that writes are raised by the next ``write`` or by ``finish``.
    """

    def __init__(self, files: Files, folder: Path, name_of: Callable[[int], str], volume_size: int) -> None:
        self._files, self._folder, self._name_of, self._volume_size = files, folder, name_of, volume_size
        self._volumes: list[SetFile] = []
        self._output: OutputFile | None = None
        self._digest = hashlib.sha256()
        self._disk = SyncBehind()
        self._behind = WriteBehind(self._take)

    def write(self, data: bytes) -> int:
        """Take bytes of the stream. Raises TargetError."""
        return self._behind.write(data)

    def finish(self) -> list[SetFile]:
        """Return the volumes, whole and synced. Raises TargetError."""
        self._behind.finish()
        self._end_volume()
        self._disk.finish()
        return self._volumes

    def close(self) -> None:
        """Stop, also in the middle of a volume."""
        self._behind.close()
        self._disk.close()
        if self._output is not None:
            self._output.close()

    def _take(self, block: memoryview) -> None:
        while block:
            if self._output is None:
                self._output = self._files.create(self._folder / self._name_of(len(self._volumes) + 1))
                self._digest = hashlib.sha256()
            piece = block[: self._volume_size - self._output.size]
            self._disk.write(self._output, piece)
            self._digest.update(piece)
            block = block[len(piece) :]
            if self._output.size == self._volume_size:
                self._end_volume()

    def _end_volume(self) -> None:
        """Take down the volume; the disk may take its time with it while the next one is written."""
        if self._output is not None:
            name, size = self._output.path.name, self._output.size
            self._volumes.append(SetFile(name=name, size=size, sha256=self._digest.hexdigest()))
            output, self._output = self._output, None
            self._disk.begin(partial(_sync_and_close, output))


def _sync_and_close(output: OutputFile) -> None:
    with output:
        output.sync()
