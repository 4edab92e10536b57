"""Artifact files in a folder of this machine: found, opened, written."""

from __future__ import annotations

import errno
import io
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfileobj
from typing import Any, BinaryIO, Final, cast

from mlflow_archive.artifact_roots.names import is_utf8, printable
from mlflow_archive.flow.chunk import ArtifactUnreadableError
from mlflow_archive.format.gaps import (
    ARTIFACT_LISTING,
    ARTIFACT_MISSING,
    ARTIFACT_NAME,
    ARTIFACT_SIZE,
    ARTIFACT_UNREADABLE,
)
from mlflow_archive.storage.seekable import Seekable

_BLOCK = 1 << 20

PART: Final = ".mlflow-archive-"
"""What names of files that are not whole yet begin with."""

OnGap = Callable[[str, str, str], None]
"""Called with path, gap code and reason of an artifact that cannot be carried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundFile:
    """A readable artifact file: its path below the artifact root as MLflow shows it, its place and size in bytes.

    ``mark`` is the time of the last change, in nanoseconds since the epoch.
    """

    path: str
    place: Path
    size: int
    mark: str | None = None

    def open(self) -> AbstractContextManager[BinaryIO]:
        """Open for reading; raises ArtifactUnreadableError, also while it is read."""
        return closing(cast(BinaryIO, io.BufferedReader(_ArtifactReader(self), 1024 * 1024)))


def list_files(root: Path, gap: OnGap) -> list[FoundFile]:
    """Return all files below an artifact root, sorted by path; ``gap`` is called for what cannot be carried."""
    files: list[FoundFile] = []
    base = os.path.join(root, "")  # noqa: PTH118 - of a root as of any other folder, and there may be a million files

    def cannot_list(folder: str, error: OSError) -> None:
        gap(printable(folder[len(base) :]), ARTIFACT_LISTING, f"the folder cannot be listed: {error.strerror}")

    for entry in _entries(base, cannot_list):
        name = entry.path[len(base) :]
        path = printable(name)
        if not is_utf8(name):
            gap(path, ARTIFACT_NAME, "its file name is not UTF-8")
            continue
        try:
            files.append(_examine(entry, path, root))
        except ArtifactUnreadableError as error:
            gap(path, error.code, str(error))
    return sorted(files, key=lambda file: file.path)


def _entries(root: str, cannot_list: Callable[[str, OSError], None]) -> Iterator[os.DirEntry[str]]:
    """Yield what lies below a folder, but for folders; a link is never followed."""
    folders = [root]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    else:
                        yield entry
        except OSError as error:
            cannot_list(folder, error)


def _examine(entry: os.DirEntry[str], path: str, root: Path) -> FoundFile:
    """Return a regular file, or the regular file in the same root that a link leads to."""
    try:
        place, status = entry.path, entry.stat(follow_symlinks=False)
        if stat.S_ISLNK(status.st_mode):
            place = os.path.realpath(place, strict=True)
            if not Path(place).is_relative_to(os.path.realpath(root)):
                raise _unreadable(f"it is a link that leads out of the artifact folder, to {printable(place)}")
            status = os.lstat(place)
    except OSError as error:  # also for links in a circle
        raise _unreadable(f"it cannot be reached: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode):
        kind = "a link to a folder" if stat.S_ISDIR(status.st_mode) else "neither file nor folder"
        raise _unreadable(f"it is {kind}")
    return FoundFile(path=path, place=Path(place), size=status.st_size, mark=str(status.st_mtime_ns))


def _unreadable(reason: str) -> ArtifactUnreadableError:
    return ArtifactUnreadableError(reason, code=ARTIFACT_UNREADABLE)


class _ArtifactReader(Seekable):
    """A file whose errors say that this artifact, not the whole store, cannot be read."""

    def __init__(self, file: FoundFile) -> None:
        super().__init__()
        self._path = file.path
        try:
            descriptor = os.open(file.place, os.O_RDONLY | os.O_NOFOLLOW)
        except FileNotFoundError:
            raise ArtifactUnreadableError(
                f"{file.path} was there when the run was listed and is gone", code=ARTIFACT_MISSING
            ) from None
        except OSError as error:
            raise _unreadable(f"{file.path} cannot be opened: {error.strerror}") from error
        self._file = os.fdopen(descriptor, "rb", buffering=0)
        size = os.fstat(descriptor).st_size
        if size != file.size:
            self.close()
            raise ArtifactUnreadableError(
                f"{file.path} has {size} bytes; there were {file.size} when the run was listed", code=ARTIFACT_SIZE
            )

    def readinto(self, buffer: Any) -> int | None:
        try:
            return self._file.readinto(buffer)
        except OSError as error:
            raise _unreadable(f"{self._path} cannot be read: {error.strerror}") from error

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()
        super().close()


def write_file(root: Path, path: str, stream: BinaryIO, *, scratch: Path | None = None) -> None:
    """Write the bytes of a stream to ``root/path``, under another name first: the file is whole or does not exist.

    Until it is whole it lies in ``scratch``, if that is on the same file system, else beside its place. Folders are
    made. Nothing is forced to disk. Raises OSError.
    """
    place = root / path
    place.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=PART, dir=scratch or place.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            copyfileobj(stream, file, _BLOCK)
            os.fchmod(descriptor, 0o666 & ~_UMASK)
        try:
            Path(name).replace(place)
        except OSError as error:
            if scratch is None or error.errno != errno.EXDEV:
                raise
            with Path(name).open("rb") as written:
                write_file(root, path, written)
            Path(name).unlink()
    except BaseException:
        with suppress(FileNotFoundError):
            Path(name).unlink()
        raise


def remove_file(root: Path, path: str) -> None:
    """Remove ``root/path`` and the folders between them that are empty then. Raises OSError."""
    place = root / path
    place.unlink(missing_ok=True)
    for folder in place.parents:
        if folder == root:
            return
        try:
            folder.rmdir()
        except OSError:
            return  # not empty


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


# Read once: to read it, it must be set for a moment, for all threads.
_UMASK = _umask()
