"""What is done behind a stream: errors of threads reach the one who writes, and syncs begin before the end."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from mlflow_archive.errors import TargetError
from mlflow_archive.packing.behind import BLOCK, WriteBehind
from mlflow_archive.packing.pack import PackOptions, pack
from mlflow_archive.storage.files import Files, OutputFile
from mlflow_archive.storage.syncing import SyncBehind
from tests.road.packed_sets import make_archive


class _Counting(OutputFile):
    """Swallows what is written; the sync of a number fails."""

    def __init__(self, failing: int = 0) -> None:
        super().__init__(Path(os.devnull), open(os.devnull, "wb"))  # noqa: PTH123, SIM115 - closed with this
        self.syncs, self._failing = 0, failing

    def sync(self) -> None:
        self.sync_on_the_way()

    def sync_on_the_way(self) -> None:
        self.syncs += 1
        if self.syncs == self._failing:
            raise TargetError("the medium is gone")


class _Failing(Files):
    """The first volume cannot be brought to the medium."""

    def create(self, path: Path) -> OutputFile:
        return _Counting(failing=1) if path.name.endswith(".001") else super().create(path)


def test_syncs_begin_before_the_end() -> None:
    block = memoryview(bytes(BLOCK))
    with _Counting() as output, SyncBehind() as disk:
        for _ in range(200):
            disk.write(output, block)
        disk.begin(output.sync)
        disk.finish()
        assert (output.size, output.syncs) == (200 * BLOCK, 4)


def test_a_sync_that_fails_is_told() -> None:
    block = memoryview(bytes(BLOCK))
    with _Counting(failing=2) as output, SyncBehind() as disk:
        for _ in range(128):
            disk.write(output, block)
        with pytest.raises(TargetError, match="the medium is gone"):
            disk.finish()


def test_a_volume_that_cannot_be_synced_ends_the_packing(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="the medium is gone"):
        pack(make_archive(tmp_path), tmp_path / "volumes", options=PackOptions(volume_size=50_000), files=_Failing())
    assert list((tmp_path / "volumes").iterdir()) == []


def test_a_sync_on_the_way_is_not_disturbed_by_a_write_that_goes_on(tmp_path: Path) -> None:
    class _Handle(io.FileIO):
        def write(self, data: object) -> int:
            output.sync_on_the_way()
            return super().write(data)  # type: ignore[arg-type]

    with OutputFile(tmp_path / "a", cast(BinaryIO, _Handle(tmp_path / "a", "wb"))) as output:
        output.write(b"abc")
    assert (tmp_path / "a").read_bytes() == b"abc"


def test_nothing_is_taken_behind_an_error() -> None:
    taken: list[int] = []

    def take(block: memoryview) -> None:
        taken.append(len(block))
        raise TargetError("the disk is full")

    def write(blocks: int) -> None:
        with WriteBehind(take) as writer:
            for _ in range(blocks):
                writer.write(bytes(BLOCK))
            writer.write(b"abc")
            writer.finish()

    for blocks in (100, 0):
        with pytest.raises(TargetError, match="the disk is full"):
            write(blocks)
    assert taken == [BLOCK, 3]
