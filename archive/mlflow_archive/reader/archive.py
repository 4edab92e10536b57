"""An open archive: what it states about itself and the rows of its tables.

Opening reads the manifest; a table read opens the parts of that table, and of those only the row groups that can
hold what is asked for.

>>> with open_archive("backup.mlfa") as archive:  # doctest: +SKIP
...     archive.table("runs", columns=["run_id", "run_name"]).num_rows
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import cached_property
from threading import Lock
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from mlflow_archive.errors import DamagedError, ElsewhereError
from mlflow_archive.format.earlier import AskedAt, parse_at
from mlflow_archive.format.gaps import SOURCE
from mlflow_archive.format.location import ArchivePath, ArchivePlace, archive_place
from mlflow_archive.format.manifest import Export, Manifest, Member, encode
from mlflow_archive.kinds import (
    BY_ROW,
    IDENTITIES,
    OWNER_SEPARATOR,
    TABLES,
    Table,
    is_named,
    qualifiers,
)
from mlflow_archive.reader.stored.earlier import earlier
from mlflow_archive.reader.stored.footer import check_footer
from mlflow_archive.reader.stored.joined import joined_members
from mlflow_archive.reader.stored.opening import OpenedManifest, open_members, read_manifest
from mlflow_archive.reader.stored.parts import Part
from mlflow_archive.reader.stored.recent import RecentGroups
from mlflow_archive.storage.closing import Closing
from mlflow_archive.storage.members import MemberFile, Members

_TAIL: Final = 256 * 1024
"""Bytes at the end of a part that are read at once, where reading takes a request: most footers are smaller."""

_TOGETHER: Final = 16
"""How many parts are read ahead at a time."""

_NO_IDS: Final = pa.array([], pa.string())
OWNERS: Final = (*IDENTITIES, SOURCE)
"""The kinds that a row with a column ``owner_kind`` may name."""


class Archive(Closing):
    """A committed archive, either form, read-only; safe to use from several threads.

    ``last_export`` is the number of its newest export where it is read as it was after an earlier one, else None.
    """

    def __init__(self, members: Members, opened: OpenedManifest) -> None:
        self.members = members
        self.manifest: Manifest = opened.manifest
        self.id = opened.archive_id
        self.problems = opened.problems
        self.last_export = opened.last_export
        self._parts: dict[str, Part] = {}
        self._recent = RecentGroups()
        self._lock = Lock()

    @property
    def path(self) -> ArchivePlace:
        """The directory or file, or its place in a bucket or on a web server."""
        return self.members.path

    @property
    def newest_export(self) -> Export:
        """The last of ``manifest.exports``; an archive has at least one."""
        return self.manifest.exports[-1]

    def require_whole(self, purpose: str) -> None:
        """Raise ElsewhereError for a delta without its base; ``purpose`` says what takes a whole archive."""
        delta = self.manifest.delta
        if delta is not None:
            raise ElsewhereError(
                f"{self.path} is a delta of the archive {delta.base}, and {purpose} takes a whole one: make it of both "
                f"by `mlflow-archive join BASE {self.path} -o NEW`"
            )

    def open_member(self, member: Member) -> MemberFile:
        """Open a member and compare its size with the manifest. Raises DamagedError (E010, E011)."""
        file = self.members.open(member.path)
        if file.size != member.size:
            message = f"{member.path} has {file.size} bytes, the manifest states {member.size}"
            raise DamagedError(message, code="E011", member=member.path)
        return file

    def parts(self, name: str) -> list[Member]:
        """Return the parts of a table, oldest export first."""
        return sorted(
            (member for member in self.manifest.members if member.kind == "table" and member.table == name),
            key=lambda member: (member.export, member.path),
        )

    def open_part(self, member: Member) -> Part:
        """Return a part with its footer read; the same object for the same member."""
        with self._lock:
            part = self._parts.get(member.path)
        if part is None:
            file = self.open_member(member)
            file.anticipate([(file.size - _TAIL, _TAIL)])
            check_footer(file, member)
            part = Part(file, TABLES[member.table or ""])
            with self._lock:
                self._parts[member.path] = part
        return part

    def anticipate(self, owners: Mapping[str, Collection[str] | None]) -> None:
        """Read ahead, together, what some tables hold of the owners given for each, None for all of its rows.

        Without owners only what the parts say of themselves. Nothing happens where reading takes no request; what is
        damaged is left to who asks for it.
        """
        if not self.members.distant:
            return
        parts = [
            (part, None if ids is None else sorted(set(ids)))
            for table, ids in owners.items()
            for part in self.parts(table)
            if not ids or _overlaps(part, sorted(ids))
        ]

        def bring(part_and_ids: tuple[Member, list[str] | None]) -> None:
            with suppress(DamagedError):
                member, ids = part_and_ids
                self.open_part(member).anticipate(ids)

        with ThreadPoolExecutor(_TOGETHER, thread_name_prefix="ahead") as pool:
            for _ in pool.map(bring, parts):
                pass

    def batches(
        self, name: str, *, columns: Sequence[str] | None = None, owners: Collection[str] | None = None
    ) -> Iterator[pa.Table]:
        """Yield the rows of a table, a row group at a time, of each entity those of its newest export.

        ``owners`` keeps rows whose first key column is one of the ids. Order is that of the parts, sorted within
        each. Raises DamagedError at the row group that is damaged; others can be read by their owners.
        """
        table = TABLES[name]
        ids = None if owners is None else sorted(set(owners))
        needed = None if columns is None else self._needed(table, columns)
        shown_columns = [c for c in table.column_names if columns is None or c in columns]
        for part, newer in self._parts_of(table, ids):
            for rows in part.groups(None, needed) if ids is None else self._recent.rows(part, ids, needed):
                current = without(rows, table, newer)
                if current.num_rows:
                    yield current.select(shown_columns)

    def _needed(self, table: Table, columns: Iterable[str]) -> list[str]:
        """Return the columns that must be read to show some."""
        owner = _owner_columns(table) if len(self.manifest.exports) > 1 else ()
        return sorted({*columns, table.key[0], *owner})

    def _parts_of(self, table: Table, ids: Sequence[str] | None) -> Iterator[tuple[Part, dict[str, pa.Array]]]:
        """Yield the parts of a table that may hold some ids, with the entities that a later export holds."""
        for member in self.parts(table.name):
            if ids is None or _overlaps(member, ids):
                newer = self.superseding(table, member.export) if len(self.manifest.exports) > 1 else {}
                yield self.open_part(member), newer

    def batches_where(self, name: str, expression: pc.Expression) -> Iterator[pa.Table]:
        """Yield the row groups of a table in which rows may fulfil a pyarrow expression; rows are not filtered by it.

        Of each entity only the rows of its newest export come out.
        """
        table = TABLES[name]
        several_exports = len(self.manifest.exports) > 1
        for member in self.parts(name):
            newer = self.superseding(table, member.export) if several_exports else {}
            part = self.open_part(member)
            for index in part.groups_where(expression):
                rows = without(part.read(index), table, newer) if newer else part.read(index)
                if rows.num_rows:
                    yield rows

    def keyed(
        self, name: str, key: str, value: str, *, columns: Sequence[str], owners: Collection[str] | None = None
    ) -> Iterator[pa.Table]:
        """Yield the rows of a table whose text column ``key`` is ``value``, of each entity those of its newest export.

        As :meth:`batches` with a filter, but several times faster: what is not kept is never decoded.
        """
        table = TABLES[name]
        ids = None if owners is None else sorted(set(owners))
        needed = self._needed(table, (*columns, key))
        for part, newer in self._parts_of(table, ids):
            for rows in part.groups(ids, needed, encoded=True):
                current = _decoded(rows.filter(_equals(rows[key], value)))
                if ids is not None:
                    current = current.filter(pc.is_in(current[table.key[0]], pa.array(ids, pa.string())))
                current = without(current, table, newer)
                if current.num_rows:
                    yield current.select([c for c in table.column_names if c in columns])

    def table(
        self, name: str, *, columns: Sequence[str] | None = None, owners: Collection[str] | None = None
    ) -> pa.Table:
        """Read a table into memory; see :meth:`batches`."""
        batches = list(self.batches(name, columns=columns, owners=owners))
        if batches:
            return pa.concat_tables(batches)
        schema = TABLES[name].schema
        return (
            schema.empty_table()
            if columns is None
            else schema.empty_table().select([c for c in TABLES[name].column_names if c in columns])
        )

    @cached_property
    def _identities(self) -> dict[str, dict[int, pa.Array]]:
        """Per entity kind and export, the keys of the entities that the export holds."""
        identities: dict[str, dict[int, pa.Array]] = {}
        for kind, table in IDENTITIES.items():
            per_export: dict[int, list[pa.Array]] = {}
            for member in self.parts(table.name):
                for rows in self.open_part(member).groups(None, table.owner):
                    per_export.setdefault(member.export, []).append(owner_ids(rows, table))
            identities[kind] = {
                export: pa.concat_arrays([_NO_IDS, *(chunk for key in keys for chunk in _chunks(key))])
                for export, keys in per_export.items()
            }
        identities[SOURCE] = self._source_owners()
        for export in self.manifest.exports:
            for kind, owner_id in export.settled or ():
                held = identities.setdefault(kind, {})
                held[export.number] = pa.concat_arrays([held.get(export.number, _NO_IDS), pa.array([owner_id])])
        return identities

    def _source_owners(self) -> dict[int, pa.Array]:
        """Per export, what its gaps of the source as a whole name as their owners: no table has these."""
        owners: dict[int, list[str]] = {}
        for member in self.parts("gaps"):
            for rows in self.open_part(member).groups(None, ["owner_id", "owner_kind"]):
                ids = rows.filter(pc.equal(rows["owner_kind"], SOURCE))["owner_id"].to_pylist()
                owners.setdefault(member.export, []).extend(ids)
        return {export: pa.array(ids, pa.string()) for export, ids in owners.items() if ids}

    def superseding(self, table: Table, export: int, until: int | None = None) -> dict[str, pa.Array]:
        """Return, per entity kind that may own rows of this table, the keys that a later export holds.

        ``until`` is the last export that is asked, None for the newest. :func:`without` leaves such rows out.
        """
        if table.entity is None:
            return {}
        kinds = OWNERS if table.entity == BY_ROW else (table.entity,)
        keys_by_kind = {kind: self.newer(kind, export, until) for kind in kinds}
        return {kind: keys for kind, keys in keys_by_kind.items() if keys is not None}

    def newer(self, kind: str, export: int, until: int | None = None) -> pa.Array | None:
        """Return the owner ids of the entities of a kind that a later export, up to ``until``, holds; None for none."""
        last = self.manifest.export_number if until is None else until
        later = [keys for number, keys in self._identities.get(kind, {}).items() if export < number <= last]
        return pa.concat_arrays(later) if later else None

    def after(self, export: int) -> Archive:
        """Return the archive as it was after an export. It reads through the files of this one, which closes them.

        Raises as ``earlier`` does.
        """
        opened = OpenedManifest(manifest=self.manifest, data=encode(self.manifest), last_export=self.last_export)
        past = Archive(self.members, earlier(self.members, opened, export))
        past._parts = self._parts
        return past

    def close(self) -> None:
        """Close all files; nothing can be read any more, also through parts that were opened before."""
        self._recent.clear()
        self._parts.clear()
        self.members.close()


def open_archive(path: ArchivePath, *, base: ArchivePath | None = None, at: AskedAt | None = None) -> Archive:
    """Open the archive at a path, directory or single file, or in a bucket (``s3://…``), or a file on a web server.

    A delta with its ``base`` is what they make together. With ``at`` it is the archive as it was after that export, or
    after the newest that was made at that time or before. Raises NotAnArchiveError, FormatTooNewError, or DamagedError
    where not even the manifest can be read; of what lies on another machine also RemotePlaceError and
    MissingExtraError, of another URL, for a base of another archive id and for an export that is not there
    SelectionError. A damaged copy of the manifest beside a good one is in ``Archive.problems``.
    """
    with ExitStack() as stack:
        members, opened = _opened(archive_place(path), stack)
        if base is not None:
            try:
                of_base = _opened(archive_place(base), stack)
            except DamagedError as error:
                raise error.of(archive_place(base)) from error
            members, opened = joined_members(*of_base, members, opened)
        if at is not None:
            opened = earlier(members, opened, parse_at(at))
        archive = Archive(members, opened)
        stack.pop_all()
        return archive


def _opened(place: ArchivePlace, stack: ExitStack) -> tuple[Members, OpenedManifest]:
    members = open_members(place)
    stack.callback(members.close)
    opened = read_manifest(members)
    members.believe({member.path: member.size for member in opened.manifest.members})
    return members, opened


def _equals(column: pa.ChunkedArray, value: str) -> pa.ChunkedArray:
    """Compare a dictionary column with a text by the dictionaries alone."""
    masks = []
    for chunk in column.chunks:
        at = pc.index(chunk.dictionary, value).as_py()
        equal = pc.equal(chunk.indices, at) if at >= 0 else pa.repeat(False, len(chunk))
        masks.append(pc.fill_null(equal, False))
    return pa.chunked_array(masks, pa.bool_())


def _decoded(rows: pa.Table) -> pa.Table:
    columns = [c.cast(pa.string()) if pa.types.is_dictionary(c.type) else c for c in rows.columns]
    return pa.table(columns, names=rows.column_names)


def _overlaps(member: Member, ids: Sequence[str]) -> bool:
    if not ids or member.key_min is None or member.key_max is None:
        return bool(ids)
    return ids[0] <= member.key_max and ids[-1] >= member.key_min


def _owner_columns(table: Table) -> tuple[str, ...]:
    return (*table.owner, "owner_kind") if table.entity == BY_ROW else table.owner


def _chunks(array: pa.Array | pa.ChunkedArray) -> list[pa.Array]:
    return array.chunks if isinstance(array, pa.ChunkedArray) else [array]


def owner_ids(rows: pa.Table, table: Table) -> pa.Array | pa.ChunkedArray:
    """Return what ``owner_id`` calls the entities that own these rows (spec/format.md, section 8)."""
    if not is_named(table):
        columns = [rows[name] for name in table.owner]
        return columns[0] if len(columns) == 1 else pc.binary_join_element_wise(*columns, OWNER_SEPARATOR)
    ids = rows[table.owner[0]]
    for column, qualifier in qualifiers(table):
        within = pc.binary_join_element_wise(pc.binary_join_element_wise(qualifier.mark, rows[column], ""), ids, "/")
        ids = pc.if_else(pc.equal(rows[column], qualifier.usual), ids, within)
    return ids


def without(rows: pa.Table, table: Table, newer: dict[str, pa.Array]) -> pa.Table:
    """Leave out the rows of entities that a later export holds: of each kind those with the ids given."""
    for kind, keys in newer.items():
        stale = pc.is_in(owner_ids(rows, table), value_set=keys)
        if table.entity == BY_ROW:
            stale = pc.and_(stale, pc.equal(rows["owner_kind"], kind))
        rows = rows.filter(pc.invert(stale))
    return rows
