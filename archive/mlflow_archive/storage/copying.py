"""Members copied as they are into another archive: the kernel copies, while threads hash what is copied.

So a copy takes little more than that of a file, and every member is still held against its SHA-256.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Final

from mlflow_archive.format import zipfile64
from mlflow_archive.storage.files import Files, OutputFile
from mlflow_archive.storage.members import MemberFile, check_sha256

_HASHING: Final = 2  # threads

Stated = tuple[MemberFile, str | None]
"""A member, and the SHA-256 that it must have, None for one that is not checked."""


def copy_to_single_file(files: Files, path: Path, members: Iterable[Stated]) -> None:
    """Copy members, in that order, into one file, durably; ``path`` appears when it is whole.

    The CRC-32 of a member out of a single file is the one that this states. Raises DamagedError (E012) if a member has
    another SHA-256 than it must have, TargetError if the disk refuses.
    """
    temporary = path.with_name(path.name + ".tmp")
    with files.create(temporary) as output, ThreadPoolExecutor(_HASHING, thread_name_prefix="hash") as pool:
        copied = [_copy_member(output, member, sha256, pool) for member, sha256 in members]
        output.sync()  # while the last members are still being hashed
        entries = [_entry(output, entry, checked) for entry, checked in copied]
        output.write(zipfile64.central_directory(entries, output.tell()))
        output.sync()
    files.publish(temporary, path)


def copy_to_directory(files: Files, root: Path, members: Iterable[Stated]) -> None:
    """Copy members to their places below a folder, durably; raises as :func:`copy_to_single_file`."""
    with ThreadPoolExecutor(_HASHING, thread_name_prefix="hash") as pool:
        checks = []
        for member, sha256 in members:
            checks.append(pool.submit(_check, member, sha256))
            target = root / member.name
            files.make_directory(target.parent)
            with files.create(target) as output:
                output.copy(member)
                output.sync()
        for check in checks:
            check.result()
    for folder in sorted({path.parent for path in root.rglob("*")}, reverse=True):
        files.sync_directory(folder)


def _copy_member(
    output: OutputFile, member: MemberFile, sha256: str | None, pool: ThreadPoolExecutor
) -> tuple[zipfile64.Entry, Future[int]]:
    """Append a member behind its header, which states the CRC-32 if that is known before all of it was read."""
    checked = pool.submit(_checked, member, sha256)
    entry = zipfile64.entry_at(member.name, member.size, member.crc32 or 0, output.tell())
    output.write(zipfile64.header_of(entry))
    output.copy(member)
    return entry, checked


def _entry(output: OutputFile, entry: zipfile64.Entry, checked: Future[int]) -> zipfile64.Entry:
    """Return the entry of a member that was checked, with its CRC-32 also in the local header."""
    crc = checked.result()
    if crc == entry.crc32:
        return entry
    mended = replace(entry, crc32=crc)
    output.patch(entry.header_offset, zipfile64.header_of(mended))
    return mended


def _checked(member: MemberFile, sha256: str | None) -> int:
    """Return the CRC-32 of a member that has the SHA-256 it must have."""
    if member.crc32 is not None:
        _check(member, sha256)
        return member.crc32
    crc = 0
    for block in _proved(member, sha256):
        crc = zlib.crc32(block, crc)
    return crc


def _check(member: MemberFile, sha256: str | None) -> None:
    for _ in _proved(member, sha256):
        pass


def _proved(member: MemberFile, sha256: str | None) -> Iterator[bytes]:
    """Yield all bytes of a member; behind the last, raise if they have another SHA-256 than it must have."""
    digest = hashlib.sha256()
    for block in member.blocks():
        digest.update(block)
        yield block
    check_sha256(member, digest.hexdigest(), sha256)
