"""Small archives made step by step, so that a fault can be put in at any depth with everything above it made right.

Steps: rows → tables → members (parts, packs, README.txt) → manifest → files → a directory or a single file. An edit
of one step sees what it holds and changes it in place; sizes, hashes and ranges of later steps follow from it.
"""

from __future__ import annotations

import hashlib
import io
import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from mlflow_archive.format import zipfile64
from mlflow_archive.format.manifest import canonical_json
from mlflow_archive.format.packs import Extent, Label, compressor, encode_label
from mlflow_archive.kinds import TABLES

Row = dict[str, Any]
Files = dict[str, bytes]

PACK: Final = "packs/0001-00000.zst"
COPY: Final = "manifests/0001.json"
HELLO, WORLD, EMPTY = b"hello, artifact\n", b"another artifact\n", b""
RUN_A, RUN_B = "a" * 32, "b" * 32


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def part(table: str) -> str:
    return f"tables/{table}/0001-00000.parquet"


def keep(_: Any) -> None:
    """An edit that changes nothing."""


@dataclass(kw_only=True)
class Frame:
    """A frame to be: its blobs, or ``extents`` where these are not whole blobs; ``encoded`` replaces the frame."""

    blobs: list[bytes] = field(default_factory=list)
    extents: list[tuple[bytes, int, bytes]] = field(default_factory=list)
    encoded: bytes | None = None
    label: bytes | None = None

    def pieces(self) -> list[tuple[bytes, int, bytes]]:
        """Return (digest, offset in the blob, bytes) of each extent."""
        return self.extents or [(hashlib.sha256(blob).digest(), 0, blob) for blob in self.blobs]

    def raw(self) -> bytes:
        return b"".join(data for _, _, data in self.pieces())


@dataclass(kw_only=True)
class Draft:
    """The edits of each step, in the order they are made."""

    frames: Callable[[list[Frame]], object] = keep
    rows: Callable[[dict[str, list[Row]]], object] = keep
    tables: Callable[[dict[str, pa.Table]], object] = keep
    members: Callable[[Files], object] = keep
    manifest: Callable[[Row], object] = keep
    encode: Callable[[Row], bytes] = canonical_json
    files: Callable[[Files], object] = keep


def base_rows() -> dict[str, list[Row]]:
    """Return an experiment with two runs: params, points and three artifacts."""
    time = 1_700_000_000_000
    run = {"experiment_id": "1", "status": "FINISHED", "lifecycle_stage": "active", "start_time": time}
    files = [(RUN_A, "a b.txt", HELLO), (RUN_A, "empty", EMPTY), (RUN_B, "dir/world.txt", WORLD)]
    return {
        "experiments": [{"experiment_id": "1", "name": "one", "lifecycle_stage": "active"}],
        "runs": [{"run_id": RUN_A, "run_name": "first", **run}, {"run_id": RUN_B, "run_name": "second", **run}],
        "params": [
            {"run_id": run_id, "key": key, "value": value}
            for run_id in (RUN_A, RUN_B)
            for key, value in (("depth", "3"), ("lr", "0.1"))
        ],
        "metrics": [
            {"run_id": RUN_A, "key": "loss", "step": step, "timestamp": time + step, "value": value}
            for step, value in ((-1, float("nan")), (0, float("inf")), (1, 0.25))
        ],
        "artifacts": [
            {"owner_id": run_id, "owner_kind": "run", "path": path, "size": len(data), "digest": sha(data)}
            for run_id, path, data in files
        ],
    }


def base_frames() -> list[Frame]:
    return [Frame(blobs=[HELLO, EMPTY]), Frame(blobs=[WORLD])]


def compress(raw: bytes) -> bytes:
    frame: bytes = compressor(3).compress(raw)
    return frame


def encode_pack(frames: list[Frame], pack: str = PACK) -> tuple[bytes, list[Row]]:
    """Return the bytes of a pack and the rows of the blob index."""
    data, index = b"", []
    for frame in frames:
        encoded = compress(frame.raw()) if frame.encoded is None else frame.encoded
        extents = tuple(Extent(digest=d, raw_offset=o, size=len(b)) for d, o, b in frame.pieces())
        label = Label(frame_size=len(encoded), raw_size=len(frame.raw()), extents=extents)
        data += encode_label(label) if frame.label is None else frame.label
        offset = 0
        for digest, raw_offset, piece in frame.pieces():
            index.append(
                {
                    "digest": digest.hex(),
                    "raw_offset": raw_offset,
                    "raw_size": len(piece),
                    "pack": pack,
                    "frame_offset": len(data),
                    "frame_size": len(encoded),
                    "offset_in_frame": offset,
                }
            )
            offset += len(piece)
        data += encoded
    return data, sorted(index, key=lambda row: (row["digest"], row["raw_offset"]))


def make_table(name: str, rows: list[Row]) -> pa.Table:
    """Return a table with the columns that have values; others may be absent if they may be null."""
    fields = [f for f in TABLES[name].schema if not f.nullable or any(row.get(f.name) is not None for row in rows)]
    return pa.Table.from_pylist(rows, schema=pa.schema(fields))


def encode_part(
    table: pa.Table,
    *,
    checksums: bool = True,
    statistics: bool | list[str] = True,
    dictionary: bool = False,
    group_rows: int | None = None,
) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(
        table,
        buffer,
        row_group_size=group_rows,
        version="2.6",
        compression="zstd",
        write_page_checksum=checksums,
        write_statistics=statistics,
        store_schema=False,
        use_dictionary=dictionary,
    )
    return buffer.getvalue()


def member_entry(path: str, data: bytes, tables: Mapping[str, pa.Table], export: int = 1) -> Row:
    """Return what the manifest says of a member."""
    entry: Row = {"path": path, "export": export, "size": len(data), "sha256": sha(data)}
    folder, *rest = path.split("/")
    if folder == "packs":
        return {**entry, "kind": "pack"}
    if folder == "manifests":
        return {**entry, "kind": "manifest"}
    if folder != "tables":
        return {**entry, "kind": "text"}
    table = tables[path]
    keys = table[TABLES[rest[0]].key[0]].to_pylist() if rest[0] in TABLES else ["", ""]
    known = [key for key in keys if key is not None]
    if data.endswith(b"PAR1"):
        entry["footer_sha256"] = sha(data[-8 - int.from_bytes(data[-8:-4], "little") :])
    return {
        **entry,
        "kind": "table",
        "table": rest[0],
        "rows": table.num_rows,
        "key_min": min(known),
        "key_max": max(known),
    }


def export_entry(number: int, counts: Mapping[str, int]) -> Row:
    source = {"kind": "vector", "uri": "vector:", "extra": {}}
    fixed = {"tool": "vectors", "created_ms": 1_700_000_000_000, "selection": {}, "gaps": counts.get("gaps", 0)}
    return {"number": number, "source": source, "counts": dict(counts), **fixed}


def checksums(document: Row, copy: str, data: bytes) -> bytes:
    listed = {member["path"]: member["sha256"] for member in document["members"]} | {copy: sha(data)}
    return "".join(f"{listed[path]}  {path}\n" for path in sorted(listed)).encode()


def build(draft: Draft) -> Files:
    """Return the files of an archive of one export."""
    frames, rows = base_frames(), base_rows()
    draft.frames(frames)
    pack, rows["blobs"] = encode_pack(frames)
    draft.rows(rows)
    tables = {part(name): make_table(name, found) for name, found in rows.items() if found}
    draft.tables(tables)
    members: Files = {"README.txt": b"A test vector of the format mlflow-archive; see spec/format.md.\n"}
    members |= {path: encode_part(table) for path, table in tables.items()}
    if pack:
        members[PACK] = pack
    draft.members(members)
    document: Row = {
        "format": {"name": "mlflow-archive", "major": 1, "minor": 0},
        "required_features": [],
        "optional_features": [],
        "exports": [export_entry(1, {path.split("/")[1]: table.num_rows for path, table in tables.items()})],
        "members": [member_entry(path, members[path], tables) for path in sorted(members)],
    }
    draft.manifest(document)
    data = draft.encode(document)
    files = {**members, COPY: data, "checksums.sha256": checksums(document, COPY, data), "manifest.json": data}
    draft.files(files)
    return files


STEP: Final = {"archive_id": "ab" * 32, "first": 2, "number": 3, "made_ms": 1_764_000_000_000, "tool": "hand 1"}
"""A compaction that an export went through."""


def build_second(
    draft: Draft,
    rows: Mapping[str, list[Row]],
    *,
    settled: list[list[str]] | None = None,
    compacted: list[dict[str, Any]] | None = None,
    minor: int = 0,
) -> Files:
    """Return the files of an archive whose second export brings ``rows``, without blobs, and states ``minor``."""
    files = build(draft)
    tables = {f"tables/{name}/0002-00000.parquet": make_table(name, found) for name, found in rows.items()}
    parts = {path: encode_part(table) for path, table in tables.items()}
    document = json.loads(files["manifest.json"])
    counts = {path.split("/")[1]: table.num_rows for path, table in tables.items()}
    document["exports"].append(export_entry(2, counts))
    document["format"]["minor"] = minor
    if compacted is not None:
        document["exports"][1]["compacted"] = compacted
    if settled is not None:
        document["exports"][1]["settled"] = settled
        document["format"]["minor"] = 2
    document["members"].append(member_entry(COPY, files[COPY], {}))
    document["members"] += [member_entry(path, data, tables, 2) for path, data in parts.items()]
    document["members"].sort(key=lambda member: member["path"])
    data = canonical_json(document)
    copy = "manifests/0002.json"
    rest = {copy: data, "checksums.sha256": checksums(document, copy, data), "manifest.json": data}
    return {**files, **parts, **rest}


def in_order(files: Files) -> list[tuple[str, bytes]]:
    """Return files in the order of a single file before version 1.3."""
    copy = max((name for name in files if name.startswith("manifests/")), default=COPY)
    first = [name for name in ("README.txt", "manifest.json", "checksums.sha256", copy) if name in files]
    return [(name, files[name]) for name in first + sorted(files.keys() - set(first))]


def in_order_of_making(files: Files) -> list[tuple[str, bytes]]:
    """Return files in the order of a single file since version 1.3."""
    *older, newest = sorted(name for name in files if name.startswith("manifests/"))
    by_export = sorted(sorted(files), key=lambda name: name.split("/")[-1][:4], reverse=True)
    listed = [name for folder in ("packs/", "tables/") for name in by_export if name.startswith(folder)]
    names = [*listed, *reversed(older), "README.txt", "checksums.sha256", newest, "manifest.json"]
    return [(name, files[name]) for name in names]


def zipped(
    files: list[tuple[str, bytes]],
    *,
    crc: Mapping[str, int] | None = None,
    gap_before: Mapping[str, int] | None = None,
    gap_at_end: int = 0,
) -> bytes:
    """Return a single file; ``crc`` states others than the right ones, ``gap_before`` puts zeros before a
    member, ``gap_at_end`` behind the last."""
    data, entries = b"", []
    for name, content in files:
        data += bytes((gap_before or {}).get(name, 0))
        code = (crc or {}).get(name, zlib.crc32(content))
        header = zipfile64.local_header(name, len(content), code, len(data))
        start = len(data)
        data += header
        entries.append(
            zipfile64.Entry(name=name, size=len(content), crc32=code, header_offset=start, data_offset=len(data))
        )
        data += content
    data += bytes(gap_at_end)
    return data + zipfile64.central_directory(entries, len(data))


def write_directory(files: Files, path: Path) -> None:
    for name, data in files.items():
        target = path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
