"""An archive of all that is sound in a damaged one, with a gap for each thing that is lost (spec/decisions/0030).

Sound members stay byte for byte; damaged parts are written anew with the rows that are sound; blobs of damaged packs
are stored anew by one more export, which also has the gaps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from mlflow_archive.flow.chunk import gap_table
from mlflow_archive.format.layout import README, manifest_name
from mlflow_archive.format.manifest import WHOLE_MINOR, Export, Member, encode
from mlflow_archive.kinds import TABLES, Table, is_identity
from mlflow_archive.reader.archive import Archive
from mlflow_archive.reader.source import export_facts
from mlflow_archive.reader.stored.opening import OpenedManifest
from mlflow_archive.repairing.holdings import Holdings
from mlflow_archive.repairing.losses import Losses
from mlflow_archive.repairing.salvaged_blobs import LEVEL, SalvagedBlobs, digests_to_store, written_parts
from mlflow_archive.verification.checks import Examination
from mlflow_archive.writer.coded import sort_rows
from mlflow_archive.writer.destination import Destination
from mlflow_archive.writer.merge import Piece, memory_piece
from mlflow_archive.writer.parts import part_writer
from mlflow_archive.writer.target import readme_member

_LAST: Final = ("fingerprints", "blobs")
"""Tables of which other losses decide what is kept."""


class Salvage:
    """Makes the members of the new archive below ``place.new_members``; ``unsound`` are the members that are damaged.

    After ``run``, ``manifest`` is that of the new archive, and ``losses`` are its new gaps.
    """

    def __init__(
        self,
        archive: Archive,
        examination: Examination,
        unsound: Sequence[Member],
        place: Destination,
        *,
        jobs: int,
    ) -> None:
        self._archive, self._examination, self._place, self._jobs = archive, examination, place, jobs
        self._unsound = {member.path for member in unsound}
        self._holdings = Holdings(archive, examination.damaged, self._unsound)
        self._number = archive.manifest.export_number + 1
        self._members: list[Member] = []
        self._touched: set[tuple[int, str]] = set()
        self.losses = Losses(archive.id, self._holdings)

    def run(self, archives: Sequence[Archive], *, tool: str, created_ms: int) -> OpenedManifest:
        """Write what is to be written anew, and return the manifest of it all.

        ``archives`` are asked for blobs. Raises TargetError.
        """
        blobs = SalvagedBlobs([self._archive, *archives], self._place, self._number, jobs=self._jobs)
        bad_packs = {member.path for member in self._archive.manifest.members if self._is_bad_pack(member)}
        missing = digests_to_store(self._archive, self._holdings, self._examination.blobs, bad_packs)
        if missing:
            self._members += blobs.store(missing)
        for member in self._archive.manifest.members:
            if member.table not in _LAST:
                self._carry(member, blobs.lost_digests)
        for hit in self._examination.damaged:
            self.losses.add_rows(hit)
        self.losses.add_dropped()
        for member in self._archive.parts("fingerprints"):
            self._rewrite(member, frozenset())
        missing_digests = pa.array(sorted(missing), pa.string())
        for member in self._archive.parts("blobs"):
            self._rewrite_index(member, missing_digests, pa.array(sorted(bad_packs), pa.string()))
        self._members += self._new_parts(blobs)
        return self._committed(tool, created_ms)

    def _is_bad_pack(self, member: Member) -> bool:
        return member.kind == "pack" and member.path in self._unsound

    def _carry(self, member: Member, lost_digests: frozenset[str] | set[str]) -> None:
        if member.kind == "table" and member.table in TABLES:
            self._rewrite(member, lost_digests)
        elif member.path not in self._unsound:
            self._members.append(member)
        elif member.path == README:
            self._members.append(readme_member(member.export))
        elif member.kind != "pack":
            self.losses.add_member(member)
            self._touched.add((member.export, member.table or ""))

    def _rewrite(self, member: Member, lost_digests: frozenset[str] | set[str]) -> None:
        """Keep a part as it is, or write it anew with the rows that are kept."""
        table = TABLES[member.table or ""]
        is_sound = member.path not in self._unsound
        if is_sound and not self._may_leave_out(table, member.export, lost_digests):
            self._members.append(member)
            return
        path = self._place.new_members / member.path
        with part_writer(self._place.files, path, table, level=LEVEL) as part:
            for rows in self._holdings.groups(member):
                part.write(self._kept(rows, member, lost_digests))
            written = part.finish()
        if written.rows == member.rows and is_sound:
            self._place.files.remove(path)
            self._members.append(member)
            return
        self._touched.add((member.export, table.name))
        if written.rows:
            self._members.append(written.member(member.path, table, member.export))

    def _may_leave_out(self, table: Table, export: int, lost_digests: frozenset[str] | set[str]) -> bool:
        """Return whether sound rows of a table may be left out, as what they are of is lost."""
        if table.name == "artifacts" and lost_digests:
            return True
        if table.name == "fingerprints" and self.losses.owners:
            return True
        return self._holdings.may_drop(table, export)

    def _kept(self, rows: pa.Table, member: Member, lost_digests: frozenset[str] | set[str]) -> pa.Table:
        table = TABLES[member.table or ""]
        if is_identity(table):
            rows = self._holdings.with_experiment(rows, table, member.export)
        else:
            rows = self._holdings.keep(rows, table, member.export)
        if table.name == "artifacts" and lost_digests:
            rows = self._without_lost(rows, member.export, lost_digests)
        if table.name == "fingerprints":
            owners = zip(rows["owner_kind"].to_pylist(), rows["owner_id"].to_pylist(), strict=True)
            hit = self.losses.owners
            rows = rows.filter(pa.array([owner not in hit for owner in owners], pa.bool_()))
        return rows

    def _without_lost(self, rows: pa.Table, export: int, lost_digests: frozenset[str] | set[str]) -> pa.Table:
        is_lost = pc.is_in(rows["digest"], value_set=pa.array(sorted(lost_digests), pa.string()))
        for row in rows.filter(is_lost).to_pylist():
            if self._holdings.is_current(row["owner_kind"], row["owner_id"], export):
                self.losses.add_artifact(row["owner_kind"], row["owner_id"], row["path"], row["digest"])
        return rows.filter(pc.invert(is_lost))

    def _rewrite_index(self, member: Member, missing_digests: pa.Array, bad_packs: pa.Array) -> None:
        """Leave out of a part of the blob index what lies in a damaged pack, or is lost or stored anew."""
        if member.path not in self._unsound and not len(missing_digests) and not len(bad_packs):
            self._members.append(member)
            return
        path = self._place.new_members / member.path
        with part_writer(self._place.files, path, TABLES["blobs"], level=LEVEL) as part:
            for rows in self._holdings.groups(member):
                is_missing = pc.is_in(rows["digest"], value_set=missing_digests)
                is_stale = pc.or_(is_missing, pc.is_in(rows["pack"], value_set=bad_packs))
                part.write(rows.filter(pc.invert(is_stale)))
            written = part.finish()
        self._touched.add((member.export, "blobs"))
        if written.rows:
            self._members.append(written.member(member.path, TABLES["blobs"], member.export))

    def _new_parts(self, blobs: SalvagedBlobs) -> list[Member]:
        pieces: dict[str, list[Piece]] = {"blobs": blobs.pieces} if blobs.pieces else {}
        gaps = sort_rows(gap_table(self.losses), TABLES["gaps"])
        if gaps.num_rows:
            pieces["gaps"] = [memory_piece(gaps, TABLES["gaps"])]
        return [member for _, member in written_parts(self._place, self._number, pieces, jobs=self._jobs)]

    def _committed(self, tool: str, created_ms: int) -> OpenedManifest:
        old = self._archive.manifest
        facts = export_facts(self._archive.newest_export)
        source = {name: value for name, value in asdict(facts).items() if value is not None}
        source["extra"] = {**facts.extra, "archive_id": self._archive.id}
        counts = self._counts(self._number)
        export = Export(
            number=self._number,
            created_ms=created_ms,
            tool=tool,
            source=source,
            selection={},
            counts=counts,
            gaps=counts.get("gaps", 0),
            redaction=old.exports[-1].redaction,
        )
        copy = manifest_name(old.export_number)
        size = self._archive.members.open(copy).size
        listed = Member(path=copy, kind="manifest", export=old.export_number, size=size, sha256=self._archive.id)
        manifest = replace(
            old,
            minor=max(old.minor, WHOLE_MINOR),
            exports=(*map(self._recounted, old.exports), export),
            members=tuple(sorted((*self._members, listed), key=lambda member: member.path)),
        )
        return OpenedManifest(manifest=manifest, data=encode(manifest))

    def _recounted(self, export: Export) -> Export:
        touched = [table for number, table in self._touched if number == export.number and table in TABLES]
        if not touched:
            return export
        recount = self._counts(export.number)
        counts = {name: rows for name, rows in export.counts.items() if name not in touched}
        counts |= {name: recount[name] for name in touched if name in recount}
        return replace(export, counts=counts, gaps=counts.get("gaps", 0) if "gaps" in touched else export.gaps)

    def _counts(self, export: int) -> dict[str, int]:
        counts: dict[str, int] = {}
        for member in self._members:
            name = member.table or ""
            if member.export == export and name in TABLES:
                counts[name] = counts.get(name, 0) + (member.rows or 0)
        return counts
