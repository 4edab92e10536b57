"""The end of an export: merge all segments into sorted parts, index the blobs, write the manifest."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mlflow_archive.format.delta import as_delta, joined
from mlflow_archive.format.layout import manifest_name, part_name
from mlflow_archive.format.manifest import WHOLE_MINOR, Export, Manifest, Member, encode
from mlflow_archive.format.manifest import archive_id as id_of
from mlflow_archive.format.redaction import REDACTION_MINOR
from mlflow_archive.format.unknown_tables import database_table, stated_columns, table_of
from mlflow_archive.kinds import BY_ROW, DATASET, IDENTITIES, INCREMENTAL, TABLES, Table
from mlflow_archive.storage.files import Files
from mlflow_archive.writer.blob_rows import index_pieces, staged_pieces
from mlflow_archive.writer.fewer_runs import FewerRuns
from mlflow_archive.writer.merge import Piece, staged_piece
from mlflow_archive.writer.packs import PackWriter, WrittenPack
from mlflow_archive.writer.parts import WrittenPart, part_writer
from mlflow_archive.writer.scratch import Scratch
from mlflow_archive.writer.segments import Segment
from mlflow_archive.writer.side_by_side import PartsWriter
from mlflow_archive.writer.staged import Keep
from mlflow_archive.writer.staging import Staging
from mlflow_archive.writer.target import ArchiveTarget, readme_member


@dataclass(slots=True, kw_only=True)
class Finishing:
    """Turns what was staged into members, then commits them."""

    files: Files
    staging: Staging
    scratch: Scratch
    packs: PackWriter
    target: ArchiveTarget
    level: int
    jobs: int
    counts: dict[str, int] = field(default_factory=dict)
    unchanged: bool = False
    of_delta: dict[str, Any] = field(default_factory=dict)
    _members: list[Member] = field(default_factory=list)
    _unknown: dict[str, pa.Table] = field(default_factory=dict)

    def merge(self, segments: Sequence[Segment], resumed: Collection[Path]) -> None:
        """Write all parts. ``resumed`` are staged files of an earlier, interrupted try."""
        pieces: dict[str, list[Piece]] = {}
        files = list(self.staging.staged)
        for segment in segments:
            unsealed, in_memory = segment.take()
            files += unsealed
            for name, memory_pieces in in_memory.items():
                pieces.setdefault(name, []).extend(memory_pieces)
        for file in files:
            names = {block.table for block in file.blocks} if file.path in resumed else set()
            keeps = {name: self._keep(TABLES[name], file.segment) for name in names}
            for block in file.blocks:
                if block.table == "blobs":
                    continue
                piece = staged_piece(file.path, block, TABLES[block.table], keeps.get(block.table))
                pieces.setdefault(block.table, []).append(piece)
        self._write(pieces)
        self._remember_used()
        packs = self.packs.finish()
        blobs = index_pieces(self.files, self.staging, self.target.packs, packs, self.scratch)
        sent = [pack.written for pack in self.staging.sent]
        rows = [*(pack.rows for pack in self.staging.sent), *self.staging.staged]
        blobs += staged_pieces(rows, {pack.name for pack in sent}, self.scratch)
        self._write({"blobs": blobs})
        self._members += [self._pack_member(pack) for pack in (*packs, *sent, *self.staging.arrived)]

    def add_unknown(self, tables: Mapping[str, pa.Table]) -> None:
        """Write tables of the source that this version does not know, a part each."""
        for number, (name, rows) in enumerate(sorted(tables.items())):
            path = part_name("unknown_tables", self.target.export_number, number)
            table = table_of(name, rows.schema)
            place = self.target.root / path
            with part_writer(self.files, place, table, level=self.level, durable=self.target.durable_parts) as part:
                part.write(rows)
                written = part.finish()
            member = self._table_member(path, table, written)
            self._members.append(replace(member, unknown=stated_columns(rows.schema)))
            self._unknown[name] = rows

    def _keep(self, table: Table, segment: int) -> Keep | None:
        """Return what filters rows staged before an interruption.

        Of runs and other kinds with fingerprints, those count whose fingerprint says that they were read whole, in
        the newest segment that has them, and that the source did not give again because they had changed. All other
        kinds come again in full, but for datasets, which come with their runs.
        """
        if table.entity in (DATASET, None):
            return None
        if table.entity == BY_ROW:
            return partial(self._keep_by_row, segment)
        if table.entity not in INCREMENTAL:
            return lambda rows: rows.slice(0, 0)
        ids = pa.array(self.scratch.staged_ids(table.entity, segment), pa.string())
        return lambda rows: rows.filter(pc.is_in(rows[table.owner[0]], value_set=ids))

    def _keep_by_row(self, segment: int, rows: pa.Table) -> pa.Table:
        mask = pa.array([False] * rows.num_rows, pa.bool_())
        for kind in rows["owner_kind"].unique().to_pylist():
            ids = pa.array(self.scratch.staged_ids(kind, segment), pa.string())
            mask = pc.or_(mask, pc.and_(pc.equal(rows["owner_kind"], kind), pc.is_in(rows["owner_id"], value_set=ids)))
        return rows.filter(mask)

    def _write(self, pieces: Mapping[str, Sequence[Piece]]) -> None:
        writer = PartsWriter(
            files=self.files,
            root=self.target.root,
            export=self.target.export_number,
            level=self.level,
            jobs=self.jobs,
            durable=self.target.durable_parts,
            fewer_runs=FewerRuns(self.files, self.staging.next_path),
        )
        # The allocator keeps what was needed until here; what comes would be measured on top of it.
        pa.default_memory_pool().release_unused()
        for table, name, written in writer.write(pieces):
            self._members.append(self._table_member(name, table, written))
            self.counts[table.name] = self.counts.get(table.name, 0) + written.rows

    def _remember_used(self) -> None:
        for member in self._members:
            if member.table == "artifacts":
                with pq.ParquetFile(self.target.root / member.path, page_checksum_verification=True) as file:
                    for index in range(file.num_row_groups):
                        self.scratch.add_used(file.read_row_group(index, columns=["digest"])["digest"].to_pylist())

    def _table_member(self, path: str, table: Table, part: WrittenPart) -> Member:
        return part.member(path, table, self.target.export_number)

    def _pack_member(self, pack: WrittenPack) -> Member:
        export = self.target.export_number
        return Member(path=pack.name, kind="pack", export=export, size=pack.size, sha256=pack.sha256)

    def commit(self, export: Export) -> str:
        """Commit what was merged, or drop it if an append found nothing new; return the id of the archive."""
        base = self.target.base
        if base is not None and not export.settled and self._nothing_new():
            self.unchanged = True
            for member in self._members:
                self.files.remove(self.target.root / member.path)
            if self.target.is_delta:
                self.of_delta = {"base": base.id, "source": dict(export.source)}
                self.target.withdraw(self.staging)
            else:
                self.target.clean_up(self.staging)
            return base.id
        manifest = self._manifest(export)
        archive_id = self.target.commit(manifest, [member.path for member in self._members])
        if manifest.delta is not None:
            self.of_delta = {"base": manifest.delta.base, "joined_id": id_of(encode(joined(manifest)))}
        self.target.clean_up(self.staging)
        return archive_id

    def _manifest(self, export: Export) -> Manifest:
        base = self.target.base
        lowest = WHOLE_MINOR if export.redaction is None else REDACTION_MINOR
        if base is None:
            return Manifest(minor=lowest, exports=(export,), members=(readme_member(export.number), *self._members))
        old = base.manifest
        previous = manifest_name(old.export_number)
        size = len(encode(old))
        listed = Member(path=previous, kind="manifest", export=old.export_number, size=size, sha256=base.id)
        manifest = Manifest(
            minor=max(old.minor, lowest),
            required_features=old.required_features,
            optional_features=old.optional_features,
            exports=(*old.exports, export),
            members=(*old.members, listed, *self._members),
            unknown=old.unknown,
        )
        return as_delta(manifest, old, base.id) if self.target.is_delta else manifest

    def _nothing_new(self) -> bool:
        """Return whether nothing with a fingerprint was written, and all else is as the base has it."""
        base = self.target.base
        written = {member.table for member in self._members if database_table(member) is None}
        if (
            base is None
            or None in written
            or any(TABLES[name].entity in (*INCREMENTAL, None) for name in written if name)
            or not all(base.holds_unknown_table(name, rows) for name, rows in self._unknown.items())
        ):
            return False
        owners = {kind: self._rows(table)[table.key[0]].unique().to_pylist() for kind, table in IDENTITIES.items()}
        return all(
            base.holds_rows(table, self._rows(table), owners.get(table.entity or "", [])) for table in TABLES.values()
        )

    def _rows(self, table: Table) -> pa.Table:
        """Read what was just written of a table."""
        tables = [table.schema.empty_table()]
        for member in self._members:
            if member.table == table.name:
                with pq.ParquetFile(self.target.root / member.path, page_checksum_verification=True) as file:
                    tables.append(file.read().cast(table.schema))
        return pa.concat_tables(tables)
