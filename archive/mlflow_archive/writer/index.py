"""A base that is not at hand: its index, made where it is, and read where an export continues it (spec/index.md)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO, Final, Self

import pyarrow as pa
import pyarrow.compute as pc

from mlflow_archive.errors import DamagedError, TargetError
from mlflow_archive.flow.chunk import Gap
from mlflow_archive.format.fingerprint import Fingerprint, fingerprints_of
from mlflow_archive.format.index import (
    DIGEST_SIZE,
    GROUP,
    KEY_SIZE,
    KNOWN,
    MAGIC,
    SECTIONS,
    TAIL,
    WITH_GAPS,
    IndexHeader,
    decode_header,
    decode_known,
    encode_header,
    encode_known,
    entity_key,
    group_key,
)
from mlflow_archive.format.manifest import Manifest, archive_id, decode, encode
from mlflow_archive.kinds import BY_ROW, DATASET, INCREMENTAL, TABLES, Table
from mlflow_archive.reader.archive import Archive, open_archive
from mlflow_archive.reader.unknown_tables import read_unknown_table, unknown_tables
from mlflow_archive.storage.files import Files, OutputFile
from mlflow_archive.storage.members import HASH_BLOCK
from mlflow_archive.writer.base import (
    DIGEST,
    ArchiveBase,
    Base,
    check_whole,
    owned,
    refuse_inside,
    tables_of_entity,
    text_of_rows,
)

_AT_ONCE: Final = 1_000  # entities with gaps whose rows are read together
_RECORDS: Final = 4_096  # read together


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexReport:
    """What an index stands for: an archive by its id, how many entities and blobs are known; its size in bytes."""

    archive_id: str
    known: int
    blobs: int
    size: int

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def write_index(archive: Archive, path: Path, *, files: Files | None = None) -> IndexReport:
    """Write the index of an archive; ``path`` appears when it is whole, and an index that is there is replaced.

    Raises TargetError for a damaged archive and for a path at which something else is, SelectionError for a delta and
    for a path that lies in the archive.
    """
    files = files or Files()
    check_whole(archive, "no index is made of it")
    if not path.parent.is_dir():
        raise TargetError(f"{path} cannot be written: there is no folder {path.parent}")
    if path.exists() and not is_index(path):
        raise TargetError(f"{path} exists and is no index; choose another name")
    if isinstance(archive.path, Path):
        refuse_inside(path, [archive.path])
    temporary = path.with_name(path.name + ".tmp")
    try:
        with files.create(temporary) as output:
            sizes = _Writing(archive, output).run()
            output.sync()
            size = output.size
    except BaseException:
        files.remove(temporary)
        raise
    files.publish(temporary, path)
    return IndexReport(
        archive_id=archive.id,
        known=(sizes["known"] // KNOWN.size) + (sizes["with_gaps"] // WITH_GAPS.size),
        blobs=sizes["blobs"] // DIGEST_SIZE,
        size=size,
    )


def is_index(path: Path) -> bool:
    """Return whether a file is, by its first bytes, an index."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


class _Writing:
    """An index being written: sections one behind the other, hashed on the way."""

    def __init__(self, archive: Archive, output: OutputFile) -> None:
        self._archive, self._output = archive, output
        self._hash = hashlib.sha256()

    def run(self) -> dict[str, int]:
        """Write all of it; return the sizes of the sections."""
        archive = self._archive
        self._write(MAGIC)
        pieces = {
            "manifest": iter([encode(archive.manifest)]),
            "known": _known(archive),
            "with_gaps": _with_gaps(archive),
            "groups": _groups(archive),
            "blobs": _blobs(archive),
        }
        sizes = {}
        for name in SECTIONS:
            start = self._output.size
            for piece in pieces[name]:
                self._write(piece)
            sizes[name] = self._output.size - start
        base = ArchiveBase(archive)
        header = encode_header(
            IndexHeader(
                archive_id=archive.id,
                sections=sizes,
                experiments=list(base.experiments()),
                gaps=[gap.row() for gap in base.gaps_of_no_object()],
                registered_models=base.holds_registered_models(),
                unknown_tables={
                    name: _digest_of_unknown(read_unknown_table(archive, member))
                    for name, member in unknown_tables(archive).items()
                },
            )
        )
        self._write(header)
        self._write(TAIL.pack(len(header), bytes(DIGEST_SIZE))[:-DIGEST_SIZE])
        self._output.write(self._hash.digest())
        return sizes

    def _write(self, data: bytes) -> None:
        self._hash.update(data)
        self._output.write(data)


def _known(archive: Archive) -> Iterator[bytes]:
    """Yield the records of all entities with a fingerprint; what is none of ours is read again instead."""
    for rows in archive.batches("fingerprints"):
        yield b"".join(encode_known(*row) for row in fingerprints_of(rows) if DIGEST.fullmatch(row[2]))


def _blobs(archive: Archive) -> Iterator[bytes]:
    """Yield the digests of all blobs; those of a part are sorted, and come once."""
    for rows in archive.batches("blobs", columns=["digest"]):
        yield b"".join(map(bytes.fromhex, filter(DIGEST.fullmatch, rows["digest"].unique().to_pylist())))


def _with_gaps(archive: Archive) -> Iterator[bytes]:
    ids: dict[str, set[str]] = {}
    for rows in archive.batches("gaps"):
        for kind, owner_id in zip(rows["owner_kind"].to_pylist(), rows["owner_id"].to_pylist(), strict=True):
            ids.setdefault(kind, set()).add(owner_id)
    for kind, of_kind in sorted(ids.items()):
        ordered = sorted(of_kind)
        for at in range(0, len(ordered), _AT_ONCE):
            some = ordered[at : at + _AT_ONCE]
            tables = {table.name: archive.table(table.name, owners=some) for table in tables_of_entity(kind)}
            for entity_id in some:
                yield WITH_GAPS.pack(entity_key(kind, entity_id), _digest_of_entity(kind, entity_id, tables))


def _digest_of_entity(kind: str, entity_id: str, tables: Mapping[str, pa.Table]) -> bytes:
    digest = hashlib.sha256()
    for table in tables_of_entity(kind):
        rows = tables.get(table.name)
        if rows is not None and (mine := rows.filter(owned(rows, table, kind, entity_id))).num_rows:
            digest.update(f"{table.name}\n{text_of_rows(mine, table)}\n".encode("utf-8", "surrogatepass"))
    return digest.digest()


def _groups(archive: Archive) -> Iterator[bytes]:
    """Yield the records of rows that come again with each export: of no run, logged model or trace."""
    for table in TABLES.values():
        if table.entity is None or table.entity in INCREMENTAL or table.name == "fingerprints":
            continue
        batches = [_of_objects(rows, table) for rows in archive.batches(table.name)]
        rows = pa.concat_tables([table.schema.empty_table(), *batches])
        yield b"".join(GROUP.pack(key, digest) for key, digest in sorted(_digests(rows, table)))


def _of_objects(rows: pa.Table, table: Table) -> pa.Table:
    if table.entity != BY_ROW or table.name == "gaps":
        return rows
    return rows.filter(pc.invert(pc.is_in(rows["owner_kind"], value_set=pa.array(sorted(INCREMENTAL)))))


def _digests(rows: pa.Table, table: Table) -> Iterator[tuple[bytes, bytes]]:
    """Yield, of rows that share what ``holds_rows`` compares together, the key and the digest."""
    if not rows.num_rows:
        return
    rows = rows.sort_by([(name, "ascending") for name in _shared(table)])
    columns = [rows[name].to_pylist() for name in _shared(table)]
    start = 0
    for values, group in groupby(zip(*columns, strict=True)):
        end = start + sum(1 for _ in group)
        text = text_of_rows(rows.slice(start, end - start), table)
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:KEY_SIZE]
        yield group_key(table.name, *map(str, values)), digest
        start = end


def _shared(table: Table) -> tuple[str, ...]:
    if table.entity == DATASET:
        return table.key
    return ("owner_kind", "owner_id") if table.entity == BY_ROW else table.key[:1]


def _digest_of_unknown(rows: pa.Table) -> str:
    text = repr([(field.name, str(field.type)) for field in rows.schema]) + repr(rows.to_pydict())
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def open_base(path: Path) -> Base:
    """Open what a delta continues: an archive, or the index of one.

    Raises TargetError for a damaged archive, SelectionError for a delta, and what ``open_archive`` and
    :class:`IndexBase` raise.
    """
    if is_index(path):
        return IndexBase(path)
    archive = open_archive(path)
    try:
        check_whole(archive, "no delta is made of it")
    except TargetError:
        archive.close()
        raise
    return ArchiveBase(archive)


class IndexBase:
    """A base of which only the index is at hand; it answers as :class:`~mlflow_archive.writer.base.ArchiveBase` does.

    Raises DamagedError (E008) for an index that is not as it was written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO = path.open("rb")
        try:
            self._header = self._read_header()
            self._places = dict(self._layout())
            self.manifest: Manifest = self._read_manifest()
            self._with_gaps = dict(map(WITH_GAPS.unpack, self._records("with_gaps", WITH_GAPS.size)))
            self._groups = dict(map(GROUP.unpack, self._records("groups", GROUP.size)))
        except BaseException:
            self._file.close()
            raise

    @property
    def id(self) -> str:
        return self._header.archive_id

    def fingerprints(self) -> Iterator[tuple[str, str, Fingerprint]]:
        """Yield an empty kind, what stands for the entity in hex, and its fingerprint."""
        for record in self._records("known", KNOWN.size):
            key, fingerprint = decode_known(record)
            yield "", key.hex(), fingerprint

    def digests(self) -> Iterator[bytes]:
        return self._records("blobs", DIGEST_SIZE)

    def experiments(self) -> Iterator[tuple[str, int | None, str | None]]:
        return iter(self._header.experiments)

    def holds_registered_models(self) -> bool:
        return self._header.registered_models

    def gaps_of_no_object(self) -> Iterator[Gap]:
        return (Gap(**row) for row in self._header.gaps)

    def holds_entity(self, kind: str, entity_id: str, tables: Mapping[str, pa.Table]) -> bool:
        held = self._with_gaps.get(entity_key(kind, entity_id))
        return held is not None and held == _digest_of_entity(kind, entity_id, tables)

    def holds_rows(self, table: Table, rows: pa.Table, owners: Collection[str]) -> bool:
        found = dict(_digests(rows, table))
        by_owner = table.entity not in (BY_ROW, DATASET)
        keys = {group_key(table.name, owner) for owner in owners} if by_owner else set(found)
        return found == {key: self._groups[key] for key in keys if key in self._groups}

    def holds_unknown_table(self, name: str, rows: pa.Table) -> bool:
        return self._header.unknown_tables.get(name) == _digest_of_unknown(rows)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _damaged(self, reason: str) -> DamagedError:
        message = f"{self._path} is no sound index: {reason}. Carry it again, or make it anew (`index`)"
        return DamagedError(message, code="E008")

    def _read_header(self) -> IndexHeader:
        size = os.fstat(self._file.fileno()).st_size
        digest = hashlib.sha256()
        left = size - DIGEST_SIZE
        while left > 0 and (block := self._file.read(min(HASH_BLOCK, left))):
            digest.update(block)
            left -= len(block)
        if size < len(MAGIC) + TAIL.size or self._file.read(DIGEST_SIZE) != digest.digest():
            raise self._damaged("its bytes are not those that were written")
        self._file.seek(size - TAIL.size)
        length, _ = TAIL.unpack(self._file.read(TAIL.size))
        try:
            self._file.seek(max(0, size - TAIL.size - length))
            header = decode_header(self._file.read(length))
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise self._damaged(str(error)) from error
        if len(MAGIC) + sum(header.sections.values()) + length + TAIL.size != size:
            raise self._damaged(f"it has {size} bytes, its parts are of another size")
        return header

    def _read_manifest(self) -> Manifest:
        data = next(self._records("manifest", max(1, self._header.sections["manifest"])), b"")
        if archive_id(data) != self._header.archive_id:
            raise self._damaged("its manifest is not that of the archive it is of")
        return decode(data, where=str(self._path))

    def _layout(self) -> Iterator[tuple[str, tuple[int, int]]]:
        position = len(MAGIC)
        for name in SECTIONS:
            size = self._header.sections[name]
            yield name, (position, size)
            position += size

    def _records(self, section: str, size: int) -> Iterator[bytes]:
        start, length = self._places[section]
        for at in range(0, length, size * _RECORDS):
            self._file.seek(start + at)
            block = self._file.read(min(size * _RECORDS, length - at))
            yield from (block[i : i + size] for i in range(0, len(block), size))
