"""The only place that changes files on disk.

Every create, write, sync, rename, truncate and removal of an export goes through :class:`Files`, so that one
recording of its operations can be replayed cut at any point (power cut), and so that a full disk is one clear error.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from mlflow_archive.errors import TargetError
from mlflow_archive.storage.closing import Closing
from mlflow_archive.storage.members import HASH_BLOCK, MemberFile

# exFAT, SMB and some FUSE file systems refuse to sync a directory; there is nothing better to do there.
_NO_DIRECTORY_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES, errno.EPERM)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            message = (
                f"{path}: the disk is full. Nothing that was committed before is lost; free some space and run the "
                "same command again, it continues"
            )
            raise TargetError(message) from error
        if error.errno == errno.EROFS or isinstance(error, PermissionError):
            raise TargetError(f"{path}: cannot be written: {error.strerror}") from error
        raise TargetError(f"{path}: {error.strerror or error}") from error


def _copy_in_kernel(place: tuple[int, int], size: int, target: int, position: int) -> int:
    """Copy from a place (descriptor and offset) to a position of another file; return how many bytes it came to.

    What stops it, such as a full disk or two kinds of disk, whoever copies the rest in the usual way will meet and say.
    """
    source, offset = place
    copied = 0
    with suppress(OSError):
        while copied < size:
            amount = os.copy_file_range(source, target, size - copied, offset + copied, position + copied)
            if not amount:
                break
            copied += amount
    return copied


class OutputFile(Closing):
    """A file being written; not visible to readers under its final name until ``Files.publish``."""

    def __init__(self, path: Path, handle: BinaryIO) -> None:
        self.path = path
        self._handle = handle
        self.size = handle.tell()
        self._broken = False

    def write(self, data: bytes | memoryview) -> int:
        with self._whole_or_broken():
            self._handle.write(data)
        self.size += len(data)
        return len(data)

    def copy(self, member: MemberFile) -> None:
        """Append the bytes of a member; the kernel copies them where both lie on a disk that lets it."""
        copied = 0
        if (place := member.place) is not None and not self._broken:
            self.flush()
            copied = _copy_in_kernel(place, member.size, self._handle.fileno(), self.size)
            self.size += copied
            self._handle.seek(self.size)
        for offset in range(copied, member.size, HASH_BLOCK):
            self.write(member.read_at(offset, min(HASH_BLOCK, member.size - offset)))

    def patch(self, offset: int, data: bytes) -> None:
        """Overwrite bytes written before; the position goes back to the end."""
        with self._whole_or_broken():
            self._handle.seek(offset)
            self._handle.write(data)
            self._handle.seek(self.size)

    @contextmanager
    def _whole_or_broken(self) -> Iterator[None]:
        """After a failed write nobody knows how much of it is in the file: whatever followed would lie elsewhere."""
        if self._broken:
            message = f"{self.path}: an earlier write failed, nothing more is written"
            raise TargetError(message)
        self._broken = True
        with _explained(self.path):
            yield
        self._broken = False

    def tell(self) -> int:
        return self.size

    def flush(self) -> None:
        with _explained(self.path):
            self._handle.flush()

    def sync(self) -> None:
        """Bring what was written to the medium. Raises TargetError also if an earlier write failed."""
        if self._broken:
            message = f"{self.path}: an earlier write failed, the file is not whole"
            raise TargetError(message)
        with _explained(self.path):
            self._handle.flush()
            os.fsync(self._handle.fileno())

    def sync_on_the_way(self) -> None:
        """Bring to the medium what is in the file by now; another thread may be writing. Raises TargetError."""
        with _explained(self.path):
            os.fsync(self._handle.fileno())

    def close(self) -> None:
        with _explained(self.path):
            self._handle.close()


class Files:
    """Durable changes to files. Raises TargetError for everything the operating system refuses."""

    def make_directory(self, path: Path) -> None:
        """Make a directory and those above it; no error if it exists."""
        if not path.is_dir():
            self.make_directory(path.parent)
            self.make_entry(path)
            self.sync_directory(path.parent)

    def make_directories(self, parent: Path, names: Iterable[str]) -> None:
        """Make directories in one, and that too; its entries are synced once."""
        self.make_directory(parent)
        missing = [parent / name for name in names if not (parent / name).is_dir()]
        for path in missing:
            self.make_entry(path)
        if missing:
            self.sync_directory(parent)

    def make_entry(self, path: Path) -> None:
        """Make a directory whose parent is not synced yet."""
        with _explained(path):
            path.mkdir(exist_ok=True)

    def create(self, path: Path) -> OutputFile:
        """Begin a new file, cutting one that exists."""
        with _explained(path):
            return OutputFile(path, path.open("wb"))

    def append(self, path: Path, size: int) -> OutputFile:
        """Go on with a file after its first ``size`` bytes; what is behind them is cut off."""
        with _explained(path):
            handle = path.open("r+b")
            handle.truncate(size)
            handle.seek(size)
            return OutputFile(path, handle)

    def publish(self, source: Path, target: Path) -> None:
        """Rename a synced file to its final name, replacing what it names, durably."""
        with _explained(target):
            source.replace(target)
            self.sync_directory(target.parent)

    def link(self, path: Path, target: Path) -> None:
        """Make a symbolic link to an absolute path."""
        with _explained(path):
            path.symlink_to(target)

    def remove(self, path: Path) -> None:
        """Remove a file or an empty directory; no error if it is gone."""
        with _explained(path):
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            else:
                path.unlink(missing_ok=True)

    def remove_tree(self, path: Path) -> None:
        """Remove a directory with all in it; symbolic links are removed, not followed."""
        if not path.is_symlink() and path.is_dir():
            with _explained(path):
                children = sorted(path.iterdir())
            for child in children:
                self.remove_tree(child)
        self.remove(path)

    def write(self, path: Path, data: bytes) -> None:
        """Write a small file whole or not at all: temporary sibling, sync, rename, sync of the directory."""
        temporary = path.with_name(path.name + ".tmp")
        with self.create(temporary) as output:
            output.write(data)
            output.sync()
        self.publish(temporary, path)

    def sync_directory(self, path: Path) -> None:
        """Make durable which names a directory holds; a new file lives only as long as its name."""
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in _NO_DIRECTORY_SYNC:
                raise
        finally:
            os.close(descriptor)
