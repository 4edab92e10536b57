"""Members that grow at rest: packs, which get frame after frame. Here they are files; see also ``unfinished_file``.

Whoever writes them remembers how long each was when it was last synced, and takes them over by that after a crash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Protocol

from mlflow_archive.storage.files import Files, OutputFile
from mlflow_archive.storage.members import DirectoryMembers, MemberFile


class GrowingMember:
    """A member that is being written at the end of a file. ``size`` is that so far, in bytes."""

    def __init__(self, output: OutputFile) -> None:
        self._output = output
        self._digest = hashlib.sha256()
        self.size = 0

    def take_over(self, blocks: Iterable[bytes | memoryview]) -> None:
        """Learn the bytes that are there."""
        for block in blocks:
            self._digest.update(block)
            self.size += len(block)

    def write(self, data: bytes | memoryview) -> None:
        self._output.write(data)
        self.take_over([data])

    def sync_on_the_way(self) -> None:
        """Begin to make it durable, while another thread may be writing."""
        self._output.sync_on_the_way()

    def sync(self) -> None:
        """Make durable what is written so far."""
        self._output.sync()

    def finish(self) -> str:
        """End it, durably, and return its SHA-256."""
        self._output.sync()
        self._output.close()
        return self._digest.hexdigest()

    def close(self) -> None:
        """Let go of it unfinished."""
        self._output.close()


class OpenableMembers(Protocol):
    """A place of members that can be read."""

    def opened(self, name: str) -> AbstractContextManager[MemberFile]:
        """Open a member, to read what is written of it."""


class GrowingMembers(OpenableMembers, Protocol):
    """A place for members that grow, of which only the last may be unfinished."""

    def begin(self, name: str) -> GrowingMember:
        """Begin a member behind the last one, which is finished. Its name is durable."""

    def holds(self, sizes: Mapping[str, int]) -> bool:
        """Return whether members begun before, in that order, have at least these sizes."""

    def take_over(self, sizes: Mapping[str, int]) -> Iterator[GrowingMember]:
        """Go on with members that are held, each cut to its size; all but the last are to be finished at once.

        What else was left here goes.
        """


class GrowingFiles:
    """Members that are files below a folder. Whoever has the folder removes what was left."""

    def __init__(self, files: Files, root: Path) -> None:
        self._files, self._root = files, root

    def begin(self, name: str) -> GrowingMember:
        path = self._root / name
        self._files.make_directory(path.parent)
        output = self._files.create(path)
        try:
            self._files.sync_directory(path.parent)
        except BaseException:
            output.close()
            raise
        return GrowingMember(output)

    def holds(self, sizes: Mapping[str, int]) -> bool:
        paths = {self._root / name: size for name, size in sizes.items()}
        return all(path.is_file() and path.stat().st_size >= size for path, size in paths.items())

    def take_over(self, sizes: Mapping[str, int]) -> Iterator[GrowingMember]:
        for name, size in sizes.items():
            member = GrowingMember(self._files.append(self._root / name, size))
            with self.opened(name) as stored:
                member.take_over(stored.blocks())
            yield member

    def path(self, name: str) -> Path:
        """Return where a member lies."""
        return self._root / name

    def remove(self, name: str) -> None:
        """Remove a member that is whole, and wanted elsewhere only."""
        self._files.remove(self.path(name))

    @contextmanager
    def opened(self, name: str) -> Iterator[MemberFile]:
        with closing(DirectoryMembers(self._root)) as members:
            yield members.open(name)
