"""Thin an archive out: a new one, in which some exports are as they were and what only the others needed is gone.

The old archive is not changed. What stays whole is copied byte for byte, each member held against its SHA-256.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mlflow_archive.errors import SelectionError
from mlflow_archive.flow.report import Progress, Quiet
from mlflow_archive.format.compaction import COMPACTED_MINOR
from mlflow_archive.format.layout import manifest_name, pack_name, part_name
from mlflow_archive.format.manifest import MINOR, Export, Manifest, Member, archive_id, encode
from mlflow_archive.kinds import TABLES
from mlflow_archive.reader.archive import Archive, open_archive
from mlflow_archive.reader.stored.listing import listing_of
from mlflow_archive.reader.stored.opening import OpenedManifest
from mlflow_archive.signing.folder import read_folder, signatures_folder
from mlflow_archive.storage.files import Files
from mlflow_archive.storage.growing import GrowingFiles
from mlflow_archive.storage.members import BytesMember, DirectoryMembers, MemberFile
from mlflow_archive.writer.base import check_whole, refuse_inside
from mlflow_archive.writer.blob_rows import index_pieces
from mlflow_archive.writer.compacting.policy import Keep
from mlflow_archive.writer.compacting.survey import GroupSurvey, ThinningSurvey, groups_of, redaction_of, settled_of
from mlflow_archive.writer.compacting.thinned_packs import PlacedPacks, ThinnedPacks, packs_to_copy, packs_to_write
from mlflow_archive.writer.compacting.thinned_parts import pieces_of
from mlflow_archive.writer.destination import Destination, destination
from mlflow_archive.writer.packs import PackWriter
from mlflow_archive.writer.scratch import Scratch
from mlflow_archive.writer.side_by_side import PartsWriter


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactOptions:
    """``tool`` and ``clock_ms`` say who writes and when; ``level`` is that of zstd for what is written anew.

    ``jobs`` threads write tables.
    """

    tool: str
    clock_ms: Callable[[], int]
    level: int = 3
    jobs: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptExport:
    """An export that stays: its ``number`` in the new archive, and the one that it had (``before``)."""

    number: int
    before: int
    created_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactReport:
    """What a compaction did, or would do, then with ``bytes_after`` about right.

    ``archive_id`` is the old archive, ``written_id`` the new one, None for none. ``rows`` are those that went, by
    table, ``blobs`` how many. ``copied`` packs stayed as they are, of ``written`` ones what stays was written. Bytes
    are those of tables and packs. ``signatures`` of the old archive are none of the new one.
    """

    archive_id: str
    written_id: str | None
    kept_exports: Sequence[KeptExport]
    dropped_exports: Sequence[int]
    rows: Mapping[str, int]
    blobs: int
    copied: int
    written: int
    bytes_before: int
    bytes_after: int
    signatures: int

    @property
    def freed(self) -> int:
        """How many bytes the new archive is smaller."""
        return self.bytes_before - self.bytes_after

    def to_json(self) -> dict[str, Any]:
        document = {name: getattr(self, name) for name in self.__slots__}
        exports = [{name: getattr(export, name) for name in export.__slots__} for export in self.kept_exports]
        return {
            **document,
            "kept_exports": exports,
            "dropped_exports": list(self.dropped_exports),
            "rows": dict(self.rows),
            "freed": self.freed,
        }


def compact(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    keep: Keep,
    options: CompactOptions,
    *,
    progress: Progress | None = None,
    files: Files | None = None,
) -> CompactReport:
    """Write an archive with the exports of another that ``keep`` names, each as it was; that one is not changed.

    Kept exports are numbered from 1, and state what they were. Raises SelectionError where nothing is to be kept, for a
    delta, and for what a newer version wrote; DamagedError, NotAnArchiveError, FormatTooNewError, TargetError; then
    nothing was written.
    """
    place, target = Path(path), Path(output)
    refuse_inside(target, [place])
    with ExitStack() as stack:
        archive, survey, scratch = _surveyed(place, keep, stack)
        work = stack.enter_context(destination(target, files or Files()))
        task = _Compaction(archive, survey, scratch, work, options)
        opened = task.run()
        task.write(opened, progress or Quiet())
        return _report(archive, survey, opened.archive_id, _measured(opened.manifest))


def estimate(path: str | os.PathLike[str], keep: Keep) -> CompactReport:
    """Return what a compaction would do. Raises what :func:`compact` raises of an archive."""
    with ExitStack() as stack:
        archive, survey, _ = _surveyed(Path(path), keep, stack)
        return _report(archive, survey, None, _about(survey))


def _surveyed(path: Path, keep: Keep, stack: ExitStack) -> tuple[Archive, ThinningSurvey, Scratch]:
    archive = stack.enter_context(open_archive(path))
    check_whole(archive, "it is not thinned out")
    _refuse_newer(archive)
    scratch = stack.enter_context(closing(Scratch()))
    return archive, ThinningSurvey(archive, groups_of(keep.numbers(archive.manifest.exports)), scratch), scratch


def _refuse_newer(archive: Archive) -> None:
    if archive.manifest.minor > MINOR:
        raise SelectionError(
            f"{archive.path} is of format 1.{archive.manifest.minor}, and this version knows 1.{MINOR}: it could lose "
            "what it does not know. Install a newer mlflow-archive"
        )


class _Compaction:
    """One compaction, with the name of the new archive held."""

    def __init__(
        self, archive: Archive, survey: ThinningSurvey, scratch: Scratch, place: Destination, options: CompactOptions
    ) -> None:
        self._archive, self._survey, self._scratch = archive, survey, scratch
        self._place, self._options = place, options
        self._copied: dict[str, Member] = {}
        self._copies: dict[str, BytesMember] = {}

    def run(self) -> OpenedManifest:
        """Write below ``place.new_members`` what is written anew; return the newest manifest of the new archive."""
        old, made_ms = self._archive.manifest, self._options.clock_ms()
        exports: list[Export] = []
        members: list[Member] = []
        for surveyed in self._survey.groups:
            added = self._members(surveyed)
            members += added
            exports.append(self._export(surveyed, _counts(added), made_ms))
            manifest = Manifest(
                minor=max(old.minor, COMPACTED_MINOR),
                required_features=old.required_features,
                optional_features=old.optional_features,
                exports=tuple(exports),
                members=tuple(sorted(members, key=lambda member: member.path)),
                unknown=old.unknown,
            )
            data, number = encode(manifest), surveyed.group.number
            name = manifest_name(number)
            self._copies[name] = BytesMember(name, data)
            listed = Member(path=name, kind="manifest", export=number, size=len(data), sha256=archive_id(data))
            members.append(listed)
        return OpenedManifest(manifest=manifest, data=data)

    def _members(self, surveyed: GroupSurvey) -> list[Member]:
        """Return the members of a new export: those that are copied, and those made here."""
        number = surveyed.group.number
        members = [self._copy(member, name, number) for member, name in _renamed(surveyed)]
        packs = PlacedPacks(self._archive, GrowingFiles(self._place.files, self._place.new_members))
        members += self._write_packs(surveyed, packs)
        for at, pack in enumerate(packs_to_copy(surveyed), len(packs.packs)):
            packs.copy(pack_name(number, at), pack.member)
            members.append(self._copy(pack.member, pack_name(number, at), number))
        pieces = pieces_of(self._archive, surveyed)
        if index := index_pieces(self._place.files, self._place.staging, packs, packs.packs, self._scratch):
            pieces["blobs"] = index
        writer = PartsWriter(
            files=self._place.files,
            root=self._place.new_members,
            export=number,
            level=self._options.level,
            jobs=self._options.jobs,
        )
        for table, name, part in writer.write(pieces):
            members.append(part.member(name, table, number))
        return members

    def _copy(self, member: Member, name: str, number: int) -> Member:
        """Take a member of the old archive as it is, under a new name."""
        self._copied[name] = member
        return replace(member, path=name, export=number)

    def _write_packs(self, surveyed: GroupSurvey, packs: PlacedPacks) -> list[Member]:
        """Write new packs of what stays of those that are not copied."""
        written = packs_to_write(surveyed)
        if not written:
            return []
        number = surveyed.group.number
        writer = PackWriter(packs.place, number, self._scratch, level=self._options.level, jobs=self._options.jobs)
        try:
            ThinnedPacks(self._archive, self._survey, writer).add(written)
            packs.packs += writer.finish()
        finally:
            writer.close()
        return [Member(path=p.name, kind="pack", export=number, size=p.size, sha256=p.sha256) for p in packs.packs]

    def _export(self, surveyed: GroupSurvey, counts: Mapping[str, int], made_ms: int) -> Export:
        """Return what a kept export states of itself in the new archive."""
        group, exports = surveyed.group, self._archive.manifest.exports
        before = exports[group.last - 1]
        step = {
            "archive_id": self._id_after(group.last),
            "first": group.first,
            "number": group.last,
            "made_ms": made_ms,
            "tool": self._options.tool,
        }
        return replace(
            before,
            number=group.number,
            counts=counts,
            gaps=counts.get("gaps", 0),
            settled=settled_of(group, exports),
            redaction=redaction_of(group, exports),
            compacted=(*(before.compacted or ()), step),
        )

    def _id_after(self, number: int) -> str:
        """Return the id that the old archive had after an export."""
        copy = self._archive.manifest.member(manifest_name(number))
        return self._archive.id if copy is None else copy.sha256

    def write(self, opened: OpenedManifest, progress: Progress) -> None:
        """Write the new archive under its name. Raises DamagedError (E012) for a member that is another one."""
        in_memory = self._copies | {file.name: file for file in listing_of(opened)}
        sizes = {member.path: member.size for member in opened.manifest.members}
        progress.expect("bytes", sum(sizes.values()))
        self._place.files.make_directory(self._place.new_members)
        with closing(DirectoryMembers(self._place.new_members)) as new_members:

            def member(name: str) -> MemberFile:
                progress.advance("bytes", sizes.get(name, 0))
                if name in self._copied:
                    return self._archive.open_member(self._copied[name]).renamed(name)
                return in_memory[name] if name in in_memory else new_members.open(name)

            self._place.write(opened.manifest, member)


def _renamed(surveyed: GroupSurvey) -> Iterator[tuple[Member, str]]:
    """Yield the members of a group that are copied, but for packs, with their names in the new archive."""
    numbers: Counter[str] = Counter()
    for member in sorted(surveyed.copied, key=lambda member: (member.export, member.path)):
        if member.kind != "table":
            yield member, member.path
            continue
        folder = name if (name := member.table or "") in TABLES else "unknown_tables"
        yield member, part_name(folder, surveyed.group.number, numbers[folder])
        numbers[folder] += 1


def _counts(members: Sequence[Member]) -> dict[str, int]:
    """Return the rows of an export by table, as its manifest has them."""
    counts: Counter[str] = Counter()
    for member in members:
        if (name := member.table or "") in TABLES and member.rows:
            counts[name] += member.rows
    return dict(counts)


def _about(survey: ThinningSurvey) -> int:
    """Return about how many bytes would stay: of parts that are written anew as much as of their rows."""
    size = 0.0
    for surveyed in survey.groups:
        size += sum(member.size for member in surveyed.copied) + sum(pack.live_bytes for pack in surveyed.packs)
        for name, parts in surveyed.merged.items():
            rows = sum(member.rows or 0 for member in parts)
            share = 1 - surveyed.dropped_rows[name] / rows if rows else 0
            size += share * sum(member.size for member in parts)
    return int(size)


def _report(archive: Archive, survey: ThinningSurvey, written_id: str | None, size: int) -> CompactReport:
    exports = archive.manifest.exports
    numbers = {surveyed.group.last: surveyed.group.number for surveyed in survey.groups}
    rows: Counter[str] = Counter()
    for surveyed in survey.groups:
        rows += surveyed.dropped_rows
    return CompactReport(
        archive_id=archive.id,
        written_id=written_id,
        kept_exports=[
            KeptExport(number=numbers[export.number], before=export.number, created_ms=export.created_ms)
            for export in exports
            if export.number in numbers
        ],
        dropped_exports=[export.number for export in exports if export.number not in numbers],
        rows=dict(rows),
        blobs=sum(pack.dead_blobs for surveyed in survey.groups for pack in surveyed.packs),
        copied=sum(len(packs_to_copy(surveyed)) for surveyed in survey.groups),
        written=sum(len(packs_to_write(surveyed)) for surveyed in survey.groups),
        bytes_before=_measured(archive.manifest),
        bytes_after=size,
        signatures=len(read_folder(signatures_folder(archive.path)).signatures),
    )


def _measured(manifest: Manifest) -> int:
    """Return the bytes of packs and tables without the blob index, which follows from the packs."""
    return sum(member.size for member in manifest.members if member.table != "blobs" and member.kind != "manifest")
