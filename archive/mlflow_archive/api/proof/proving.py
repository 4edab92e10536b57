"""Compares an archive with what was read back of the target it was imported into, some objects at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import pyarrow as pa

from mlflow_archive.api.differences import FieldChange, ObjectChange
from mlflow_archive.api.proof.comparing import RowComparison
from mlflow_archive.api.proof.identities import Identities
from mlflow_archive.api.proof.matching import Matching
from mlflow_archive.api.proof.naming import Notes
from mlflow_archive.api.proof.places import Places
from mlflow_archive.api.proof.planning import RowsByTable, Share, Sides
from mlflow_archive.api.proof.points import PointComparison
from mlflow_archive.api.proof.refused import Refusal, Refusals
from mlflow_archive.api.proof.registry import match_versions
from mlflow_archive.api.proof.rules import Rule
from mlflow_archive.api.proof.versions import KnownVersions, TargetRegistry
from mlflow_archive.api.receipts import Document
from mlflow_archive.errors import ItemError
from mlflow_archive.flow.chunk import Chunk, nothing_known
from mlflow_archive.flow.report import Progress
from mlflow_archive.format.nul_characters import NUL, SHOWN, without_nul
from mlflow_archive.kinds import IDENTITIES, KINDS, MODEL_VERSION, REGISTERED_MODEL, RUN, TABLES, owner_id
from mlflow_archive.reader.archive import Archive
from mlflow_archive.reader.blobs import Blobs
from mlflow_archive.reader.source import ArchiveSource
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sinks.replay.locate import facts_of_export
from mlflow_archive.sinks.replay.options import ReplayOptions, fitted_to
from mlflow_archive.sinks.replay.writing.receipt import Receipt

_NOT_IN_CHUNKS: Final = frozenset({"metrics", "fingerprints"})


@dataclass(slots=True, kw_only=True)
class Findings:
    """What a proof has found that is no difference.

    ``objects`` and ``rows`` of the archive were compared, by kind and by table; ``beside`` are objects of the target
    that the archive does not have, by kind.
    """

    notes: Notes = field(default_factory=Notes)
    objects: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    beside: Counter[str] = field(default_factory=Counter)
    refused: list[tuple[ObjectChange, Refusal]] = field(default_factory=list)


class Proving:
    """Compares all that is selected of an archive with a target; ``findings`` has what is no difference."""

    def __init__(
        self, archive: Archive, target: Archive, *, receipt: Document, options: ReplayOptions, artifacts: bool = True
    ) -> None:
        self.findings = Findings()
        self._artifacts = artifacts
        uris = {facts_of_export(export).tracking_uri for export in archive.manifest.exports}
        self._ids = Identities(target, receipt, uris)
        not_set = receipt.get("kept_here_only", {}).get(REGISTERED_MODEL, {}) if receipt else None
        self._sides = Sides(
            archive=archive,
            target=target,
            ids=self._ids,
            blobs=Blobs(archive),
            versions=KnownVersions(not_set=not_set),
            registry=TargetRegistry(target),
        )
        options = replace(fitted_to(options, target.newest_export.source.get("mlflow_version")), dry_run=True)
        self._planned = Receipt("", dry_run=True)
        uri = str(target.newest_export.source.get("uri", ""))
        self._holds_nul = not (uri.startswith("postgresql") or receipt.get("changed", {}).get("texts_with_nul"))
        for kind in KINDS:
            for source_id, target_id in self._ids.of(kind).items():
                self._planned.mapped(kind, source_id, target_id)
        for version, target_version in receipt.get("ids", {}).get(MODEL_VERSION, {}).items():
            self._planned.mapped(MODEL_VERSION, version, target_version)
        self._refusals = Refusals(receipt, self._planned)
        self._places = Places(self._sides, options, self._planned)
        self._matching = Matching(target)
        self._points = PointComparison(archive, target, options.limits, self._planned, self.findings.notes)

    def changes(self, selection: Selection, progress: Progress) -> Iterator[ObjectChange]:
        """Yield what differs, kind by kind. Raises DamagedError."""
        self._match()
        source = ArchiveSource(self._sides.archive, leave_out=_NOT_IN_CHUNKS)
        for shard in source.plan(selection, progress):
            chunk = self._held(_joined(list(source.read(shard, nothing_known))))
            for kind in _kinds_of(chunk):
                for part in self._places.split(kind, chunk):
                    self._matching.match(part)
                    for share, expected in self._planned_shares(part):
                        yield from self._part(share, expected)
            progress.advance("runs", shard.weight)
        self.findings.rows["metrics"] = self._points.count
        for kind, table in IDENTITIES.items():
            self.findings.beside[kind] += self._target_count(table.name)

    def _match(self) -> None:
        """Find what has neither an id nor a tag, before anything is compared that may refer to it."""
        for kind in self._matching.kinds:
            name = IDENTITIES[kind].name
            identities = self._held(Chunk(tables={name: self._sides.archive.table(name)}), tell=False)
            for part in self._places.split(kind, identities):
                self._matching.match(part)
        tables = ("registered_models", "model_versions")
        registry = Chunk(tables={name: self._sides.archive.table(name) for name in tables})
        for part in self._places.split(REGISTERED_MODEL, self._held(registry, tell=False)):
            match_versions(part)

    def _held(self, chunk: Chunk, *, tell: bool = True) -> Chunk:
        """Return a chunk as the target's database holds its texts (``replay.sink.HeldTexts``)."""
        if self._holds_nul:
            return chunk
        tables = dict(chunk.tables)
        for name in chunk.tables:
            tables[name], changed = without_nul(name, tables[name])
            for text in changed if tell else ():
                owner, place = str(next(iter(text.key.values()), "")), f"{name}.{text.column}"
                self.findings.notes.add(Rule.FITTED, place, owner, text.original, text.original.replace(NUL, SHOWN))
        return replace(chunk, tables=tables)

    def _target_count(self, table: str) -> int:
        return sum(rows.num_rows for rows in self._sides.target.batches(table, columns=[TABLES[table].key[0]]))

    def _planned_shares(self, part: Share) -> Iterator[tuple[Share, RowsByTable]]:
        """Yield objects with the rows that they must have; one that cannot be planned has none, and differs."""
        try:
            yield part, self._places.expected(part)
        except ItemError:
            if len(part.source_ids) > 1:
                for share in part.singly():
                    yield from self._planned_shares(share)
                return
            yield part, {table.name: [] for table in TABLES.values() if table.entity == part.kind and table.unique}

    def _part(self, part: Share, expected: RowsByTable) -> Iterator[ObjectChange]:
        """Compare some objects of one kind."""
        identity = IDENTITIES[part.kind]
        source_ids = {
            owner_id(identity, original): owner_id(identity, row)
            for original, row in part.pairs(identity.name)
            if not part.leaves_out(row)
        }
        target_ids = {owner_id(identity, row) for row in part.target_rows(identity.name)}
        self.findings.objects[part.kind] += len(source_ids)
        self.findings.beside[part.kind] -= len(source_ids.keys() & target_ids)
        unreadable = {row["owner_id"] for row in part.target_rows("gaps") if not row["path"]}
        for target_id in sorted(source_ids.keys() - target_ids):
            if target_id in unreadable:
                self.findings.notes.add(Rule.NOT_SHOWN, identity.name, target_id, source_ids[target_id], None)
                continue
            yield from self._told(ObjectChange(kind=part.kind, id=source_ids[target_id], change="removed"))
        changes: dict[str, list[FieldChange]] = {}
        for target_id, change in self._fields(part, expected, target_ids, source_ids):
            if target_id in target_ids:
                changes.setdefault(target_id, []).append(change)
        for target_id, fields in sorted(changes.items()):
            source_id = source_ids.get(target_id, target_id)
            yield from self._told(ObjectChange(kind=part.kind, id=source_id, change="changed", fields=fields))
        yield from self._copies(part, source_ids)

    def _fields(
        self, part: Share, expected: RowsByTable, target_ids: set[str], source_ids: Mapping[str, str]
    ) -> Iterator[tuple[str, FieldChange]]:
        for name, rows in expected.items():
            if name == "artifacts" and not self._artifacts:
                continue
            table = TABLES[name]
            originals = part.originals(name)
            self.findings.rows[name] += len(originals)
            comparison = RowComparison(table, self.findings.notes)
            yield from comparison.changes(rows, originals, part.target_rows(name))
        if part.kind == RUN:
            yield from self._points.changes({source_ids[target_id]: target_id for target_id in target_ids})

    def _copies(self, part: Share, source_ids: Mapping[str, str]) -> Iterator[ObjectChange]:
        """Yield the objects of the target that say they are copies, too, of an object that has another one."""
        for target_id, source_id in sorted(source_ids.items()):
            for copy in self._ids.copies(part.kind, source_id):
                if copy != target_id:
                    yield ObjectChange(kind=part.kind, id=copy, change="added")

    def _told(self, change: ObjectChange) -> Iterator[ObjectChange]:
        """Yield what is a difference of a change; what the import refused is kept with the findings."""
        if change.change == "removed":
            if refusal := self._refusals.of_object(change.kind, change.id):
                self.findings.refused.append((change, refusal))
            else:
                yield change
            return
        fields = []
        for field_change in change.fields:
            if refusal := self._refusals.of_change(change.kind, change.id, field_change):
                self.findings.refused.append((replace(change, fields=[field_change]), refusal))
            else:
                fields.append(field_change)
        if fields:
            yield replace(change, fields=fields)


def _joined(chunks: list[Chunk]) -> Chunk:
    """Return the chunks of one shard as one."""
    if len(chunks) == 1:
        return chunks[0]
    tables: dict[str, list[pa.Table]] = {}
    for chunk in chunks:
        for name, rows in chunk.tables.items():
            tables.setdefault(name, []).append(rows)
    artifacts = [file for chunk in chunks for file in chunk.artifacts]
    return Chunk(tables={name: pa.concat_tables(rows) for name, rows in tables.items()}, artifacts=artifacts)


def _kinds_of(chunk: Chunk) -> list[str]:
    """Return the kinds of which a chunk holds objects, in the order in which they come."""
    present = {TABLES[name].entity for name, rows in chunk.tables.items() if rows.num_rows}
    return [kind for kind in KINDS if kind in present]
