"""The right bytes of each member of an archive, from whichever copy has them; proved by the manifest's SHA-256."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from mlflow_archive.errors import DamagedError
from mlflow_archive.flow.report import Progress
from mlflow_archive.format.layout import README
from mlflow_archive.format.manifest import Member
from mlflow_archive.format.readme import README_TEXT
from mlflow_archive.reader.archive import Archive
from mlflow_archive.reader.stored.listing import listing_of
from mlflow_archive.reader.stored.opening import OpenedManifest
from mlflow_archive.repairing.copies import Copy
from mlflow_archive.repairing.drafts import Draft
from mlflow_archive.repairing.frames import rebuild_frames
from mlflow_archive.repairing.listing import member_offsets
from mlflow_archive.repairing.units import settle_units
from mlflow_archive.storage.members import BytesMember, MemberFile, NearMembers


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedy:
    """What there is of a member. ``sound``: it has the SHA-256 of the manifest. ``origin`` says where that comes from,
    empty where it lies in the damaged archive as it should; ``file`` is None where nothing at all is left."""

    file: MemberFile | None
    sound: bool
    origin: str = ""


class MendedMembers(NearMembers):
    """What there is of all members, as the members of an archive; of a damaged one what is left of it."""

    def __init__(self, path: Path, files: Mapping[str, MemberFile]) -> None:
        self.path = path
        self._files = files

    def sizes(self) -> dict[str, int]:
        return {name: file.size for name, file in self._files.items()}

    def open(self, name: str) -> MemberFile:
        file = self._files.get(name)
        if file is None:
            raise DamagedError(f"{name} is in no copy", code="E010", member=name)
        return file

    def close(self) -> None:
        """Leave all open: the copies close what is theirs."""


class Mending:
    """Looks for the members of one manifest in a damaged archive and in other copies.

    ``remedies`` has an entry for each member of the manifest, by path, once ``run`` is done.
    """

    def __init__(self, damaged: Copy, copies: Sequence[Copy], opened: OpenedManifest, progress: Progress) -> None:
        self.opened, self.remedies = opened, dict[str, Remedy]()
        self._damaged, self._copies, self._progress = damaged, copies, progress
        self._offsets = member_offsets(opened)

    def run(self, jobs: int) -> None:
        """Look for all members, with ``jobs`` threads that hash."""
        members = sorted(self.opened.manifest.members, key=lambda member: -member.size)
        self._progress.expect("bytes", sum(member.size for member in members))
        with ThreadPoolExecutor(jobs, thread_name_prefix="repair") as pool:
            for member, remedy in zip(members, pool.map(self._whole, members), strict=True):
                self.remedies[member.path] = remedy or Remedy(file=None, sound=False)
        for member in members:
            if not self.remedies[member.path].sound:
                self.remedies[member.path] = self._put_together(member)

    @property
    def unsound(self) -> list[Member]:
        """The members of which no copy has the right bytes, nor all of them together."""
        return [member for member in self.opened.manifest.members if not self.remedies[member.path].sound]

    def _whole(self, member: Member) -> Remedy | None:
        """Return a member that one of the copies has whole."""
        self._progress.advance("bytes", member.size)
        for copy in (self._damaged, *self._copies):
            for candidate in copy.candidates(member, self._offsets[member.path]):
                if candidate.sha256() == member.sha256:
                    return Remedy(file=candidate, sound=True, origin="" if copy is self._damaged else str(copy.path))
        readme = BytesMember(README, README_TEXT.encode())
        if member.path == README and readme.sha256() == member.sha256:
            return Remedy(file=readme, sound=True, origin="its known text")
        return None

    def _put_together(self, member: Member) -> Remedy:
        """Return a member made of the sound pieces of several copies, or what there is of it."""
        sources = self._sources(member)
        if not sources:
            return Remedy(file=None, sound=False)
        draft = Draft(sources)
        if draft.comparable and len(sources) > 1:
            settle_units(draft, member)
            if draft.settle_rest([member.sha256]):
                return Remedy(file=draft, sound=True, origin="ranges of several copies")
        if member.kind == "pack" and rebuild_frames(draft, self._archives()) and draft.sha256() == member.sha256:
            return Remedy(file=draft, sound=True, origin="blobs of other archives")
        return Remedy(file=draft, sound=False)

    def _sources(self, member: Member) -> list[MemberFile]:
        """Return what may be a member in the damaged archive, and in the copies that may hold it."""
        holders = [self._damaged, *(copy for copy in self._copies if copy.may_hold(member))]
        return [file for copy in holders for file in copy.candidates(member, self._offsets[member.path])]

    def _archives(self) -> list[Archive]:
        archives = (copy.archive() for copy in self._copies)
        return [archive for archive in archives if archive is not None and archive.id != self.opened.archive_id]

    def archive(self) -> Archive:
        """Return the archive that the members are of, as far as there are any: damaged rows and frames raise errors."""
        return archive_over(self._damaged.path, self.opened, self.files())

    def files(self) -> dict[str, MemberFile]:
        """Return what there is of each member by its name."""
        return {path: remedy.file for path, remedy in self.remedies.items() if remedy.file is not None}


def archive_over(path: Path, opened: OpenedManifest, files: Mapping[str, MemberFile]) -> Archive:
    """Return the archive of a manifest over some files of its members; the listing is made of the manifest."""
    listing = {file.name: file for file in listing_of(opened)}
    return Archive(MendedMembers(path, {**files, **listing}), opened)


def mended_listing(damaged: Copy, opened: OpenedManifest) -> list[str]:
    """Return which of the members that no manifest lists are not in the archive as they should be."""
    wrong = []
    for file in listing_of(opened):
        try:
            stored = damaged.members.open(file.name)
            is_right = stored.size == file.size and stored.sha256() == file.sha256()
        except DamagedError:
            is_right = False
        if not is_right:
            wrong.append(file.name)
    return wrong
