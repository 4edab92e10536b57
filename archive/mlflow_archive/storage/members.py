"""Read access to the members of an archive, the same for a directory and a single file."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from pathlib import Path
from typing import Protocol

from mlflow_archive.errors import DamagedError, MlflowArchiveError, NotAnArchiveError
from mlflow_archive.format.layout import is_member_name
from mlflow_archive.format.location import ArchivePlace
from mlflow_archive.storage.seekable import Positioned

HASH_BLOCK = 1024 * 1024


class StoredBytes(Protocol):
    """The bytes of a file, wherever it lies; safe to use from several threads.

    ``distant`` where each read takes a request to another machine.
    """

    @property
    def distant(self) -> bool: ...

    def read(self, position: int, size: int) -> bytes:
        """Return up to ``size`` bytes from a position on, none at the end only. Raises OSError, RemotePlaceError."""

    def anticipate(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Bring ranges (position and size) near that will be read next."""

    def in_order(self, position: int, size: int) -> StoredBytes:
        """Return the same bytes for one reader who begins at a position and reads on for ``size`` bytes."""


class OpenFile:
    """A file descriptor that knows when it is closed: its number may be that of another file by then."""

    distant = False

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @property
    def descriptor(self) -> int:
        """Its number. Raises MlflowArchiveError once it is closed."""
        if self._descriptor < 0:
            raise MlflowArchiveError("the archive is closed: read what is needed before, or open it again")
        return self._descriptor

    def read(self, position: int, size: int) -> bytes:
        return os.pread(self.descriptor, size, position)

    def anticipate(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Do nothing: the kernel reads ahead."""

    def in_order(self, position: int, size: int) -> OpenFile:
        return self

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class MemberFile:
    """Random access to one member by offset; safe to use from several threads.

    Reads through ``pread``, not mmap: a medium that fails gives an error here, with mmap it would kill the process.
    ``crc32`` is what a single file states of the bytes, None where nothing does; ``distant``
    says that reading takes requests.
    """

    crc32: int | None = None
    distant: bool = False

    def __init__(self, name: str, file: StoredBytes, start: int, size: int, crc32: int | None = None) -> None:
        self.name = name
        self.size = size
        self.crc32 = crc32
        self.distant = file.distant
        self._file = file
        self._start = start

    @property
    def place(self) -> tuple[int, int] | None:
        """The descriptor and the offset at which the bytes lie, None where they lie in no file as they are."""
        return (self._file.descriptor, self._start) if isinstance(self._file, OpenFile) else None

    def renamed(self, name: str) -> MemberFile:
        """Return the same bytes under another name."""
        member = copy(self)
        member.name = name
        return member

    def check_range(self, offset: int, size: int) -> None:
        """Raise DamagedError (E011) if these bytes do not lie in the member."""
        if offset < 0 or size < 0 or offset + size > self.size:
            message = f"{self.name}: bytes {offset} to {offset + size} are asked for, it has {self.size}"
            raise DamagedError(message, code="E011", member=self.name)

    def read_at(self, offset: int, size: int) -> bytes:
        """Return exactly ``size`` bytes. Raises DamagedError (E011) if the member ends before, or cannot be read."""
        self.check_range(offset, size)
        parts = []
        position, missing = self._start + offset, size
        while missing:
            try:
                part = self._file.read(position, missing)
            except OSError as error:
                message = f"{self.name}: cannot be read at byte {position}: {error.strerror}"
                raise DamagedError(message, code="E011", member=self.name) from error
            if not part:
                message = f"{self.name}: it ends {missing} bytes too early"
                raise DamagedError(message, code="E011", member=self.name)
            parts.append(part)
            position += len(part)
            missing -= len(part)
        return b"".join(parts)

    def anticipate(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Bring ranges (offset and size) near that will be read next; what lies outside of the member is left out."""
        if not self.distant:
            return
        inside = ((max(0, offset), min(offset + size, self.size)) for offset, size in ranges)
        self._file.anticipate([(self._start + first, end - first) for first, end in inside if first < end])

    def in_order(self, offset: int, size: int) -> MemberFile:
        """Return the member for one reader who begins at ``offset`` and reads on for ``size`` bytes.

        Where reading takes requests these are one; other reads are as ever.
        """
        if not self.distant:
            return self
        file = self._file.in_order(self._start + offset, size)
        return MemberFile(self.name, file, self._start, self.size, self.crc32)

    def sha256(self) -> str:
        """Read the whole member and return its SHA-256 in hex."""
        digest = hashlib.sha256()
        for block in self.blocks():
            digest.update(block)
        return digest.hexdigest()

    def blocks(self) -> Iterator[bytes]:
        """Yield all bytes, a MiB at a time."""
        for offset in range(0, self.size, HASH_BLOCK):
            yield self.read_at(offset, min(HASH_BLOCK, self.size - offset))

    def reader(self) -> MemberReader:
        """Return a file object over this member."""
        return MemberReader(self)


class BytesMember(MemberFile):
    """A member whose bytes are in memory."""

    def __init__(self, name: str, content: bytes) -> None:
        self.name, self.size, self._content = name, len(content), content

    @property
    def place(self) -> None:
        return None

    def read_at(self, offset: int, size: int) -> bytes:
        self.check_range(offset, size)
        return self._content[offset : offset + size]


def check_sha256(member: MemberFile, actual: str, expected: str | None) -> None:
    """Raise DamagedError (E012) if a member has another SHA-256 than it must have (None: whatever)."""
    if expected is not None and actual != expected:
        message = f"{member.name} has SHA-256 {actual}, expected {expected}"
        raise DamagedError(message, code="E012", member=member.name)


class MemberReader(Positioned):
    """A seekable binary file over a member, as pyarrow wants one. Each has a position of its own."""

    def __init__(self, member: MemberFile) -> None:
        super().__init__(member.size)
        self._member = member

    def _next(self, limit: int) -> bytes:
        amount = min(limit, max(0, self.size - self._position))
        data = self._member.read_at(self._position, amount) if amount else b""
        self._position += amount
        return data

    def read(self, size: int | None = -1) -> bytes:
        return self._next(self.size if size is None or size < 0 else size)

    def readall(self) -> bytes:
        return self.read()


class Members(Protocol):
    """The members of an archive at rest."""

    @property
    def path(self) -> ArchivePlace:
        """The directory, file, or place in a bucket or on a web server."""

    @property
    def distant(self) -> bool:
        """Whether they lie on another machine."""

    def believe(self, sizes: Mapping[str, int]) -> None:
        """Hear the sizes that the manifest states, for members of which asking takes long."""

    def sizes(self) -> Mapping[str, int]:
        """Return name and size in bytes of every file, whether the manifest lists it or not."""

    def open(self, name: str) -> MemberFile:
        """Open a member. Raises DamagedError (E010) if it is not there."""

    def close(self) -> None:
        """Release what is open; files opened before can no longer be read."""


class NearMembers:
    """Members that can be asked anything at once."""

    distant = False

    def believe(self, sizes: Mapping[str, int]) -> None:
        """Do nothing: what is stated is not needed."""


class DirectoryMembers(NearMembers):
    """The directory form. Symbolic links are not followed: they are not members."""

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            raise NotAnArchiveError(f"{path} is no directory")
        self.path = path
        self._open: dict[str, MemberFile] = {}
        self._files: list[OpenFile] = []
        self._closed = False

    def sizes(self) -> dict[str, int]:
        sizes = {}
        for folder, _, names in os.walk(self.path):
            for name in names:
                path = Path(folder, name)
                if not path.is_symlink() and path.is_file():
                    sizes[path.relative_to(self.path).as_posix()] = path.stat().st_size
        return sizes

    def open(self, name: str) -> MemberFile:
        if name in self._open:
            return self._open[name]
        if self._closed:
            raise MlflowArchiveError(f"{self.path} is closed; open it again")
        if not is_member_name(name):
            raise DamagedError(f"{name!r} is no member name", code="E015", member=name)
        try:
            file = OpenFile(self._open_below(name))
        except OSError as error:
            message = f"{name} is not in {self.path}: {error.strerror}"
            raise DamagedError(message, code="E010", member=name) from error
        self._files.append(file)
        about = os.fstat(file.descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise DamagedError(f"{name} in {self.path} is no regular file", code="E010", member=name)
        self._open[name] = MemberFile(name, file, 0, about.st_size)
        return self._open[name]

    def _open_below(self, name: str) -> int:
        """Open without following a link in any part of the name, so that nothing outside is ever read."""
        *folders, last = name.split("/")
        flags = os.O_RDONLY | os.O_NOFOLLOW
        folder = os.open(self.path, os.O_RDONLY)
        try:
            for part in folders:
                inner = os.open(part, flags | os.O_DIRECTORY, dir_fd=folder)
                os.close(folder)
                folder = inner
            return os.open(last, flags | os.O_NONBLOCK, dir_fd=folder)
        finally:
            os.close(folder)

    def close(self) -> None:
        self._closed = True
        for file in self._files:
            file.close()
        self._files.clear()
        self._open.clear()
