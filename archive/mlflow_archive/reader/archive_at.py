"""What opens an archive in another process, or on another machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mlflow_archive.errors import ArchiveError
from mlflow_archive.format.earlier import AskedAt
from mlflow_archive.format.location import ArchivePath, ArchivePlace, archive_place
from mlflow_archive.reader.archive import Archive, open_archive


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveAt:
    """What opens an archive on any machine that sees its place; plain data. ``id`` is what must lie there."""

    place: ArchivePlace
    base: ArchivePlace | None
    at: AskedAt | None
    id: str

    def open(self) -> Archive:
        """Open it. Raises what ``open_archive`` raises, ArchiveError where another archive lies there."""
        archive = open_archive(self.place, base=self.base, at=self.at)
        if archive.id != self.id:
            archive.close()
            raise ArchiveError(f"{self.place} is archive {archive.id} there, and not {self.id}")
        return archive


def archive_at(path: ArchivePath, base: ArchivePath | None, archive_id: str, at: AskedAt | None = None) -> ArchiveAt:
    """Return what opens an archive with an id, also in another folder."""
    of_base = None if base is None else _absolute(base)
    return ArchiveAt(place=_absolute(path), base=of_base, at=at, id=archive_id)


def _absolute(path: ArchivePath) -> ArchivePlace:
    place = archive_place(path)
    return place.absolute() if isinstance(place, Path) else place
