"""Read a source to its end and hold what came as plain rows."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from mlflow_archive.flow.chunk import ArtifactFile, Chunk, Known, Shard, nothing_known
from mlflow_archive.flow.copy import chunks_of
from mlflow_archive.flow.report import Quiet
from mlflow_archive.flow.source import Source
from mlflow_archive.kinds import DATASET, KINDS, TABLES
from mlflow_archive.selecting.selection import Selection


@dataclass
class Read:
    """Everything that was read, as plain rows with times in milliseconds."""

    tables: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {name: [] for name in TABLES})
    artifacts: list[ArtifactFile] = field(default_factory=list)
    shards: list[Shard] = field(default_factory=list)
    chunks: list[Chunk] = field(default_factory=list)
    stages: list[tuple[int, frozenset[str]]] = field(default_factory=list)
    """Of each chunk its stage and the kinds of which it has rows of their own."""

    def rows(self, table: str, **equal: object) -> list[dict[str, Any]]:
        return [row for row in self.tables[table] if all(row[name] == value for name, value in equal.items())]

    def gaps(self) -> set[tuple[str, str, str]]:
        return {(row["owner_id"], row["path"], row["code"]) for row in self.tables["gaps"]}

    def too_late(self) -> set[tuple[int, str, str]]:
        """Return stage, kind and what that refers to where this does not come in an earlier stage."""
        late = set()
        for stage, kinds in self.stages:
            for kind in kinds:
                for other in KINDS[kind].refers:
                    others = (number for number, found in self.stages if other in found)
                    together = DATASET in (kind, other) and other in kinds
                    if any(number > stage or (number == stage and not together) for number in others):
                        late.add((stage, kind, other))
        return late

    def paths(self, run_id: str) -> dict[str, int | None]:
        return {file.path: file.size for file in self.artifacts if file.owner_id == run_id}


def read_source(source: Source, selection: Selection | None = None, known: Known = nothing_known) -> Read:
    """Read what is selected, check each table's schema, and close the source."""
    source.facts()
    result = Read()
    for shard in source.plan(selection or Selection(), Quiet()):
        result.shards.append(shard)
        for chunk in chunks_of(source, shard, known):
            result.chunks.append(chunk)
            result.artifacts += chunk.artifacts
            owners = {TABLES[name].entity or "" for name, table in chunk.tables.items() if table.num_rows}
            result.stages.append((shard.stage, frozenset(owners & KINDS.keys())))
            for name, table in chunk.tables.items():
                assert table.schema == TABLES[name].schema
                table.validate(full=True)
                assert all(table.column(f.name).null_count == 0 for f in table.schema if not f.nullable)
                result.tables[name] += plain_rows(table)
    source.close()
    return result


def plain_rows(table: Any) -> list[dict[str, Any]]:
    """Return the rows of a table, times in milliseconds."""
    for index, column in enumerate(table.schema):
        if pa.types.is_timestamp(column.type):
            table = table.set_column(index, column.name, table.column(index).cast(pa.int64()))
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def content(file: ArtifactFile) -> bytes:
    """Return the bytes of an artifact."""
    with file.open() as stream:
        return stream.read()


def bits(value: float) -> bytes:
    """Make floats comparable: any NaN equals any other, -0.0 is not 0.0."""
    return b"nan" if math.isnan(value) else struct.pack("<d", value)
