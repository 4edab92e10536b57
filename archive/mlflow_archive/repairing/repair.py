"""Repair an archive: the one entry. What is damaged is taken from other copies, or left out and named."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mlflow_archive.errors import SelectionError
from mlflow_archive.flow.chunk import Gap
from mlflow_archive.flow.report import Progress, Quiet
from mlflow_archive.format.layout import README
from mlflow_archive.format.manifest import Member
from mlflow_archive.format.readme import README_TEXT
from mlflow_archive.kinds import TABLES
from mlflow_archive.reader.stored.listing import listing_of
from mlflow_archive.reader.stored.opening import OpenedManifest
from mlflow_archive.repairing.copies import Copy
from mlflow_archive.repairing.made_anew import made_anew, open_new_members
from mlflow_archive.repairing.manifests import Choice, choose_manifest
from mlflow_archive.repairing.mending import Mending, Remedy, archive_over, mended_listing
from mlflow_archive.repairing.salvage import Salvage
from mlflow_archive.storage.files import Files
from mlflow_archive.storage.members import BytesMember, MemberFile
from mlflow_archive.verification.checks import examine
from mlflow_archive.verification.report import Level, Lost, VerifyReport
from mlflow_archive.writer.base import refuse_inside
from mlflow_archive.writer.destination import Destination, destination


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairOptions:
    """How to repair: with ``salvage`` what is sound is written where something is lost; ``jobs`` threads read.

    ``tool`` names the program and version that writes, ``clock_ms`` gives the time of a salvage.
    """

    tool: str
    clock_ms: Callable[[], int]
    salvage: bool = False
    jobs: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class MendedMember:
    """A member that is not in the damaged archive as it should be, and where its right bytes come from."""

    member: str
    origin: str

    def to_json(self) -> dict[str, str]:
        return {"member": self.member, "origin": self.origin}


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairReport:
    """What a repair did. ``archive_id`` is the damaged archive, ``written_id`` what was written: the same where all of
    it was mended, another for what was salvaged, None for nothing.

    ``damaged`` are the members that no copy has, ``lost`` what they take with them, ``gaps`` those of what is salvaged.
    """

    archive_id: str
    written_id: str | None
    mended: Sequence[MendedMember] = ()
    damaged: Sequence[str] = ()
    lost: Sequence[Lost] = ()
    gaps: Sequence[Gap] = ()

    @property
    def complete(self) -> bool:
        """Whether what was written lacks nothing."""
        return self.written_id is not None and not self.gaps

    def to_json(self) -> dict[str, Any]:
        return {
            "archive_id": self.archive_id,
            "written_id": self.written_id,
            "complete": self.complete,
            "mended": [mended.to_json() for mended in self.mended],
            "damaged": list(self.damaged),
            "lost": [loss.to_json() for loss in self.lost],
            "gaps": [gap.row() for gap in self.gaps],
        }


def repair(
    archive: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    copies: Sequence[str | os.PathLike[str]] = (),
    options: RepairOptions,
    progress: Progress | None = None,
    files: Files | None = None,
) -> RepairReport:
    """Write a sound archive from a damaged one and other copies; none of these is changed.

    A member that one of them has, or all together, is taken from there; so the new archive has the id of the damaged
    one. Where that cannot be, nothing is written, or with ``salvage`` an archive of all that is sound. Raises
    NotAnArchiveError, FormatTooNewError, DamagedError (E006) if no manifest is left, SelectionError, TargetError.
    """
    inputs, path = [Path(archive), *map(Path, copies)], Path(output)
    refuse_inside(path, inputs)
    with ExitStack() as stack:
        damaged, *opened_copies = [stack.enter_context(Copy(place)) for place in inputs]
        choice = choose_manifest(damaged, opened_copies)
        place = stack.enter_context(destination(path, files or Files()))
        task = _Repair(damaged, opened_copies, choice, place, options=options, progress=progress or Quiet())
        stack.callback(task.close)
        return task.run()


class _Repair:
    """One repair, with all inputs open and the name of the new archive held."""

    def __init__(
        self,
        damaged: Copy,
        copies: Sequence[Copy],
        choice: Choice,
        place: Destination,
        *,
        options: RepairOptions,
        progress: Progress,
    ) -> None:
        self._damaged, self._copies, self._choice, self._place = damaged, copies, choice, place
        self._options, self._progress = options, progress
        self._mending = Mending(damaged, copies, choice.opened, progress)
        self._new_members = open_new_members(place)
        self._open = [self._new_members]
        self._replaced: dict[str, Member | None] = {}

    def run(self) -> RepairReport:
        self._mending.run(self._options.jobs)
        self._make_anew()
        unsound, lost_export = self._mending.unsound, self._choice.lost_export
        if not unsound and lost_export is None:
            return self._write_whole()
        if self._options.salvage:
            self._refuse_delta()
            return self._salvage(unsound)
        losses = {Lost(kind="export", id=str(lost_export))} if lost_export is not None else set()
        checked = VerifyReport(level=Level.STORED, archive_id=self._choice.opened.archive_id)
        examine(self._mending.archive(), checked, jobs=self._options.jobs, progress=self._progress)
        losses |= checked.lost
        return self._report(None, losses=sorted(losses))

    def _refuse_delta(self) -> None:
        """Raise SelectionError for a delta: what is sound in it makes no archive without its base."""
        if self._choice.opened.manifest.delta is not None:
            raise SelectionError(
                f"{self._damaged.path} is a delta, and only a whole archive can be salvaged: repair it --from another "
                "copy of it, or export it again with --base"
            )

    def _make_anew(self) -> None:
        """Make members from what the archive itself has, and keep what is theirs byte for byte."""
        for member, part in made_anew(self._mending.archive(), self._mending.unsound, self._place):
            if part.sha256 == member.sha256:
                origin = "the labels of the packs" if member.table == "blobs" else "its rows, written again"
                remedy = Remedy(file=self._new_members.open(member.path), sound=True, origin=origin)
                self._mending.remedies[member.path] = remedy
            else:
                entry = part.member(member.path, TABLES[member.table or ""], member.export)
                self._replaced[member.path] = entry if part.rows else None

    def _write_whole(self) -> RepairReport:
        opened = self._choice.opened
        files = self._mending.files() | {file.name: file for file in listing_of(opened)}
        self._place.write(opened.manifest, files.__getitem__)
        return self._report(opened.archive_id)

    def _salvage(self, unsound: Sequence[Member]) -> RepairReport:
        files = self._remaining_files()
        archive = archive_over(self._damaged.path, self._remaining_manifest(), files)
        still = [member for member in unsound if member.path not in self._replaced]
        checked = VerifyReport(level=Level.FULL, archive_id=archive.id)
        examination = examine(archive, checked, jobs=self._options.jobs, progress=self._progress)
        task = Salvage(archive, examination, still, self._place, jobs=self._options.jobs)
        if self._choice.lost_export is not None:
            task.losses.add_of_source(f"export {self._choice.lost_export}", "the manifest of that export is")
        salvaged = task.run(
            [stored for copy in self._copies if (stored := copy.archive()) is not None],
            tool=self._options.tool,
            created_ms=self._options.clock_ms(),
        )
        self._write_salvaged(salvaged, files)
        gaps = sorted(task.losses, key=lambda gap: (gap.owner_kind, gap.owner_id, gap.path))
        return self._report(salvaged.archive_id, gaps=gaps)

    def _remaining_files(self) -> dict[str, MemberFile]:
        """Return what there is of each member, with those that were made anew in place of the damaged ones."""
        renewed = [path for path, member in self._replaced.items() if member is not None]
        return self._mending.files() | {path: self._new_members.open(path) for path in renewed}

    def _remaining_manifest(self) -> OpenedManifest:
        """Return the manifest of the damaged archive with the entries of what was made anew."""
        opened = self._choice.opened
        listed = [self._replaced.get(member.path, member) for member in opened.manifest.members]
        members = tuple(member for member in listed if member is not None)
        return OpenedManifest(manifest=replace(opened.manifest, members=members), data=opened.data)

    def _write_salvaged(self, salvaged: OpenedManifest, files: dict[str, MemberFile]) -> None:
        reopened = open_new_members(self._place)  # what was opened before may have been written again since
        self._open.append(reopened)
        names = reopened.sizes()
        listing = {file.name: file for file in listing_of(salvaged)}
        old = {file.name: file for file in listing_of(self._choice.opened)}
        readme = BytesMember(README, README_TEXT.encode())

        def member(name: str) -> MemberFile:
            if name in listing:
                return listing[name]
            if name in names:
                return reopened.open(name)
            if name == README and not self._mending.remedies[README].sound:
                return readme
            return files.get(name) or old[name]

        self._place.write(salvaged.manifest, member)

    def _report(self, written_id: str | None, *, losses: Sequence[Lost] = (), gaps: Sequence[Gap] = ()) -> RepairReport:
        remedies, opened = self._mending.remedies, self._choice.opened
        mended = [
            MendedMember(member=path, origin=remedy.origin)
            for path, remedy in sorted(remedies.items())
            if remedy.origin
        ]
        listing = [
            MendedMember(member=name, origin=self._choice.origin or "the manifest")
            for name in mended_listing(self._damaged, opened)
        ]
        if problem := self._damaged.structure_problem:
            listing.insert(0, MendedMember(member="", origin=f"the manifest: {problem}"))
        return RepairReport(
            archive_id=opened.archive_id,
            written_id=written_id,
            mended=[*listing, *mended],
            damaged=[member.path for member in self._mending.unsound],
            lost=losses,
            gaps=gaps,
        )

    def close(self) -> None:
        for members in self._open:
            members.close()
