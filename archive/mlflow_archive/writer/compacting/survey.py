"""What goes and what stays when some exports of an archive do: by group of exports, rows, blobs and packs.

A group is a kept export with those before it, down to the kept one before: they become one export. Of the rows of a
group those go that an export of the same group supersedes; what a later group supersedes is what the kept export still
shows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from mlflow_archive.errors import DamagedError, SelectionError
from mlflow_archive.format.manifest import Export, Member
from mlflow_archive.format.packs import Extent
from mlflow_archive.format.redaction import Redaction
from mlflow_archive.format.unknown_tables import database_table
from mlflow_archive.kinds import TABLES, Table
from mlflow_archive.reader.archive import Archive, without
from mlflow_archive.writer.compacting.indexed import IndexedExtents
from mlflow_archive.writer.packs import PlacedLabel, scan_pack
from mlflow_archive.writer.scratch import Scratch


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportGroup:
    """Exports ``first`` to ``last`` of an archive, which become its export ``number``."""

    number: int
    first: int
    last: int

    def holds(self, member: Member) -> bool:
        """Return whether one of these exports wrote a member."""
        return self.first <= member.export <= self.last


def groups_of(numbers: Sequence[int]) -> list[ExportGroup]:
    """Return the groups of the kept exports."""
    return [
        ExportGroup(number=number, first=before + 1, last=last)
        for number, (before, last) in enumerate(zip([0, *numbers], numbers, strict=False), 1)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class SurveyedPack:
    """A pack, what of it stays, and how many of its blobs go.

    ``live_bytes`` are those of frames, of some in part; a blob without any is an extent, too.
    """

    member: Member
    live_extents: int
    live_bytes: int
    dead_blobs: int
    whole: bool


@dataclass(slots=True, kw_only=True)
class GroupSurvey:
    """What becomes of the members of a group. ``copied`` stay byte for byte; the tables ``merged`` are written anew."""

    group: ExportGroup
    copied: list[Member] = field(default_factory=list)
    merged: dict[str, list[Member]] = field(default_factory=dict)
    packs: list[SurveyedPack] = field(default_factory=list)
    dropped_rows: Counter[str] = field(default_factory=Counter)


class ThinningSurvey:
    """Looks at an archive, of which the exports of some groups are to be merged.

    ``groups`` says what was found. Digests of what stays are in ``scratch``. Raises DamagedError, SelectionError for
    what this version cannot merge.
    """

    def __init__(self, archive: Archive, groups: Sequence[ExportGroup], scratch: Scratch) -> None:
        self._archive, self._scratch = archive, scratch
        self._indexed = IndexedExtents(archive)
        self.groups = [self._tables(group) for group in groups]
        for surveyed in self.groups:
            packs = [m for m in archive.manifest.members if m.kind == "pack" and surveyed.group.holds(m)]
            surveyed.packs = [self._pack(member) for member in packs]
        if (digest := scratch.used_and_not_stored()) is not None:
            message = f"blob {digest}, which an artifact names, is in no pack of {archive.path}"
            raise DamagedError(message, code="E050")

    def _tables(self, group: ExportGroup) -> GroupSurvey:
        surveyed = GroupSurvey(group=group)
        for table in TABLES.values():
            parts = [member for member in self._archive.parts(table.name) if group.holds(member)]
            if table.name != "blobs" and parts:
                self._table(surveyed, table, parts)
        surveyed.copied += self._others(surveyed)
        return surveyed

    def _table(self, surveyed: GroupSurvey, table: Table, parts: list[Member]) -> None:
        """Count the rows of a table that go, and decide whether its parts stay as they are."""
        dropped = sum(self._dropped(table, member, surveyed.group) for member in parts)
        if dropped or len({member.export for member in parts}) > 1:
            surveyed.merged[table.name] = parts
            for member in parts:
                self._refuse_other_columns(member)
        else:
            surveyed.copied += parts
        if dropped:
            surveyed.dropped_rows[table.name] = dropped

    def _dropped(self, table: Table, member: Member, group: ExportGroup) -> int:
        """Return how many rows of a part go; remember the digests of artifacts that stay."""
        newer = self._archive.superseding(table, member.export, group.last)
        is_artifacts = table.name == "artifacts"
        if not (newer or is_artifacts):
            return 0
        dropped = 0
        columns = [*table.owner, *(name for name in ("owner_kind", "digest") if name in table.column_names)]
        for rows in self._archive.open_part(member).groups(None, columns):
            staying = without(rows, table, newer)
            dropped += rows.num_rows - staying.num_rows
            if is_artifacts:
                self._scratch.add_used(staying["digest"].unique().to_pylist())
        return dropped

    def _refuse_other_columns(self, member: Member) -> None:
        if names := self._archive.open_part(member).other_columns:
            raise SelectionError(
                f"{member.path} has the column {names[0]!r}, which this version does not know and would lose: a newer "
                "mlflow-archive wrote it, and one may thin it out"
            )

    def _others(self, surveyed: GroupSurvey) -> Iterator[Member]:
        """Yield the members of a group that are no parts of known tables and stay as they are."""
        members = [member for member in self._archive.manifest.members if surveyed.group.holds(member)]
        unknown = [member for member in members if member.kind == "table" and member.table not in TABLES]
        newest = {database_table(member): member.export for member in sorted(unknown, key=lambda m: m.export)}
        for member in unknown:
            if database_table(member) is None and surveyed.group.first < surveyed.group.last:
                raise SelectionError(
                    f"{member.path} is of the table {member.table!r}, which this version does not know: a newer "
                    "mlflow-archive wrote it, and one may thin it out"
                )
            if newest[database_table(member)] == member.export or database_table(member) is None:
                yield member
            else:
                surveyed.dropped_rows[member.table or ""] += member.rows or 0
        yield from (member for member in members if member.kind == "text")

    def _pack(self, member: Member) -> SurveyedPack:
        live_extents = live_bytes = dead_blobs = position = 0
        whole = True
        unseen = set(self._indexed.frames(member))
        pack = self._archive.open_member(member)
        for labels in scan_pack(pack):
            for placed in labels:
                unseen.discard(placed.frame_offset)
                end = placed.frame_offset + placed.label.frame_size
                staying = self.staying(member, placed)
                dead_extents = [extent for extent in placed.label.extents if extent not in staying]
                live_extents += len(placed.label.extents) - len(dead_extents)
                dead_share = (
                    sum(extent.size for extent in dead_extents) / (placed.label.raw_size or 1) if staying else 1
                )
                live_bytes += int((end - position) * (1 - dead_share))
                dead_blobs += sum(extent.raw_offset == 0 for extent in dead_extents)
                whole = whole and not dead_extents
                self._scratch.add_blobs(extent.digest for extent in staying)
                position = end
        if position != member.size:
            message = f"{member.path} is damaged: there is no label at byte {position}"
            raise DamagedError(message, code="E041", member=member.path)
        if unseen:
            message = f"{member.path}: the blob index names a frame at byte {min(unseen)}, where there is none"
            raise DamagedError(message, code="E044", member=member.path)
        return SurveyedPack(
            member=member, live_extents=live_extents, live_bytes=live_bytes, dead_blobs=dead_blobs, whole=whole
        )

    def staying(self, pack: Member, placed: PlacedLabel) -> set[Extent]:
        """Return the extents of a frame whose blob stays, of those that the blob index names.

        What only a label names was left by an interruption, and nobody has proved it. Raises DamagedError.
        """
        indexed = self._indexed.of(pack, placed)
        return {extent for extent in indexed if self._scratch.is_used(extent.digest.hex())}


def settled_of(group: ExportGroup, exports: Sequence[Export]) -> tuple[tuple[str, str], ...] | None:
    """Return what the exports of a group settled of those before the group, None for nothing."""
    if group.number == 1:
        return None
    pairs = {pair for export in exports[group.first - 1 : group.last] for pair in export.settled or ()}
    return tuple(sorted(pairs)) or None


def redaction_of(group: ExportGroup, exports: Sequence[Export]) -> Redaction | None:
    """Return by which rules values were taken out of the newest export of a group that says so; None where none does.

    Its rows are among those of the new export, though the kept one may have been redacted by no rules.
    """
    redactions = (export.redaction for export in reversed(exports[group.first - 1 : group.last]))
    return next((redaction for redaction in redactions if redaction is not None), None)
