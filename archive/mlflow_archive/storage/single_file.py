"""The single-file form: read in place, and written from members that are complete."""

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
from mlflow_archive.storage.files import Files, OutputFile
from mlflow_archive.storage.members import HASH_BLOCK, MemberFile, Members, OpenFile

_FIRST_BYTES = b"PK\x03\x04"


class SingleFileMembers:
    """The members of one ``.mlfa`` file. Opening reads the central directory, nothing else.

    A member's local header is compared with the central directory when it is opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            # Not blocking: a pipe would wait for someone to write into it.
            self._file = OpenFile(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
        except OSError as error:
            raise NotAnArchiveError(f"{path} cannot be opened: {error.strerror}") from error
        try:
            self._entries = self._read_directory()
        except BaseException:
            self._file.close()
            raise

    def _read_directory(self) -> dict[str, zipfile64.Entry]:
        about = os.fstat(self._file.descriptor)
        if not stat.S_ISREG(about.st_mode):
            message = f"E001: {self.path} is neither a regular file nor a directory"
            raise NotAnArchiveError(message)
        size = about.st_size
        if os.pread(self._file.descriptor, len(_FIRST_BYTES), 0) != _FIRST_BYTES[:size] or size == 0:
            what = "it does not begin with a ZIP member"
            if os.pread(self._file.descriptor, len(MAGIC), 0) == MAGIC:
                what = "it is the index of one, and serves only as `export --base`"
            message = f"E001: {self.path} is no archive: {what}"
            raise NotAnArchiveError(message)
        whole = MemberFile(self.path.name, self._file, 0, size)
        tail = min(size, zipfile64.END_SIZE)
        offset, length, count = zipfile64.decode_end(whole.read_at(size - tail, tail), size)
        entries = zipfile64.decode_central(whole.read_at(offset, length), count, offset)
        return {entry.name: entry for entry in entries}

    def sizes(self) -> dict[str, int]:
        return {name: entry.size for name, entry in self._entries.items()}

    def open(self, name: str) -> MemberFile:
        entry = self._entries.get(name)
        if entry is None:
            raise DamagedError(f"{name} is not in {self.path}", code="E010", member=name)
        header_size = entry.data_offset - entry.header_offset
        header = MemberFile(name, self._file, entry.header_offset, header_size)
        zipfile64.check_local(entry, header.read_at(0, header_size))
        return MemberFile(name, self._file, entry.data_offset, entry.size, entry.crc32)

    def blocks(self, hashes: Mapping[str, str]) -> Iterator[bytes]:
        """Yield the bytes of the file itself, from first to last, each member checked on the way.

        Raises DamagedError (E012) where one has another SHA-256 than ``hashes`` states.
        """
        whole = MemberFile(self.path.name, self._file, 0, self.size)
        position = 0
        for name, entry in self._entries.items():
            member = self.open(name)
            yield whole.read_at(position, entry.data_offset - position)
            digest = hashlib.sha256()
            for block in _member_blocks(member):
                digest.update(block)
                yield block
            _compare(member, digest.hexdigest(), hashes.get(name))
            position = entry.data_offset + entry.size
        yield whole.read_at(position, whole.size - position)

    @property
    def size(self) -> int:
        """Bytes of the file itself."""
        return os.fstat(self._file.descriptor).st_size

    def crc32(self, name: str) -> int:
        """Return the CRC-32 that the file states for a member."""
        return self._entries[name].crc32

    def close(self) -> None:
        self._file.close()


def write_single_file(files: Files, path: Path, members: Iterable[tuple[MemberFile, str | None]]) -> None:
    """Write complete members, in that order, into one file, durably; ``path`` appears when it is whole.

    Each member comes with the SHA-256 it must have (None: unchecked). Raises DamagedError (E012) if a member is
    not what it should be, TargetError if the disk refuses.
    """
    temporary = path.with_name(path.name + ".tmp")
    with files.create(temporary) as output:
        entries = [_write_member(output, member, sha256) for member, sha256 in members]
        output.write(zipfile64.central_directory(entries, output.tell()))
        output.sync()
    files.publish(temporary, path)


def _write_member(output: OutputFile, member: MemberFile, sha256: str | None) -> zipfile64.Entry:
    start = output.tell()
    # The CRC is known only after reading; a placeholder header of the same length is patched.
    output.write(zipfile64.local_header(member.name, member.size, 0, start))
    data_offset, crc, digest = output.tell(), 0, hashlib.sha256()
    for block in _member_blocks(member):
        crc = zlib.crc32(block, crc)
        digest.update(block)
        output.write(block)
    _compare(member, digest.hexdigest(), sha256)
    output.patch(start, zipfile64.local_header(member.name, member.size, crc, start))
    return zipfile64.Entry(name=member.name, size=member.size, crc32=crc, header_offset=start, data_offset=data_offset)


def single_file_size(members: Members, names: Iterable[str]) -> int:
    """Return the size of the single file that has these members in this order."""
    entries: list[zipfile64.Entry] = []
    offset = 0
    for name in names:
        size = members.open(name).size
        data_offset = offset + len(zipfile64.local_header(name, size, 0, offset))
        entries.append(zipfile64.Entry(name=name, size=size, crc32=0, header_offset=offset, data_offset=data_offset))
        offset = data_offset + size
    return offset + len(zipfile64.central_directory(entries, offset))


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
        header = zipfile64.local_header(name, member.size, crc, offset)
        yield header
        entry = zipfile64.Entry(
            name=name, size=member.size, crc32=crc, header_offset=offset, data_offset=offset + len(header)
        )
        again = 0
        for block in _member_blocks(member):
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
    for block in _member_blocks(member):
        crc = zlib.crc32(block, crc)
        digest.update(block)
    _compare(member, digest.hexdigest(), sha256)
    return crc


def _compare(member: MemberFile, actual: str, expected: str | None) -> None:
    if expected is not None and actual != expected:
        message = f"{member.name} has SHA-256 {actual}, expected {expected}"
        raise DamagedError(message, code="E012", member=member.name)


def _member_blocks(member: MemberFile) -> Iterator[bytes]:
    for offset in range(0, member.size, HASH_BLOCK):
        yield member.read_at(offset, min(HASH_BLOCK, member.size - offset))
