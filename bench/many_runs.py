"""Write an archive of many small runs with the writer itself: `many_runs.py ARCHIVE RUNS`. For `make bench`."""

from __future__ import annotations

import hashlib
import io
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pyarrow as pa

from mlflow_archive.flow.chunk import ArtifactFile, Chunk, Known, Shard
from mlflow_archive.flow.copy import copy
from mlflow_archive.flow.report import Progress
from mlflow_archive.flow.source import SourceFacts
from mlflow_archive.kinds import TABLES
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.writer.export import ArchiveSink

SHARD = 100
POINTS = 20


class ManyRuns:
    """A source of ``count`` runs in one experiment, each with ten params, twenty points and one artifact."""

    def __init__(self, count: int) -> None:
        self._count = count

    def facts(self) -> SourceFacts:
        return SourceFacts(kind="made", uri="made:many-runs")

    def plan(self, selection: Selection, progress: Progress) -> Iterator[Shard]:
        yield Shard(name="experiment")
        for at in range(0, self._count, SHARD):
            yield Shard(name=f"runs {at}", weight=SHARD, payload=range(at, min(at + SHARD, self._count)))

    def read(self, shard: Shard, known: Known) -> Iterator[Chunk]:
        if not isinstance(shard.payload, range):
            row = {"experiment_id": "1", "name": "many", "lifecycle_stage": "active"}
            yield Chunk(tables={"experiments": pa.Table.from_pylist([row], schema=TABLES["experiments"].schema)})
            return
        ids = {number: hashlib.md5(b"%d" % number, usedforsecurity=False).hexdigest() for number in shard.payload}
        runs = [
            {
                "run_id": run,
                "experiment_id": "1",
                "lifecycle_stage": "active",
                "status": "FINISHED",
                "run_name": f"r{n}",
            }
            for n, run in ids.items()
        ]
        params = [{"run_id": run, "key": f"p{i}", "value": str(n * i)} for n, run in ids.items() for i in range(10)]
        points = [
            {"run_id": run, "key": "loss", "step": i, "timestamp": 1_760_000_000_000 + n + i, "value": n / (i + 1)}
            for n, run in ids.items()
            for i in range(POINTS)
        ]
        rows = {"runs": runs, "params": params, "metrics": points}
        yield Chunk(
            tables={name: pa.Table.from_pylist(found, schema=TABLES[name].schema) for name, found in rows.items()},
            artifacts=[
                ArtifactFile(
                    owner_kind="run", owner_id=run, path="log.txt", size=None, open=partial(io.BytesIO, b"run %d\n" % n)
                )
                for n, run in ids.items()
            ],
        )

    def close(self) -> None:
        """Nothing is open."""


def main() -> None:
    path, count = Path(sys.argv[1]), int(sys.argv[2])
    report = copy(ManyRuns(count), ArchiveSink(path, tool="bench", clock_ms=lambda: 1_760_000_000_000), jobs=2)
    print(report.counts)


if __name__ == "__main__":
    main()
