"""The single-file form: read in place, and streamed from members that are whole; ``unfinished_file`` writes one."""

from __future__ import annotations

import hashlib
import os
import stat
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from mlflow_archive.errors import DamagedError, NotAnArchiveError
from mlflow_archive.format import zipfile64
from mlflow_archive.format.index import MAGIC
from mlflow_archive.format.location import ArchivePlace
from mlflow_archive.storage.members import MemberFile, Members, NearMembers, OpenFile, StoredBytes, check_sha256

_FIRST_BYTES = b"PK\x03\x04"


class SingleFileMembers(NearMembers):
    """The members of one ``.mlfa`` file. Opening reads the central directory, nothing else.

    A member's local header is compared with the central directory when it is opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            # Not blocking: a pipe would wait for someone to write into it.
            file = OpenFile(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
        except OSError as error:
            raise NotAnArchiveError(f"{path} cannot be opened: {error.strerror}") from error
        try:
            self._take(file, _regular_size(file, path))
        except BaseException:
            file.close()
            raise
        self._closing = file.close

    def _take(self, file: StoredBytes, size: int) -> None:
        """Read the central directory of a file of that size. Raises NotAnArchiveError, DamagedError."""
        self._file, self.size = file, size
        if size == 0 or file.read(0, len(_FIRST_BYTES)) != _FIRST_BYTES[:size]:
            what = "it does not begin with a ZIP member"
            if file.read(0, len(MAGIC)) == MAGIC:
                what = "it is the index of one, and serves only as `export --base`"
            raise NotAnArchiveError(f"E001: {self.path} is no archive: {what}")
        tail = min(size, zipfile64.END_SIZE)
        offset, length, count = zipfile64.decode_end(self._whole().read_at(size - tail, tail), size)
        entries = zipfile64.decode_central(self._whole().read_at(offset, length), count, offset)
        self._entries = {entry.name: entry for entry in entries}

    def _whole(self) -> MemberFile:
        return MemberFile(self.path.name, self._file, 0, self.size)

    @property
    def path(self) -> ArchivePlace:
        """The file."""
        return self._path

    def sizes(self) -> dict[str, int]:
        return {name: entry.size for name, entry in self._entries.items()}

    def open(self, name: str) -> MemberFile:
        self.check_header(name)
        return self._member(name)

    def _member(self, name: str) -> MemberFile:
        entry = self._entry(name)
        return MemberFile(name, self._file, entry.data_offset, entry.size, entry.crc32)

    def _entry(self, name: str) -> zipfile64.Entry:
        entry = self._entries.get(name)
        if entry is None:
            raise DamagedError(f"{name} is not in {self.path}", code="E010", member=name)
        return entry

    def check_header(self, name: str) -> None:
        """Compare the local header of a member with the central directory. Raises DamagedError (E010, E011, E021)."""
        entry = self._entry(name)
        size = entry.data_offset - entry.header_offset
        header = MemberFile(name, self._file, entry.header_offset, size)
        zipfile64.check_local(entry, header.read_at(0, size))

    def blocks(self, hashes: Mapping[str, str]) -> Iterator[bytes]:
        """Yield the bytes of the file itself, from first to last, each member checked on the way.

        Raises DamagedError (E012) where one has another SHA-256 than ``hashes`` states.
        """
        whole = self._whole()
        position = 0
        for name, entry in self._entries.items():
            member = self.open(name)
            yield whole.read_at(position, entry.data_offset - position)
            digest = hashlib.sha256()
            for block in member.blocks():
                digest.update(block)
                yield block
            check_sha256(member, digest.hexdigest(), hashes.get(name))
            position = entry.data_offset + entry.size
        yield whole.read_at(position, whole.size - position)

    def crc32(self, name: str) -> int:
        """Return the CRC-32 that the file states for a member."""
        return self._entries[name].crc32

    def close(self) -> None:
        self._closing()


def _regular_size(file: OpenFile, path: Path) -> int:
    about = os.fstat(file.descriptor)
    if not stat.S_ISREG(about.st_mode):
        raise NotAnArchiveError(f"E001: {path} is neither a regular file nor a directory")
    return about.st_size


def single_file_size(members: Members, names: Iterable[str]) -> int:
    """Return the size of the single file that has these members in this order."""
    entries = zipfile64.laid_out({name: members.open(name).size for name in names})
    end = zipfile64.end_of(entries)
    return end + len(zipfile64.central_directory(entries, end))


def single_file_blocks(members: Members, names: Sequence[str], hashes: Mapping[str, str]) -> Iterator[bytes]:
    """Yield the bytes of the single file that has these members in this order; nothing is written.

    Each member is read twice, as its CRC comes before its bytes. Raises DamagedError (E012) where one has another
    SHA-256 than ``hashes`` states, or changes between the two.
    """
    entries: list[zipfile64.Entry] = []
    offset = 0
    for name in names:
        member = members.open(name)
        crc = _check_member(member, hashes.get(name))
        entry = zipfile64.entry_at(name, member.size, crc, offset)
        yield zipfile64.header_of(entry)
        again = 0
        for block in member.blocks():
            again = zlib.crc32(block, again)
            yield block
        if again != crc:
            raise DamagedError(f"{name} changed while it was read", code="E012", member=name)
        entries.append(entry)
        offset = entry.data_offset + entry.size
    yield zipfile64.central_directory(entries, offset)


def _check_member(member: MemberFile, sha256: str | None) -> int:
    """Return the CRC-32 of a member that has the SHA-256 it must have (None: unchecked)."""
    crc, digest = 0, hashlib.sha256()
    for block in member.blocks():
        crc = zlib.crc32(block, crc)
        digest.update(block)
    check_sha256(member, digest.hexdigest(), sha256)
    return crc
