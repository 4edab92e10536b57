"""A copy of an archive as far as it can be read: its manifest, if that is sound, and where each member may lie."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mlflow_archive.errors import ArchiveError, DamagedError, FormatTooNewError, NotAnArchiveError
from mlflow_archive.format.manifest import Member
from mlflow_archive.reader.archive import Archive
from mlflow_archive.reader.stored.opening import OpenedManifest, read_manifest
from mlflow_archive.repairing.loose_file import LooseFile
from mlflow_archive.storage.closing import Closing
from mlflow_archive.storage.members import DirectoryMembers, MemberFile

SECTOR: Final = 4096


class PaddedMember(MemberFile):
    """A member of which every byte can be asked for: zero where the copy ends before, or cannot be read."""

    def __init__(self, name: str, stored: MemberFile, size: int) -> None:
        self.name, self.size, self._stored = name, size, stored

    @property
    def place(self) -> None:
        return None

    def read_at(self, offset: int, size: int) -> bytes:
        self.check_range(offset, size)
        stored = max(0, min(size, self._stored.size - offset))
        return self._readable(offset, stored) + bytes(size - stored)

    def _readable(self, offset: int, size: int) -> bytes:
        if not size:
            return b""
        try:
            return self._stored.read_at(offset, size)
        except DamagedError:
            if size <= SECTOR:
                return bytes(size)
            end = offset + size
            return b"".join(self._readable(at, min(SECTOR, end - at)) for at in range(offset, end, SECTOR))


class Copy(Closing):
    """A directory or single file that may be a damaged archive. ``opened`` is its manifest, None if that is damaged.

    ``too_new`` says that it is of a newer version, unless damage makes it look so. Raises NotAnArchiveError if nothing
    is there.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise NotAnArchiveError(f"E001: {path} does not exist")
        self.path = path
        self.members: DirectoryMembers | LooseFile = DirectoryMembers(path) if path.is_dir() else LooseFile(path)
        self.opened: OpenedManifest | None = None
        self.too_new: FormatTooNewError | None = None
        try:
            self.opened = read_manifest(self.members)
        except FormatTooNewError as error:
            self.too_new = error
        except ArchiveError:
            pass
        listed = self.opened.manifest.members if self.opened else ()
        self._path_by_sha256 = {member.sha256: member.path for member in listed}

    @property
    def structure_problem(self) -> DamagedError | None:
        """What is wrong with the list of members of a single file."""
        return self.members.problem if isinstance(self.members, LooseFile) else None

    def may_hold(self, member: Member) -> bool:
        """Return whether this copy was made with that member: it says so, or does not say what it was made with."""
        return self.opened is None or member.sha256 in self._path_by_sha256

    def candidates(self, member: Member, offset: int) -> Iterator[MemberFile]:
        """Yield where the member may lie, whole or damaged, each once, padded to its size.

        ``offset`` is where it begins in a single file of the archive that it is of.
        """
        for name in dict.fromkeys((self._path_by_sha256.get(member.sha256, member.path), member.path)):
            for stored in self._stored(name, member.size, offset if name == member.path else None):
                yield PaddedMember(member.path, stored, member.size)

    def _stored(self, name: str, size: int, offset: int | None) -> Iterator[MemberFile]:
        if isinstance(self.members, LooseFile):
            starts = [*self.members.places(name), *(() if offset is None else (offset,))]
            for start in dict.fromkeys(starts):
                if start < self.members.size:
                    yield self.members.piece(name, start, size)
            return
        try:
            yield self.members.open(name)
        except DamagedError:
            return

    def archive(self) -> Archive | None:
        """Return the archive to read rows and blobs of, None if its manifest is damaged; the copy closes it."""
        return Archive(self.members, self.opened) if self.opened else None

    def close(self) -> None:
        self.members.close()
