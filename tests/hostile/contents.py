"""A sound archive taken apart into what its members hold, to be put together again with every hash and size right.

A mutation changes one step: rows and labels, the bytes of a member, the manifest, or the file that holds all of it.
What follows from that step is made right, so only the checks of that step can find what was changed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from mlflow_archive.format.manifest import canonical_json
from mlflow_archive.format.packs import LABEL_PREFIX_SIZE, decode_label, label_size
from tests.spec.drafts import Files, Frame, Row, checksums, encode_pack, encode_part, in_order, sha, zipped

BLOBS: Final = "blobs"


@dataclass(kw_only=True)
class Contents:
    """What is changed. ``tables`` and ``packs`` are by the path of their member.

    ``edits`` are made, in turn, to the bytes of members, to the manifest's document, to its bytes, to all files, and to
    the one file that holds them; where there is one of the last, the archive must be such a file. ``stays_inside`` says
    that names do not lead out of a folder, so that it may be a directory.
    """

    tables: dict[str, pa.Table]
    packs: dict[str, list[Frame]]
    texts: Files
    document: Row
    encode: Callable[[pa.Table], bytes] = encode_part
    index_edits: list[Callable[[list[Row]], object]] = field(default_factory=list)
    member_edits: list[Callable[[Files], object]] = field(default_factory=list)
    document_edits: list[Callable[[Row], object]] = field(default_factory=list)
    file_edits: list[Callable[[Files], object]] = field(default_factory=list)
    single_edits: list[Callable[[list[tuple[str, bytes]]], bytes]] = field(default_factory=list)
    stays_inside: bool = True
    index: pa.Table | None = None
    """The blob index as it was: unless that was changed as a table it follows from the packs."""
    write: Callable[[Row], bytes] = canonical_json

    @property
    def rows(self) -> dict[str, str]:
        """The path of the newest part of each table that has one, by the table's name."""
        return {path.split("/")[1]: path for path in sorted(self.tables)}

    def part(self, table: str) -> str:
        """Return the path of the newest part of a table."""
        return self.rows[table]

    def build(self) -> Files:
        """Return the files of the archive, as they are by now."""
        tables = dict(self.tables)
        members: Files = dict(self.texts)
        index = []
        for path, frames in self.packs.items():
            members[path], rows = encode_pack(frames, path)
            index += rows
        if index and tables[self.part(BLOBS)] is self.index:
            index.sort(key=lambda row: (row["digest"], row["raw_offset"]))
            for edit_rows in self.index_edits:
                edit_rows(index)
            path = self.part(BLOBS)
            tables[path] = pa.Table.from_pylist(index, schema=tables[path].schema)
        members |= {path: self.encode(table) for path, table in tables.items()}
        for edit in self.member_edits:
            edit(members)
        document = json.loads(json.dumps(self.document))
        for entry in document["members"]:
            if entry["path"] in members:
                _make_right(entry, members[entry["path"]], tables.get(entry["path"]))
        for edit_document in self.document_edits:
            edit_document(document)
        return self._files(members, document)

    def _files(self, members: Files, document: Row) -> Files:
        data = self.write(document)
        copy = f"manifests/{len(self.document['exports']):04d}.json"
        try:
            listed = checksums(document, copy, data)
        except (KeyError, TypeError, AttributeError):
            listed = f"{sha(data)}  {copy}\n".encode()  # of a manifest whose members are no such list
        files = {**members, copy: data, "checksums.sha256": listed, "manifest.json": data}
        for edit in self.file_edits:
            edit(files)
        return files


def _make_right(entry: Row, data: bytes, table: pa.Table | None) -> None:
    entry.update(size=len(data), sha256=sha(data))
    if table is not None:
        entry["rows"] = table.num_rows
        keys = [key for key in _texts(table) if key is not None and "columns" not in entry]
        entry.update(key_min=min(keys, default=""), key_max=max(keys, default=""))
    if "footer_sha256" in entry and data.endswith(b"PAR1"):
        entry["footer_sha256"] = sha(data[-8 - int.from_bytes(data[-8:-4], "little") :])


def _texts(table: pa.Table) -> list[Any]:
    """Return the values of the first column, which is the first of the key, as far as they are texts."""
    if not table.num_columns or table.column(0).type not in (pa.string(), pa.binary()) or table.num_rows > 1_000_000:
        return []
    raw = table.column(0).cast(pa.binary()).to_pylist()  # texts may be none
    return [value if value is None else value.decode("utf-8", "replace") for value in raw]


def taken_apart(files: Files) -> Contents:
    """Return the contents of a sound archive."""
    document = json.loads(files["manifest.json"])
    contents = Contents(tables={}, packs={}, texts={}, document=document)
    for entry in document["members"]:
        data = files[entry["path"]]
        if entry["kind"] == "table":
            contents.tables[entry["path"]] = pq.ParquetFile(pa.BufferReader(data)).read()
        elif entry["kind"] == "pack":
            contents.packs[entry["path"]] = list(_frames(data))
        else:
            contents.texts[entry["path"]] = data
    contents.index = contents.tables[contents.part(BLOBS)]
    return contents


def _frames(data: bytes) -> Iterator[Frame]:
    position = 0
    while position < len(data):
        length = label_size(data[position : position + LABEL_PREFIX_SIZE])
        label = decode_label(data[position : position + length])
        start = position + length
        encoded = data[start : start + label.frame_size]
        raw = zstandard.ZstdDecompressor().decompress(encoded)
        extents, at = [], 0
        for extent in label.extents:
            extents.append((extent.digest, extent.raw_offset, raw[at : at + extent.size]))
            at += extent.size
        yield Frame(extents=extents, encoded=encoded)
        position = start + label.frame_size


def as_single_file(files: Files) -> bytes:
    """Return the files as one."""
    return zipped(in_order(files))
