"""Write artifacts of an archive into a folder, whatever their names say (spec/format.md, "Threat model").

Every path is checked before anything is written. Each folder on the way is opened by descriptor and never through a
symlink, so that nothing is written outside of the target, not even if someone swaps a folder meanwhile.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final
from uuid import uuid4

from mlflow_archive.errors import DamagedError, ElsewhereError, ItemError
from mlflow_archive.flow.report import Progress, Quiet
from mlflow_archive.reader.archive import Archive
from mlflow_archive.reader.blobs import Blobs

_BLOCK: Final = 1024 * 1024
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """An artifact to write: ``path`` below the target as the archive has it, ``/`` between parts."""

    path: str
    size: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """An artifact that was not written, and why; ``damaged`` where its bytes are."""

    path: str
    reason: str
    damaged: bool = False


@dataclass(slots=True, kw_only=True)
class Extracted:
    """Paths by what became of them. ``equal`` were there already with the same bytes."""

    written: list[str] = field(default_factory=list)
    equal: list[str] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    size: int = 0


def path_parts(path: str) -> tuple[str, ...]:
    """Return the parts of an artifact path that is safe to create below a folder.

    Raises ItemError for an absolute path, an empty, ``.`` or ``..`` part, NUL, or text that is not UTF-8.
    """
    parts = tuple(path.split("/"))
    if "\0" in path:
        raise ItemError("its path holds a NUL character")
    if path.startswith("/"):
        raise ItemError("its path is absolute")
    if bad := [part for part in parts if part in ("", ".", "..")]:
        raise ItemError(f"its path has the part {bad[0]!r}")
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        raise ItemError("its path is no valid UTF-8") from None
    return parts


def check_paths(items: Sequence[Item]) -> tuple[list[Item], list[Refused]]:
    """Split items into those that can be written together and those that cannot.

    Refused are unsafe paths, and paths that are one file, or a file and a folder, on a disk that ignores case or the
    composition of letters (macOS, Windows, many USB disks); the first in order is kept.
    """
    good: list[Item] = []
    refused: list[Refused] = []
    files: dict[tuple[str, ...], str] = {}
    folders: dict[tuple[str, ...], tuple[str, ...]] = {}
    for item in sorted(items, key=lambda item: item.path):
        try:
            parts = path_parts(item.path)
            _check_collision(parts, files, folders)
        except ItemError as error:
            refused.append(Refused(path=item.path, reason=str(error)))
            continue
        key = _folded(parts)
        files[key] = item.path
        folders.update({key[:depth]: parts[:depth] for depth in range(1, len(key))})
        good.append(item)
    return good, refused


def _folded(parts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(unicodedata.normalize("NFC", unicodedata.normalize("NFC", part).casefold()) for part in parts)


def _check_collision(
    parts: tuple[str, ...], files: dict[tuple[str, ...], str], folders: dict[tuple[str, ...], tuple[str, ...]]
) -> None:
    key = _folded(parts)
    if key in files:
        raise ItemError(f"on some disks it is the same file as {files[key]!r}; extract it alone into another folder")
    if key in folders:
        raise ItemError(f"on some disks it is the same name as the folder {'/'.join(folders[key])!r}")
    for depth in range(1, len(key)):
        if key[:depth] in files:
            raise ItemError(f"the file {files[key[:depth]]!r} is in the way")
        if folders.get(key[:depth], parts[:depth]) != parts[:depth]:
            twin = "/".join(folders[key[:depth]])
            raise ItemError(f"on some disks its folder is the same as {twin!r}; extract it alone into another folder")


def extract(
    archive: Archive,
    items: Sequence[Item],
    target: Path,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Extracted:
    """Write artifacts below ``target``, which is made if need be; each file appears whole or not at all.

    A file that is there with other bytes is kept and reported, unless ``overwrite``. Raises OSError where the target
    itself cannot be written; what concerns one artifact is in ``refused``.
    """
    progress = progress or Quiet()
    good, refused = check_paths(items)
    result = Extracted(refused=refused)
    blobs = Blobs(archive)
    pieces = blobs.pieces({item.digest for item in good})
    progress.expect("bytes", sum(item.size for item in good))
    target.mkdir(parents=True, exist_ok=True)
    root = os.open(target, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for item in good:
            try:
                with blobs.open(item.digest, pieces.get(item.digest)) as stream:
                    written = _place(root, item, stream, overwrite=overwrite)
            except (ItemError, ElsewhereError) as error:
                result.refused.append(Refused(path=item.path, reason=str(error)))
                continue
            except DamagedError as error:
                result.refused.append(Refused(path=item.path, reason=str(error), damaged=True))
                continue
            (result.written if written else result.equal).append(item.path)
            result.size += item.size if written else 0
            progress.advance("artifacts", 1)
            progress.advance("bytes", item.size)
    finally:
        os.close(root)
    return result


def _place(root: int, item: Item, stream: BinaryIO, *, overwrite: bool) -> bool:
    """Write one file; return False where it is there already. Raises ItemError, DamagedError."""
    *parents, name = path_parts(item.path)
    with _folder(root, parents) as folder:
        try:
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            status = None
        except OSError as error:
            raise ItemError(f"it cannot be written under that name: {error.strerror}") from error
        if status is not None:
            if not stat.S_ISREG(status.st_mode):
                raise ItemError("in the target there is something else of that name: a folder, symlink or device")
            if status.st_size == item.size and _digest(folder, name) == item.digest:
                return False
            if not overwrite:
                raise ItemError("a file with other content is there already; use --overwrite to replace it")
        _write(folder, name, stream)
        return True


@contextmanager
def _folder(root: int, parents: Sequence[str]) -> Iterator[int]:
    """Open the folder at these parts below the root, making what is missing. Raises ItemError for a symlink."""
    current = os.dup(root)
    try:
        for part in parents:
            try:
                with suppress(FileExistsError):
                    os.mkdir(part, dir_fd=current)
                inner = os.open(part, _FOLDER, dir_fd=current)
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
                    raise
                reason = "is a symlink or a file" if error.errno in (errno.ELOOP, errno.ENOTDIR) else error.strerror
                raise ItemError(f"its folder {part!r} in the target cannot be used: {reason}") from error
            os.close(current)
            current = inner
        yield current
    finally:
        os.close(current)


def _digest(folder: int, name: str) -> str:
    digest = hashlib.sha256()
    with open(os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder), "rb") as file:  # noqa: PTH123 - by descriptor
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _write(folder: int, name: str, stream: BinaryIO) -> None:
    """Write under a temporary name, then rename."""
    temporary = f".mlfa-{uuid4().hex}.tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    descriptor = os.open(temporary, flags, 0o666, dir_fd=folder)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - by descriptor
            while block := stream.read(_BLOCK):
                file.write(block)
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        raise
