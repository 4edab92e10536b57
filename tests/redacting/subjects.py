"""Archives to take something out of: one with a text in every column, one of two people, and their bytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from zstandard import ZstdDecompressor

from mlflow_archive.flow.chunk import Chunk
from mlflow_archive.flow.copy import copy
from mlflow_archive.flow.source import SourceFacts
from mlflow_archive.kinds import KINDS, TABLES, TIMESTAMP, Column, Table
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.writer.export import ArchiveSink
from tests.support.chunks import ChunkSource, artifact, table

MARK = "planted-"
CLOCK_MS = 1_760_000_000_000


def write(path: Path, *shards: Chunk, facts: SourceFacts | None = None, selection: Selection | None = None) -> Path:
    """Write an archive of some chunks, each in a stage of its own."""
    facts = facts or SourceFacts(kind="rest", uri="http://source:5000", mlflow_version="3.17.0")
    source = ChunkSource(*((stage, [chunk]) for stage, chunk in enumerate(shards)), facts=facts)
    copy(source, ArchiveSink(path, tool="test", clock_ms=lambda: CLOCK_MS), selection)
    return path


def _cell(table_of: Table, column: Column) -> Any:
    if column.name in table_of.owner and column.name != "experiment_id":
        return f"{MARK}{table_of.entity}"
    if column.name.endswith("experiment_id"):
        return f"{MARK}experiment"
    if column.type == pa.string():
        return f"{MARK}{table_of.name}.{column.name}"
    return True if column.type == pa.bool_() else 1_000


def planted() -> list[Chunk]:
    """Return a chunk a kind, with one row in each table and a text of its own in each column for texts."""
    chunks = []
    for kind in KINDS.values():
        tables = {}
        for known in TABLES.values():
            if known.entity == kind.name:
                tables[known.name] = table(
                    known.name, [{column.name: _cell(known, column) for column in known.columns}]
                )
        for name in ("gaps",) if kind.name == "run" else ():
            row = {"owner_id": f"{MARK}run", "owner_kind": "run", "path": f"{MARK}gap.path", "code": "G203"}
            tables[name] = table(name, [{**row, "reason": f"{MARK}gap.reason"}])
        files = [artifact(f"{MARK}run", f"{MARK}artifact.path", b"kept")] if kind.name == "run" else []
        chunks.append(Chunk(tables=tables, artifacts=files))
    return chunks


def every_byte(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield all that an archive holds, by member: its bytes, and what they are once they are decompressed."""
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    for file in files:
        yield file.name, file.read_bytes()
    with open_archive(path) as archive:
        for member in archive.manifest.members:
            data = archive.open_member(member).read_at(0, member.size)
            if member.kind == "pack":
                for frame in ZstdDecompressor().read_to_iter(data, read_size=len(data)) if data else ():
                    yield member.path, frame
                with ZstdDecompressor().stream_reader(data, read_across_frames=True) as frames:
                    yield member.path, frames.read()
            elif member.kind == "table":
                with pq.ParquetFile(pa.BufferReader(data)) as part:
                    yield member.path, repr(part.metadata.to_dict()).encode()
                    for row in part.read().cast(_wide(part.schema_arrow)).to_pylist():
                        yield member.path, "\n".join(str(value) for value in row.values()).encode()


def _wide(schema: pa.Schema) -> pa.Schema:
    return pa.schema([(field.name, pa.int64() if field.type == TIMESTAMP else field.type) for field in schema])


def rows_of(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of all tables that have some, but for the places of blobs and what fingerprints do not see."""
    with open_archive(path) as archive:
        return {
            name: archive.table(name).select([c for c in known.column_names if c != "contents"]).to_pylist()
            for name, known in TABLES.items()
            if name != "blobs" and archive.table(name).num_rows
        }
