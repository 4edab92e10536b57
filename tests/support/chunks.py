"""Chunks made of plain Python values, for tests of sinks. Times are ms since the epoch."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

import pyarrow as pa

from mlflow_archive.flow.chunk import ArtifactFile, Chunk, Known, Shard
from mlflow_archive.flow.report import Progress
from mlflow_archive.flow.source import SourceFacts
from mlflow_archive.kinds import TABLES
from mlflow_archive.selecting.selection import Selection

FACTS = SourceFacts(
    kind="archive", uri="http://source:5000", mlflow_version="2.19.0", extra={"exported_ms": "1655007510123"}
)

Rows = Sequence[Mapping[str, Any]]


def table(name: str, rows: Rows) -> pa.Table:
    """Return a table of the format from dicts; a column that a row leaves out is null."""
    schema = TABLES[name].schema
    columns = {field.name: [row.get(field.name) for row in rows] for field in schema}
    return pa.table({name: pa.array(columns[name], schema.field(name).type) for name in schema.names}, schema=schema)


def artifact(owner_id: str, path: str, data: bytes, *, kind: str = "run") -> ArtifactFile:
    """Return an artifact, of a run by default, whose bytes lie in memory."""

    @contextmanager
    def opened() -> Iterator[BinaryIO]:
        yield io.BytesIO(data)

    return ArtifactFile(owner_kind=kind, owner_id=owner_id, path=path, size=len(data), open=opened)


def experiment(experiment_id: str, name: str, **columns: Any) -> dict[str, Any]:
    """Return a row of ``experiments``."""
    return {
        "experiment_id": experiment_id,
        "name": name,
        "artifact_location": f"s3://old/{experiment_id}",
        "lifecycle_stage": "active",
        "creation_time": 1600000000000,
        "last_update_time": 1600000000001,
        **columns,
    }


def run(run_id: str, experiment_id: str, **columns: Any) -> dict[str, Any]:
    """Return a row of ``runs`` that has finished."""
    return {
        "run_id": run_id,
        "experiment_id": experiment_id,
        "run_name": f"name of {run_id[:4]}",
        "user_id": "ada",
        "status": "FINISHED",
        "start_time": 1655004878844,
        "end_time": 1655004883611,
        "lifecycle_stage": "active",
        "artifact_uri": f"s3://old/{experiment_id}/{run_id}/artifacts",
        **columns,
    }


def points(run_id: str, key: str, values: Sequence[float]) -> list[dict[str, Any]]:
    """Return rows of ``metrics``: one point a step, one a second."""
    return [
        {"run_id": run_id, "key": key, "step": step, "timestamp": 1655004879000 + 1000 * step, "value": value}
        for step, value in enumerate(values)
    ]


def pairs(run_id: str, values: Mapping[str, str | None]) -> list[dict[str, Any]]:
    """Return rows of ``params`` or ``tags``."""
    return [{"run_id": run_id, "key": key, "value": value} for key, value in values.items()]


def chunk(artifacts: Sequence[ArtifactFile] = (), complete: bool = True, **tables: Rows) -> Chunk:
    """Return a chunk of tables by name."""
    made = {name: table(name, rows) for name, rows in tables.items()}
    return Chunk(tables=made, artifacts=artifacts, complete=complete)


class ChunkSource:
    """A source of shards that are in memory; each is a stage and its chunks."""

    def __init__(self, *shards: tuple[int, Sequence[Chunk]], facts: SourceFacts = FACTS) -> None:
        self._shards = shards
        self._facts = facts

    def facts(self) -> SourceFacts:
        return self._facts

    def plan(self, selection: Selection, progress: Progress) -> Iterator[Shard]:
        for number, (stage, chunks) in enumerate(self._shards):
            yield Shard(name=str(number), stage=stage, payload=chunks)

    def read(self, shard: Shard, known: Known) -> Iterator[Chunk]:
        assert isinstance(shard.payload, list)
        yield from shard.payload

    def close(self) -> None: ...
