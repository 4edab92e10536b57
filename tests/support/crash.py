"""Crashes by simulation: record every change of files, then rebuild the disk as it was after each of them.

Three disks are told apart. ``LIVE``: the process was killed, all it wrote is there. ``LOST``: the power went, names
and bytes that were not synced are gone. ``TORN``: names survived, bytes that were not synced did not.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from threading import Lock
from typing import Any

from mlflow_archive.storage.files import Files, OutputFile

Operation = tuple[Any, ...]


class Disk(Enum):
    """What is left after the crash."""

    LIVE = "live"
    LOST = "lost"
    TORN = "torn"


class _RecordedFile(OutputFile):
    """An output file that tells of its changes."""

    def __init__(self, path: Path, handle: Any, record: Any) -> None:
        super().__init__(path, handle)
        self._record = record

    def write(self, data: bytes | memoryview) -> int:
        self._record(("write", self.path, self.size, bytes(data)))
        return super().write(data)

    def patch(self, offset: int, data: bytes) -> None:
        self._record(("write", self.path, offset, data))
        super().patch(offset, data)

    def sync(self) -> None:
        super().sync()
        self._record(("sync", self.path))


class RecordingFiles(Files):
    """Does everything for real and keeps the list of ``operations``."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self._lock = Lock()

    def record(self, operation: Operation) -> None:
        with self._lock:
            self.operations.append(operation)

    def _wrapped(self, output: OutputFile) -> OutputFile:
        return _RecordedFile(output.path, output._handle, self.record)

    def make_entry(self, path: Path) -> None:
        self.record(("mkdir", path))
        super().make_entry(path)

    def create(self, path: Path) -> OutputFile:
        self.record(("create", path))
        return self._wrapped(super().create(path))

    def append(self, path: Path, size: int) -> OutputFile:
        self.record(("truncate", path, size))
        return self._wrapped(super().append(path, size))

    def publish(self, source: Path, target: Path) -> None:
        self.record(("rename", source, target))
        super().publish(source, target)

    def remove(self, path: Path) -> None:
        if path.exists():
            self.record(("remove", path))
        super().remove(path)

    def sync_directory(self, path: Path) -> None:
        super().sync_directory(path)
        self.record(("syncdir", path))


@dataclass
class _File:
    data: bytearray = field(default_factory=bytearray)
    synced: bytes = b""


@dataclass
class SimulatedDisk:
    """Files below ``root`` as a model; starts with what is there, durable."""

    root: Path
    live: dict[Path, _File | None] = field(default_factory=dict)
    durable: dict[Path, _File | None] = field(default_factory=dict)

    @classmethod
    def of(cls, root: Path) -> SimulatedDisk:
        disk = cls(root)
        for path in sorted(root.rglob("*")):
            disk.live[path] = None if path.is_dir() else _File(bytearray(path.read_bytes()), path.read_bytes())
        disk.durable = dict(disk.live)
        return disk

    def apply(self, operation: Operation) -> None:
        """Do one operation. Asserts that only synced files are renamed to their final name."""
        kind, path, *rest = operation
        if kind == "mkdir":
            self.live[path] = None
        elif kind == "create":
            self.live[path] = _File()
        elif kind == "truncate":
            del self._file(path).data[rest[0] :]
        elif kind == "write":
            offset, data = rest
            self._file(path).data[offset : offset + len(data)] = data
        elif kind == "sync":
            self._file(path).synced = bytes(self._file(path).data)
        elif kind == "rename":
            assert self._file(path).synced == self._file(path).data, f"{path} is published and was not synced"
            self.live[rest[0]] = self.live.pop(path)
        elif kind == "remove":
            self.live.pop(path, None)
        elif kind == "syncdir":
            for name in [p for p in self.durable if p.parent == path]:
                del self.durable[name]
            self.durable |= {name: file for name, file in self.live.items() if name.parent == path}

    def _file(self, path: Path) -> _File:
        file = self.live[path]
        assert file is not None
        return file

    def tree(self, disk: Disk) -> dict[Path, bytes | None]:
        """Return what is there after a crash: path below the root -> bytes, None for a folder."""
        names = self.durable if disk is Disk.LOST else self.live
        found: dict[Path, bytes | None] = {}
        for path, file in sorted(names.items()):
            if path.parent == self.root or path.parent.relative_to(self.root) in found:
                data = None if file is None else bytes(file.data) if disk is Disk.LIVE else file.synced
                found[path.relative_to(self.root)] = data
        return found


def states(root: Path, start: SimulatedDisk, operations: Iterable[Operation], disk: Disk) -> Iterator[dict[Path, Any]]:
    """Yield each different tree that a crash between two operations leaves."""
    previous = start.tree(disk)
    yield previous
    for operation in operations:
        if (operation[1].is_relative_to(root) and operation[1] != root) or operation[0] == "syncdir":
            start.apply(operation)
        tree = start.tree(disk)
        if tree != previous:
            yield tree
        previous = tree


def materialize(tree: dict[Path, bytes | None], root: Path) -> None:
    """Make the folder ``root`` hold exactly this tree."""
    if root.exists():
        shutil.rmtree(root)
    root.mkdir()
    for path, data in sorted(tree.items()):
        if data is None:
            (root / path).mkdir()
        else:
            (root / path).write_bytes(data)
