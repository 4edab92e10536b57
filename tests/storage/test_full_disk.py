"""A full disk is one clear error, loses no commit, and the same export goes on when there is room again."""

from __future__ import annotations

import errno
import io
from pathlib import Path
from typing import Any

import pytest

from mlflow_archive.errors import TargetError
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.storage.files import Files, OutputFile
from mlflow_archive.verification.checks import verify
from tests.support.memory_source import MemoryOptions, content_of, export

AFTER = MemoryOptions(runs=6, changed=frozenset({1}))


class SmallDisk(Files):
    """Files that take ``room`` bytes in all."""

    def __init__(self, room: int) -> None:
        self.room = room

    def create(self, path: Path) -> OutputFile:
        output = super().create(path)
        output._handle.close()
        return OutputFile(path, _Limited(path, self))


class _Limited(io.FileIO):
    def __init__(self, path: Path, disk: SmallDisk) -> None:
        super().__init__(path, "wb")
        self._disk = disk

    def write(self, data: Any) -> int:
        self._disk.room -= len(data)
        if self._disk.room < 0:
            super().write(bytes(data)[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


@pytest.mark.parametrize("name", ["a", "a.mlfa"])
def test_disk_full_at_any_byte(tmp_path: Path, name: str) -> None:
    export(tmp_path / "expected" / name, MemoryOptions(runs=3))
    big = SmallDisk(10**9)
    export(tmp_path / "expected" / name, AFTER, append=True, files=big, seal_seconds=0, jobs=1)
    needed, expected = 10**9 - big.room, content_of(tmp_path / "expected" / name)
    for step in range(12):
        path = tmp_path / str(step) / name
        export(path, MemoryOptions(runs=3))
        with open_archive(path) as archive:
            old = archive.id
        with pytest.raises(TargetError, match=r"the disk is full.*run the same command again|an earlier write failed"):
            export(path, AFTER, append=True, files=SmallDisk(needed * step // 12), seal_seconds=0, jobs=1 + step % 2)
        with open_archive(path) as archive:
            assert archive.id == old
        assert verify(path).ok
        export(path, AFTER, append=True)
        assert content_of(path) == expected
        assert verify(path).problems == []


def test_nothing_is_written_behind_a_failed_write(tmp_path: Path) -> None:
    disk = SmallDisk(10)
    output = disk.create(tmp_path / "pack")
    with pytest.raises(TargetError, match="disk is full"):
        output.write(b"x" * 20)
    disk.room = 1000
    with pytest.raises(TargetError, match="an earlier write failed"):
        output.write(b"y")
    with pytest.raises(TargetError, match="an earlier write failed"):
        output.sync()
    output.close()
