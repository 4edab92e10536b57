"""A reader written from spec/format.md and spec/tables.md alone: nothing of the project is imported here.

It stands for the stranger who, years from now, has an archive, the specification, a Parquet and a zstd library.

>>> archive = Archive("backup.mlfa")  # doctest: +SKIP
>>> for run in archive.rows("runs"):  # doctest: +SKIP
...     print(run["run_name"], [archive.blob(file["digest"]) for file in archive.artifacts(run["run_id"])])
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

Row = dict[str, Any]

KNOWN_FEATURES = frozenset({"delta"})
SPEC = Path(__file__).resolve().parents[2] / "spec" / "tables.md"


def _described() -> Iterator[tuple[str, str | None, tuple[str, ...], tuple[str, ...] | None]]:
    """Yield name, entity, owner and key (None: not unique) of each table, out of the text of the specification."""
    for section in re.split(r"(?m)^## ", SPEC.read_text("utf-8"))[1:]:
        found = re.search(r"(?m)^Entity: (.*?) · Owner: (.*?) · Key: (.*?) · Sort", section)
        if found is None:
            raise ValueError(f"no entity in the section {section[:40]!r}")
        entity, owner, key = (tuple(re.findall(r"`([\w*]+)`", text)) for text in found.groups())
        unique = "(not unique)" not in found[3]
        yield section.split("`")[1], entity[0] if entity else None, owner, key if unique else None


TABLES = {name: (entity, owner, key) for name, entity, owner, key in _described()}
IDENTITY = {
    entity: (name, owner) for name, (entity, owner, key) in TABLES.items() if entity not in (None, "*") and key == owner
}


class RefusedError(Exception):
    """The archive is not as the specification has it; the message begins with the problem code."""


class Archive:
    """A committed archive of either form; a delta with what is in it, or with its base as what they make together."""

    def __init__(
        self, path: str | os.PathLike[str], base: str | os.PathLike[str] | None = None, at: int | None = None
    ) -> None:
        self._path, self._base = Path(path), None if base is None else Archive(base)
        self._zip = None if self._path.is_dir() else zipfile.ZipFile(self._path)
        self._older: set[str] = set()
        data = self._bytes("manifest.json")
        self.manifest = self._checked(data)
        self.archive_id = hashlib.sha256(data).hexdigest()
        here = self.manifest.get("delta", {"export": 0})["export"]  # members of exports up to it lie elsewhere
        self._members = {member["path"]: member for member in self.manifest["members"] if member["export"] > here}
        copy = f"manifests/{self.manifest['exports'][-1]['number']:04d}.json"
        if self._bytes(copy) != data:
            raise RefusedError(f"E005: {copy} differs from manifest.json")
        self._check_listing(copy, data)
        if self._base is not None:
            self._join(self._base)
        if at is not None and at < self.manifest["exports"][-1]["number"]:
            self._go_back(at)
        self._rows: dict[str, list[Row]] = {}
        self._packs: dict[str, bytes] = {}
        self._held = {kind: self._holders(*identity) for kind, identity in IDENTITY.items()}
        self._held["source"] = self._holders("gaps", ("owner_id",), owner_kind="source")
        for export in self.manifest["exports"]:
            for kind, owner_id in export.get("settled", []):  # since 1.2
                self._held.setdefault(kind, {})[owner_id] = export["number"]

    def _bytes(self, name: str) -> bytes:
        """Read a member whole (section 3); of a single file, section 11."""
        if self._base is not None and name in self._older:
            return self._base._bytes(name)
        try:
            if self._zip is None:
                return (self._path / name).read_bytes()
            info = self._zip.getinfo(name)
            if info.compress_type != zipfile.ZIP_STORED or info.flag_bits:
                raise RefusedError(f"E023: {name} is not stored")
            return self._zip.read(info)
        except (KeyError, FileNotFoundError) as error:
            raise RefusedError(f"E010: {name} is missing") from error

    def _join(self, base: Archive) -> None:
        """Become what this delta makes with its base (section 18)."""
        delta = self.manifest.pop("delta")
        if base.archive_id != delta["base"]:
            raise RefusedError(f"the base of this delta is {delta['base']}, not {base.archive_id}")
        copy = f"manifests/{delta['export']:04d}.json"
        older = [m for m in self.manifest["members"] if m["export"] <= delta["export"] and m["path"] != copy]
        self._older = {copy, *(member["path"] for member in older)}
        exports = self.manifest["exports"][: delta["export"]]
        if (older, exports) != (base.manifest["members"], base.manifest["exports"]):
            raise RefusedError("E007: the delta states other members or exports of its base")
        self.manifest["required_features"].remove("delta")
        self.manifest["format"]["minor"] = delta["minor"]
        self.archive_id = hashlib.sha256(_canonical(self.manifest)).hexdigest()
        self._members = {member["path"]: member for member in self.manifest["members"]}

    def _go_back(self, export: int) -> None:
        """Become the archive as it was after an export (section 19)."""
        data = self.member(f"manifests/{export:04d}.json")
        newest, self.manifest = self.manifest, self._checked(data)
        if self.manifest["exports"] != newest["exports"][:export]:
            raise RefusedError("the newest manifest states other exports")
        if any(self._members.get(member["path"]) != member for member in self.manifest["members"]):
            raise RefusedError("the newest manifest lists other members")
        self.archive_id = hashlib.sha256(data).hexdigest()
        self._members = {member["path"]: member for member in self.manifest["members"]}

    def _checked(self, data: bytes) -> dict[str, Any]:
        """Check what must be checked before anything else is believed (section 12), then the canonical form."""
        document: dict[str, Any] = json.loads(data)
        if document["format"]["name"] != "mlflow-archive" or document["format"]["major"] != 1:
            raise RefusedError(f"E003: {document['format']}")
        if unknown := set(document["required_features"]) - KNOWN_FEATURES:
            raise RefusedError(f"E004: {sorted(unknown)}")
        if ("delta" in document) != ("delta" in document["required_features"]):
            raise RefusedError("E002: the key and the feature `delta` go together")
        if _canonical(document) != data:
            raise RefusedError("E002: the manifest is not canonical")
        lists = [document["required_features"], document["optional_features"]]
        if any(names != sorted(names) for names in [*lists, [member["path"] for member in document["members"]]]):
            raise RefusedError("E002: a list is not sorted")
        return document

    def _check_listing(self, copy: str, data: bytes) -> None:
        expected = {path: member["sha256"] for path, member in self._members.items()}
        expected[copy] = hashlib.sha256(data).hexdigest()
        lines = "".join(f"{expected[path]}  {path}\n" for path in sorted(expected))
        if self._bytes("checksums.sha256") != lines.encode():
            raise RefusedError("E014: checksums.sha256")

    def member(self, name: str) -> bytes:
        """Return a member whose size and SHA-256 are those of the manifest."""
        data = self._bytes(name)
        if len(data) != self._members[name]["size"]:
            raise RefusedError(f"E011: {name}")
        if hashlib.sha256(data).hexdigest() != self._members[name]["sha256"]:
            raise RefusedError(f"E012: {name}")
        return data

    def newer_than_their_tool(self) -> list[int]:
        """Return the exports whose source was of a schema that the tool did not know (section 4, since 1.1)."""
        return [export["number"] for export in self.manifest["exports"] if export["source"].get("newer_schema")]

    def _parts(self, table: str, only: str = "") -> Iterator[tuple[int, list[Row]]]:
        """Yield export number and rows of each part of a table, or of one (section 7); times as integers."""
        for name, member in sorted(self._members.items()):
            if member["kind"] == "table" and member["table"] == table and only in ("", name):
                rows = pq.ParquetFile(io.BytesIO(self.member(name)), page_checksum_verification=True).read()
                for index, field in enumerate(rows.schema):
                    if pa.types.is_timestamp(field.type):
                        rows = rows.set_column(index, field.name, rows.column(index).cast(pa.int64()))
                if rows.num_rows != member["rows"]:
                    raise RefusedError(f"E032: {name}")
                yield member["export"], rows.to_pylist()

    def _holders(self, table: str, owner: tuple[str, ...], **equal: str) -> dict[str, int]:
        """Return for each entity the newest export that holds it (section 8)."""
        newest: dict[str, int] = {}
        for export, rows in self._parts(table):
            for row in rows:
                if any(row[name] != value for name, value in equal.items()):
                    continue
                identity = _entity_id(row, owner)
                newest[identity] = max(export, newest.get(identity, 0))
        return newest

    def rows(self, table: str) -> list[Row]:
        """Return the rows of a table that count (section 8)."""
        if table not in self._rows:
            self._rows[table] = self._counting_rows(table)
        return self._rows[table]

    def _counting_rows(self, table: str) -> list[Row]:
        entity, owner, key = TABLES[table]
        found: list[Row] = []
        for export, rows in self._parts(table):
            for row in rows:
                held = self._held.get(row["owner_kind"] if entity == "*" else entity or "", {})
                if held.get(_entity_id(row, owner), 0) <= export:
                    found.append(row)
        if key is None:
            return found
        unique = {tuple(row[column] for column in key): row for row in reversed(found)}
        return list(unique.values())[::-1]

    def unknown_tables(self) -> dict[str, list[Row]]:
        """Return the rows that count of tables which tables.md does not know, by their names (sections 4, 7 and 8)."""
        newest: dict[str, dict[str, Any]] = {}
        for member in sorted(self._members.values(), key=lambda member: member["export"]):
            if (table := member.get("table", "")).startswith("unknown:"):
                if newest.get(table, {}).get("export") == member["export"]:
                    raise RefusedError(f"E031: {table} has two parts in an export")
                newest[table] = member
        found = {}
        for table, member in newest.items():
            [(_, rows)] = self._parts(table, member["path"])
            names = [name for name, _ in member["columns"]]
            found[table.removeprefix("unknown:")] = [{name: row.get(name) for name in names} for row in rows]
        return found

    def artifacts(self, run_id: str) -> list[Row]:
        """Return the artifact rows of a run."""
        return [row for row in self.rows("artifacts") if row["owner_kind"] == "run" and row["owner_id"] == run_id]

    def blob(self, digest: str) -> bytes:
        """Return the bytes of a blob (section 10)."""
        extents = sorted((row for row in self.rows("blobs") if row["digest"] == digest), key=lambda r: r["raw_offset"])
        data = b""
        for extent in extents:
            if extent["raw_offset"] != len(data):
                raise RefusedError(f"E043: {digest}")
            frame = self._frame(extent)
            end = extent["offset_in_frame"] + extent["raw_size"]
            if end > len(frame):
                raise RefusedError(f"E044: {digest}")
            data += frame[extent["offset_in_frame"] : end]
        if not extents or hashlib.sha256(data).hexdigest() != digest:
            raise RefusedError(f"E042: {digest}" if extents else f"E050: {digest}")
        return data

    def _frame(self, extent: Row) -> bytes:
        if extent["pack"] not in self._packs:
            self._packs[extent["pack"]] = self.member(extent["pack"])
        pack = self._packs[extent["pack"]]
        return _decode(pack[extent["frame_offset"] : extent["frame_offset"] + extent["frame_size"]])

    def labelled_blobs(self) -> dict[str, bytes]:
        """Return every blob that lies in the packs, without the blob index: from label to label (section 9)."""
        pieces: dict[str, dict[int, bytes]] = {}
        for name in (name for name, member in self._members.items() if member["kind"] == "pack"):
            pack, position = self.member(name), 0
            while position < len(pack):
                magic, size, label, version, _, _, frame_size, _, count = struct.unpack_from(
                    "<II4sBBHIII", pack, position
                )
                crc_at = position + 8 + size - 4
                if magic != 0x184D2A5A or label != b"MLFA" or version != 1 or size != 24 + 44 * count:
                    raise RefusedError(f"E041: {name} at byte {position}")
                if struct.unpack_from("<I", pack, crc_at)[0] != zlib.crc32(pack[position + 8 : crc_at]):
                    raise RefusedError(f"E041: {name} at byte {position}")
                raw, at = _decode(pack[crc_at + 4 : crc_at + 4 + frame_size]), 0
                for number in range(count):
                    digest, raw_offset, length = struct.unpack_from("<32sQI", pack, position + 28 + 44 * number)
                    pieces.setdefault(digest.hex(), {})[raw_offset] = raw[at : at + length]
                    at += length
                position = crc_at + 4 + frame_size
        return {digest: b"".join(found[offset] for offset in sorted(found)) for digest, found in pieces.items()}

    def close(self) -> None:
        if self._zip is not None:
            self._zip.close()


def _canonical(document: dict[str, Any]) -> bytes:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.encode()


def _entity_id(row: Row, owner: tuple[str, ...]) -> str:
    """Return what `owner_id` calls the entity (section 8)."""
    if owner == ("name", "workspace", "organization"):
        row = {**row, "name": f"@{row['organization']}/{row['name']}" if row["organization"] else row["name"]}
    if owner[:2] == ("name", "workspace"):
        return row["name"] if row["workspace"] == "default" else f"{row['workspace']}/{row['name']}"
    return "\x1f".join(row[column] for column in owner)


def _decode(frame: bytes) -> bytes:
    parameters = zstandard.get_frame_parameters(frame)
    if not parameters.has_checksum or parameters.content_size > 4 * 1024 * 1024:
        raise RefusedError("E045: a frame without checksum, or over the limit")
    raw: bytes = zstandard.ZstdDecompressor(max_window_size=2**27).decompress(frame)
    if len(raw) != parameters.content_size:
        raise RefusedError("E040: a frame has another size than it states")
    return raw
