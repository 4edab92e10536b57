"""What an export that adds to an archive asks of it, its base: what is known, and whether rows are as it has them.

An archive at hand answers from its tables (:class:`ArchiveBase`), an index of one from what it keeps (``index``).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from mlflow_archive.errors import SelectionError, TargetError
from mlflow_archive.flow.chunk import Gap
from mlflow_archive.format.fingerprint import Fingerprint, fingerprints_of
from mlflow_archive.format.gaps import SOURCE
from mlflow_archive.format.manifest import Manifest
from mlflow_archive.kinds import BY_ROW, DATASET, TABLES, Table
from mlflow_archive.reader.archive import Archive
from mlflow_archive.reader.unknown_tables import read_unknown_table, unknown_tables
from mlflow_archive.writer.coded import sort_rows

DIGEST: Final = re.compile("[0-9a-f]{64}")
"""What an archive that is not ours may have something else for: then it is as if it had nothing."""

_EXPERIMENT_COLUMNS = ("experiment_id", "creation_time", "name")


class Base(Protocol):
    """The archive that an export continues. Safe to use from several threads."""

    @property
    def id(self) -> str:
        """Its archive id."""

    @property
    def manifest(self) -> Manifest:
        """Its newest manifest."""

    def fingerprints(self) -> Iterator[tuple[str, str, Fingerprint]]:
        """Yield kind, id and fingerprint of what is not read again where it is unchanged.

        An index gives an empty kind, and as id what stands for the entity (``format.index.entity_key``, in hex).
        """

    def digests(self) -> Iterator[bytes]:
        """Yield the digests of its blobs."""

    def experiments(self) -> Iterator[tuple[str, int | None, str | None]]:
        """Yield id, creation time in milliseconds and name of each experiment."""

    def holds_registered_models(self) -> bool:
        """Return whether it has any registered model."""

    def gaps_of_no_object(self) -> Iterator[Gap]:
        """Yield the gaps that tell of the source, or of a kind as a whole."""

    def holds_entity(self, kind: str, entity_id: str, tables: Mapping[str, pa.Table]) -> bool:
        """Return whether the rows of an entity with gaps are just those that it has; ``tables`` hold all of them."""

    def holds_rows(self, table: Table, rows: pa.Table, owners: Collection[str]) -> bool:
        """Return whether it has just these rows of some owners, by their first key column; of datasets all of them.

        Of a table whose rows name their owner the owners are those in ``rows``.
        """

    def holds_unknown_table(self, name: str, rows: pa.Table) -> bool:
        """Return whether a table that nobody knows has these rows in it."""

    def close(self) -> None:
        """Release what is open."""


class ArchiveBase:
    """A base that is at hand: an archive. It closes it."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    @property
    def id(self) -> str:
        return self._archive.id

    @property
    def manifest(self) -> Manifest:
        return self._archive.manifest

    def fingerprints(self) -> Iterator[tuple[str, str, Fingerprint]]:
        for rows in self._archive.batches("fingerprints"):
            yield from fingerprints_of(rows)

    def digests(self) -> Iterator[bytes]:
        for rows in self._archive.batches("blobs", columns=["digest"]):
            yield from map(bytes.fromhex, filter(DIGEST.fullmatch, rows["digest"].unique().to_pylist()))

    def experiments(self) -> Iterator[tuple[str, int | None, str | None]]:
        for rows in self._archive.batches("experiments", columns=list(_EXPERIMENT_COLUMNS)):
            yield from experiment_facts(rows)

    def holds_registered_models(self) -> bool:
        return any(rows.num_rows for rows in self._archive.batches("registered_models"))

    def gaps_of_no_object(self) -> Iterator[Gap]:
        for rows in self._archive.batches("gaps"):
            yield from (gap for row in rows.to_pylist() if is_of_no_object(gap := Gap(**row)))

    def holds_entity(self, kind: str, entity_id: str, tables: Mapping[str, pa.Table]) -> bool:
        def held(table: Table) -> pa.Table:
            return self._archive.table(table.name, owners=[entity_id])

        return all(
            _same(tables.get(table.name), held(table), table, kind, entity_id) for table in tables_of_entity(kind)
        )

    def holds_rows(self, table: Table, rows: pa.Table, owners: Collection[str]) -> bool:
        if table.entity == DATASET:  # an append sees only the datasets of the runs it reads
            held = self._archive.table(table.name, owners=owners).to_pylist()
            return all(row in held for row in rows.to_pylist())
        if table.entity == BY_ROW:
            old = self._archive.table(table.name, owners=rows[table.key[0]].unique().to_pylist())
            old = old.filter(pc.is_in(old["owner_kind"], value_set=rows["owner_kind"].unique()))
        else:
            old = self._archive.table(table.name, owners=owners)
        return bool(sort_rows(old, table).equals(sort_rows(rows, table)))

    def holds_unknown_table(self, name: str, rows: pa.Table) -> bool:
        held = unknown_tables(self._archive)
        return name in held and bool(read_unknown_table(self._archive, held[name]).equals(rows))

    def close(self) -> None:
        self._archive.close()


def check_whole(archive: Archive, consequence: str) -> None:
    """Raise TargetError for an archive that is damaged, as far as opening it shows, SelectionError for a delta."""
    if archive.problems:
        message = f"{archive.path} is damaged ({archive.problems[0]}); {consequence}. See what `verify` says"
        raise TargetError(message)
    delta = archive.manifest.delta
    if delta is not None:
        message = f"{archive.path} is a delta of the archive {delta.base}; {consequence}. Join both first (`join`)"
        raise SelectionError(message)


def refuse_inside(path: Path, inputs: Sequence[Path]) -> None:
    """Raise SelectionError for the name of something new that lies in one that is read."""
    for place in inputs:
        if path.resolve().is_relative_to(place.resolve()):
            raise SelectionError(f"{path} lies in {place}, which is not changed; write it elsewhere")


def is_of_no_object(gap: Gap) -> bool:
    """Return whether a gap tells of the source, or of a kind as a whole."""
    return gap.owner_kind == SOURCE or not gap.owner_id


def experiment_facts(rows: pa.Table) -> Iterator[tuple[str, int | None, str | None]]:
    """Yield id, creation time in milliseconds and name of each experiment in some rows."""
    times = rows["creation_time"].cast(pa.int64()).to_pylist()
    yield from zip(rows["experiment_id"].to_pylist(), times, rows["name"].to_pylist(), strict=True)


def tables_of_entity(kind: str) -> list[Table]:
    """Return the tables with rows of an entity, but for its fingerprint."""
    return [table for table in TABLES.values() if table.entity in (kind, BY_ROW) and table.name != "fingerprints"]


def owned(rows: pa.Table, table: Table, kind: str, entity_id: str) -> pa.ChunkedArray:
    """Return which rows belong to an entity."""
    mask = pc.equal(rows[table.owner[0]], entity_id)
    return pc.and_(mask, pc.equal(rows["owner_kind"], kind)) if table.entity == BY_ROW else mask


def _same(new: pa.Table | None, held: pa.Table, table: Table, kind: str, entity_id: str) -> bool:
    rows = table.schema.empty_table() if new is None else new.filter(owned(new, table, kind, entity_id))
    old = held.filter(owned(held, table, kind, entity_id))
    return rows.num_rows == old.num_rows and text_of_rows(rows, table) == text_of_rows(old, table)


def text_of_rows(rows: pa.Table, table: Table) -> str:
    """Return sorted rows as text: NaN is not equal to itself. Times are numbers, as Python ends at the year 9999."""
    columns = [
        column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
        for column in sort_rows(rows, table).columns
    ]
    return repr([column.to_pylist() for column in columns])
