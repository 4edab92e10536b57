"""An archive as a source: what import reads from.

Workspaces come first, then experiments and datasets, then runs without a parent in the selection, their children, and
so on, then all other kinds in the order of ``kinds.KINDS``, so that a sink sees what is referred to before what refers
to it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import BinaryIO, Final

import pyarrow as pa
import pyarrow.compute as pc

from mlflow_archive.errors import DamagedError, ElsewhereError, SelectionError
from mlflow_archive.flow.chunk import ArtifactElsewhereError, ArtifactFile, ArtifactUnreadableError, Chunk, Known, Shard
from mlflow_archive.flow.report import Progress
from mlflow_archive.flow.source import SourceFacts
from mlflow_archive.format import gaps as gap_codes
from mlflow_archive.format.fingerprint import fingerprints_of
from mlflow_archive.format.manifest import Export, Member
from mlflow_archive.kinds import (
    AFTER_RUNS,
    BY_ROW,
    DATASET,
    EXPERIMENT,
    IDENTITIES,
    INCREMENTAL,
    KINDS,
    RUN,
    TABLES,
    WORKSPACE,
)
from mlflow_archive.reader.archive import Archive, owner_ids
from mlflow_archive.reader.blobs import Blobs, StoredExtent
from mlflow_archive.reader.selecting import ArchiveSelection
from mlflow_archive.reader.unknown_tables import read_unknown_table, unknown_tables
from mlflow_archive.selecting.chosen_versions import ChosenVersions
from mlflow_archive.selecting.selection import Selection

ENTITIES_PER_SHARD: Final = 50
BYTES_PER_CHUNK: Final = 16 * 1024 * 1024
_IN_MS: Final = re.compile(r"[0-9]{1,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Part:
    """Payload of a shard: entities of one kind, by their first key column."""

    kind: str
    ids: list[str]


@dataclass(frozen=True, slots=True)
class _UnknownTable:
    """Payload of a shard: a table of the source's database that this version does not know."""

    name: str
    member: Member


class ArchiveSource:
    """Reads what is selected of an archive. Closing it does not close the archive.

    ``filter_string`` and ``trace_filter`` are not available on archives: SelectionError. Rows of the tables in
    ``leave_out`` are not read; of the largest tables that are in ``columns`` only these, which the owner is among.
    """

    def __init__(
        self,
        archive: Archive,
        *,
        leave_out: Collection[str] = (),
        columns: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        self._archive = archive
        self._leave_out = frozenset(leave_out)
        self._columns = columns or {}
        self._blobs = Blobs(archive)
        self._selection = Selection()
        self._versions = ChosenVersions()

    def facts(self) -> SourceFacts:
        """Return the facts of the newest export, and in ``extra`` those of each (see :func:`export_facts`)."""
        return export_facts(self._archive.newest_export)

    def export_of(self, table: str) -> dict[str, int]:
        """Return, for archives of several exports, the number of the export that each entity's row comes from.

        ``table`` holds the entities of a kind with an id, such as ``runs``; so does the result, by id.
        """
        if len(self._archive.manifest.exports) == 1:
            return {}
        column = TABLES[table].key[0]
        export_by_id: dict[str, int] = {}
        for member in self._archive.parts(table):
            for rows in self._archive.open_part(member).groups(None, [column]):
                export_by_id.update(dict.fromkeys(rows[column].to_pylist(), member.export))
        return export_by_id

    def plan(self, selection: Selection, progress: Progress) -> Iterator[Shard]:
        _check_unfiltered(selection)
        self._selection = selection
        selected = ArchiveSelection(self._archive, selection)
        self._versions = selected.versions
        if workspaces := selected.ids(WORKSPACE).to_pylist():
            yield Shard(name="workspaces", payload=_Part(WORKSPACE, workspaces))
        yield Shard(name="experiments", stage=1, payload=_Part(EXPERIMENT, selected.ids(EXPERIMENT).to_pylist()))
        ids = {kind: selected.ids(kind) for kind in AFTER_RUNS}
        for kind, selected_ids in ({RUN: selected.runs} | ids).items():
            progress.expect(KINDS[kind].plural, len(selected_ids))
        pieces = chain(((RUN, run_ids) for run_ids in selected.run_levels()), ids.items())
        stage = 1
        for stage, (kind, piece) in enumerate(pieces, start=2):
            yield from _shards(kind, piece, stage)
        in_part = selection.kinds or self._leave_out or self._columns or not selection.whole_registry
        if selection.everything and not in_part:
            for name, member in unknown_tables(self._archive).items():
                yield Shard(name=f"the unknown table {name}", stage=stage + 1, payload=_UnknownTable(name, member))

    def read(self, shard: Shard, known: Known) -> Iterator[Chunk]:
        part = shard.payload
        if isinstance(part, _UnknownTable):
            yield Chunk(tables={}, unknown_tables={part.name: read_unknown_table(self._archive, part.member)})
            return
        if not isinstance(part, _Part):
            message = f"{shard.name} is no shard of an archive"
            raise TypeError(message)
        later = KINDS[part.kind].largest
        later = "" if later in self._leave_out else later
        names = (name for name in _tables_of(part.kind) if name != later and name not in self._leave_out)
        tables = self._versions.keep({name: self._archive.table(name, owners=part.ids) for name in names})
        of_every_kind = self._of_every_kind(part, tables)
        ids = part.ids
        if part.kind in INCREMENTAL and (unchanged := _unchanged(of_every_kind["fingerprints"], known)):
            ids = sorted(set(ids) - unchanged)
            tables, of_every_kind = _owned_by(tables, ids), _owned_by(of_every_kind, ids)
        artifacts = self._artifacts(self._versions.keep_files(of_every_kind.pop("artifacts")))
        yield from self._chunks({**tables, **of_every_kind}, artifacts, later, ids)

    def _of_every_kind(self, part: _Part, tables: dict[str, pa.Table]) -> dict[str, pa.Table]:
        """Return the rows of artifacts, gaps and fingerprints of a part's entities."""
        identity = IDENTITIES[part.kind]
        ids = sorted(owner_ids(tables[identity.name], identity).to_pylist())
        by_table = {}
        for name in (table.name for table in TABLES.values() if table.entity == BY_ROW):
            # A gap may be of an entity that could not be read at all, and has no row of its own.
            rows = self._archive.table(name, owners={*ids, *part.ids})
            by_table[name] = rows.filter(pc.equal(rows["owner_kind"], part.kind))
        return by_table

    def _chunks(
        self, tables: dict[str, pa.Table], artifacts: list[ArtifactFile], later: str, ids: list[str]
    ) -> Iterator[Chunk]:
        """Yield one chunk, or several where rows of ``later`` are many: these follow, the fingerprints come last."""
        if not later:
            yield Chunk(tables=tables, artifacts=artifacts)
            return
        waiting: list[pa.Table] = []
        size = 0
        first = {n: t for n, t in tables.items() if n != "fingerprints"}
        columns = sorted(self._columns[later]) if later in self._columns else None
        for batch in self._archive.batches(later, owners=ids, columns=columns):
            if waiting and size + batch.nbytes > BYTES_PER_CHUNK:
                yield Chunk(tables={**first, later: pa.concat_tables(waiting)}, artifacts=artifacts, complete=False)
                first, artifacts, waiting, size = {}, [], [], 0
            waiting.append(batch)
            size += batch.nbytes
        rows = pa.concat_tables(waiting) if waiting else TABLES[later].schema.empty_table()
        last = {later: rows, "fingerprints": tables["fingerprints"]}
        yield Chunk(tables={**first, **last}, artifacts=artifacts)

    def _artifacts(self, rows: pa.Table) -> list[ArtifactFile]:
        if not self._selection.artifacts:
            return []
        listed = [row for row in rows.to_pylist() if self._selection.wants_artifact(row["path"], row["size"])]
        pieces = self._blobs.pieces({row["digest"] for row in listed})
        # In the order they lie in the packs, so that blobs of one frame are decoded once.
        listed.sort(key=lambda row: _place(pieces.get(row["digest"])))
        return [
            ArtifactFile(
                owner_kind=row["owner_kind"],
                owner_id=row["owner_id"],
                path=row["path"],
                size=row["size"],
                mark=row["digest"],
                open=partial(open_blob, self._blobs, row["digest"], pieces.get(row["digest"], [])),
            )
            for row in listed
        ]

    def close(self) -> None:
        """Do nothing: who opened the archive closes it."""


def export_facts(export: Export) -> SourceFacts:
    """Return what an export states of its source; ``extra["exported_ms"]`` is when it was made.

    Where that was a folder of mlflow-export-import, it is when that tool read the server, and ``extra["tracking_uri"]``
    names that server.
    """
    source = export.source
    original = source.get("extra", {}) if source.get("kind") == "exim" else {}
    exported_ms = original.get("exported_ms", "")
    return SourceFacts(
        kind="archive",
        uri=str(source.get("uri", "")),
        mlflow_version=source.get("mlflow_version"),
        schema_revision=source.get("schema_revision"),
        extra={
            "exported_ms": exported_ms if _IN_MS.fullmatch(exported_ms) else str(export.created_ms),
            **({"tracking_uri": original["tracking_uri"]} if "tracking_uri" in original else {}),
            "export": str(export.number),
            "source_kind": str(source.get("kind", "")),
        },
    )


def _shards(kind: str, ids: pa.StringArray, stage: int) -> Iterator[Shard]:
    for at in range(0, len(ids), ENTITIES_PER_SHARD):
        shard_ids = ids.slice(at, ENTITIES_PER_SHARD).to_pylist()
        name = f"{kind} from {shard_ids[0]}"
        yield Shard(name=name, stage=stage, kind=kind, weight=len(shard_ids), payload=_Part(kind, shard_ids))


def _place(pieces: list[StoredExtent] | None) -> tuple[str, int, int]:
    return (pieces[0].pack, pieces[0].frame_offset, pieces[0].offset_in_frame) if pieces else ("", 0, 0)


def open_blob(blobs: Blobs, digest: str, pieces: list[StoredExtent]) -> BinaryIO:
    """Open a blob as an artifact. Raises ArtifactUnreadableError, for one in the base of a delta its own kind."""
    try:
        return blobs.open(digest, pieces)
    except ElsewhereError as error:
        raise ArtifactElsewhereError(str(error), code=gap_codes.ARTIFACT_UNREADABLE) from error
    except DamagedError as error:
        raise ArtifactUnreadableError(str(error), code=gap_codes.ARTIFACT_UNREADABLE) from error


def _check_unfiltered(selection: Selection) -> None:
    """Raise SelectionError for a filter in MLflow's search syntax."""
    filters = {"--filter": selection.filter_string, "--trace-filter": selection.trace_filter}
    for option, value in filters.items():
        if value is not None:
            raise SelectionError(f"an archive cannot be filtered by {option}; select by --experiment or --run")


def _tables_of(kind: str) -> list[str]:
    """Return the tables that come with the objects of a kind: datasets with the experiments in which they are."""
    kinds = (EXPERIMENT, DATASET) if kind == EXPERIMENT else (kind,)
    return [table.name for table in TABLES.values() if table.entity in kinds]


def _owned_by(tables: Mapping[str, pa.Table], ids: Sequence[str]) -> dict[str, pa.Table]:
    """Return the rows of some tables that belong to objects with these ids."""
    values = pa.array(ids, pa.string())
    return {name: rows.filter(pc.is_in(rows[TABLES[name].owner[0]], value_set=values)) for name, rows in tables.items()}


def _unchanged(fingerprints: pa.Table, known: Known) -> set[str]:
    """Return the ids of objects that the sink holds as they are."""
    prints = fingerprints_of(fingerprints)
    return {owner for kind, owner, value in prints if value.agrees_with(known(kind, owner))}
