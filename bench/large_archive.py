"""Write an archive of many runs with long histories with the writer itself: `large_archive.py ARCHIVE RUNS POINTS`.

Each run has POINTS points of five metrics, ten params, three tags and one small artifact, in one of a hundred
experiments. For `make bench-inspection`.
"""

from __future__ import annotations

import hashlib
import io
import os
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pyarrow as pa

from mlflow_archive.flow.chunk import ArtifactFile, Chunk, Known, Shard
from mlflow_archive.flow.copy import copy
from mlflow_archive.flow.report import Progress
from mlflow_archive.flow.source import SourceFacts
from mlflow_archive.kinds import TABLES, TIMESTAMP
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.writer.export import ArchiveSink

SHARD = 100
EXPERIMENTS = 100
KEYS = ("loss", "accuracy", "val/loss", "val/accuracy", "lr")
START_MS = 1_760_000_000_000


def run_id(number: int) -> str:
    """Return the id of a run by its number."""
    return hashlib.md5(b"%d" % number, usedforsecurity=False).hexdigest()


class LargeSource:
    """A source of ``runs`` runs with ``points`` points each."""

    def __init__(self, runs: int, points: int) -> None:
        self._runs, self._points = runs, points

    def facts(self) -> SourceFacts:
        return SourceFacts(kind="made", uri="made:large")

    def plan(self, selection: Selection, progress: Progress) -> Iterator[Shard]:
        yield Shard(name="experiments")
        for at in range(0, self._runs, SHARD):
            yield Shard(name=f"runs {at}", stage=1, weight=SHARD, payload=range(at, min(at + SHARD, self._runs)))

    def read(self, shard: Shard, known: Known) -> Iterator[Chunk]:
        if not isinstance(shard.payload, range):
            rows = [{"experiment_id": str(n), "name": f"e{n}", "lifecycle_stage": "active"} for n in range(EXPERIMENTS)]
            yield Chunk(tables={"experiments": pa.Table.from_pylist(rows, schema=TABLES["experiments"].schema)})
            return
        ids = [(n, run_id(n)) for n in shard.payload]
        rows_of = {"runs": _runs(ids), "params": _params(ids), "tags": _tags(ids)}
        tables = {name: pa.Table.from_pylist(rows, schema=TABLES[name].schema) for name, rows in rows_of.items()}
        tables["metrics"] = _metrics(ids, self._points)
        artifacts = [
            ArtifactFile(owner_kind="run", owner_id=i, path="log.txt", size=None, open=partial(io.BytesIO, _log(n)))
            for n, i in ids
        ]
        yield Chunk(tables=tables, artifacts=artifacts)

    def close(self) -> None:
        """Nothing is open."""


def _log(number: int) -> bytes:
    """Return a line, but of the fifth run 1 MB that does not compress."""
    return os.urandom(1_000_000) if number == 5 else b"%d\n" % number


def _runs(ids: Sequence[tuple[int, str]]) -> list[dict[str, object]]:
    return [
        {
            "run_id": i,
            "experiment_id": str(n % EXPERIMENTS),
            "lifecycle_stage": "active",
            "status": "FINISHED",
            "run_name": f"r{n}",
            "start_time": START_MS + n * 1000,
            "end_time": START_MS + n * 1000 + 500,
        }
        for n, i in ids
    ]


def _params(ids: Sequence[tuple[int, str]]) -> list[dict[str, object]]:
    rates = ("0.1", "0.01", "0.001")
    found: list[dict[str, object]] = [{"run_id": i, "key": "lr", "value": rates[n % 3]} for n, i in ids]
    return found + [{"run_id": i, "key": f"p{k}", "value": str(n * k)} for n, i in ids for k in range(9)]


def _tags(ids: Sequence[tuple[int, str]]) -> list[dict[str, object]]:
    return [{"run_id": i, "key": key, "value": f"{key} {n % 7}"} for n, i in ids for key in ("team", "stage", "note")]


def _metrics(ids: Sequence[tuple[int, str]], points: int) -> pa.Table:
    steps = points // len(KEYS)
    count = len(ids) * len(KEYS) * steps
    return (
        pa.table(
            {
                "run_id": pa.array([i for _, i in ids for _ in range(len(KEYS) * steps)], pa.string()),
                "key": pa.array([key for _ in ids for key in KEYS for _ in range(steps)], pa.string()),
                "step": pa.array(list(range(steps)) * (len(ids) * len(KEYS)), pa.int64()),
                "timestamp": pa.array(
                    [START_MS + n * 1000 + s for n, _ in ids for _ in KEYS for s in range(steps)], pa.int64()
                ).cast(TIMESTAMP),
                "value": pa.array(
                    [(n % 97 + k) / (s + 10) for n, _ in ids for k in range(len(KEYS)) for s in range(steps)],
                    pa.float64(),
                ),
                **{
                    name: pa.nulls(count, TABLES["metrics"].schema.field(name).type)
                    for name in TABLES["metrics"].column_names[5:]
                },
            },
        )
        .select(TABLES["metrics"].column_names)
        .cast(TABLES["metrics"].schema)
    )


def main() -> None:
    path, runs, points = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    report = copy(LargeSource(runs, points), ArchiveSink(path, tool="bench", clock_ms=lambda: START_MS), jobs=2)
    print(report.counts)


if __name__ == "__main__":
    main()
