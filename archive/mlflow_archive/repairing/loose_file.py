"""The members of a single file whose directory may be damaged: where they lie by the directory, or by local headers."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mlflow_archive.errors import DamagedError, NotAnArchiveError
from mlflow_archive.format.zipfile64 import (
    END_SIZE,
    LOCAL_SIGNATURE,
    check_local,
    decode_central,
    decode_end,
    decode_loosely,
)
from mlflow_archive.storage.members import HASH_BLOCK, MemberFile, NearMembers, OpenFile

_LONGEST_HEADER: Final = 1024
_PLACES_OF_A_NAME: Final = 8
_MOST_NAMES: Final = 100_000
"""A file may hold another archive, or be made to harm: more places with one name, or names, are not looked at."""


class LooseFile(NearMembers):
    """Members of one file, in the places that its directory or, where that is damaged, its local headers state.

    ``problem`` is what is wrong with the file itself. What lies in a place is to be proved by its hash.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problem: DamagedError | None = None
        try:
            self._file = OpenFile(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
        except OSError as error:
            raise NotAnArchiveError(f"E001: {path} cannot be opened: {error.strerror}") from error
        about = os.fstat(self._file.descriptor)
        if not stat.S_ISREG(about.st_mode):
            self._file.close()
            raise NotAnArchiveError(f"E001: {path} is neither a regular file nor a directory")
        self.size = about.st_size
        self._places = self._by_directory() or self._by_headers()

    def _by_directory(self) -> dict[str, list[tuple[int, int]]]:
        whole = MemberFile(self.path.name, self._file, 0, self.size)
        places: dict[str, list[tuple[int, int]]] = {}
        try:
            tail = min(self.size, END_SIZE)
            offset, length, count = decode_end(whole.read_at(self.size - tail, tail), self.size)
            entries = decode_central(whole.read_at(offset, length), count, offset)
            places = {entry.name: [(entry.data_offset, entry.size)] for entry in entries}
            for entry in entries:
                check_local(entry, whole.read_at(entry.header_offset, entry.data_offset - entry.header_offset))
        except DamagedError as error:
            self.problem = error
        return places

    def _by_headers(self) -> dict[str, list[tuple[int, int]]]:
        places: dict[str, list[tuple[int, int]]] = {}
        whole = MemberFile(self.path.name, self._file, 0, self.size)
        for offset in _signatures(whole):
            header = decode_loosely(whole.read_at(offset, min(_LONGEST_HEADER, self.size - offset)))
            if header is not None and offset + header[2] <= self.size:
                name, size, header_size = header
                spots = places.setdefault(name, [])
                if len(spots) < _PLACES_OF_A_NAME:
                    spots.append((offset + header_size, size))
            if len(places) == _MOST_NAMES:
                break
        return places

    def sizes(self) -> dict[str, int]:
        return {name: size for name, [(_, size), *_] in self._places.items()}

    def open(self, name: str) -> MemberFile:
        for offset, size in self._places.get(name, ()):
            return self.piece(name, offset, size)
        raise DamagedError(f"{name} is not in {self.path}", code="E010", member=name)

    def places(self, name: str) -> list[int]:
        """Return where a member may begin, in bytes from the start of the file."""
        return [offset for offset, _ in self._places.get(name, ())]

    def piece(self, name: str, offset: int, size: int) -> MemberFile:
        """Return a piece of the file as a member; it is shorter where the file ends before."""
        return MemberFile(name, self._file, offset, max(0, min(size, self.size - offset)))

    def close(self) -> None:
        self._file.close()


def _signatures(whole: MemberFile) -> Iterator[int]:
    """Yield every offset at which a local header may begin."""
    overlap = len(LOCAL_SIGNATURE) - 1
    for start in range(0, whole.size, HASH_BLOCK):
        block = _readable(whole, start, min(HASH_BLOCK + overlap, whole.size - start))
        at = block.find(LOCAL_SIGNATURE)
        while at >= 0:
            yield start + at
            at = block.find(LOCAL_SIGNATURE, at + 1)


def _readable(whole: MemberFile, start: int, size: int) -> bytes:
    try:
        return whole.read_at(start, size)
    except DamagedError:  # a sector that cannot be read holds no header
        return b""
