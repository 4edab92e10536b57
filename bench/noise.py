"""Write an archive of bytes that do not compress, for `make bench-road`: ``python -m bench.noise NAME.mlfa BYTES``."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from mlflow_archive.flow.chunk import ArtifactFile, Chunk, Known, Shard
from mlflow_archive.flow.copy import copy
from mlflow_archive.flow.report import Progress
from mlflow_archive.flow.source import SourceFacts
from mlflow_archive.kinds import TABLES
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.writer.export import ArchiveSink

_ARTIFACT = 50_000_000


class NoiseSource:
    """One run with artifacts that come to ``size`` bytes."""

    def __init__(self, size: int, run_id: str = "a") -> None:
        self._count, self._run_id = max(1, size // _ARTIFACT), run_id

    def facts(self) -> SourceFacts:
        return SourceFacts(kind="made", uri="made:noise")

    def plan(self, selection: Selection, progress: Progress) -> Iterator[Shard]:
        yield Shard(name="all")

    def read(self, shard: Shard, known: Known) -> Iterator[Chunk]:
        rows = {
            "experiments": {"experiment_id": "1", "name": "e", "lifecycle_stage": "active"},
            "runs": {"run_id": self._run_id, "experiment_id": "1", "lifecycle_stage": "active", "status": "FINISHED"},
        }
        tables = {name: pa.Table.from_pylist([row], schema=TABLES[name].schema) for name, row in rows.items()}
        artifacts = [
            ArtifactFile(owner_kind="run", owner_id=self._run_id, path=f"{number}.bin", size=None, open=_noise)
            for number in range(self._count)
        ]
        yield Chunk(tables=tables, artifacts=artifacts)

    def close(self) -> None:
        """Nothing is open."""


def _noise() -> io.BytesIO:
    return io.BytesIO(os.urandom(_ARTIFACT))


def main() -> None:
    archive, size = Path(sys.argv[1]), int(sys.argv[2])
    copy(NoiseSource(size), ArchiveSink(archive, tool="bench", clock_ms=lambda: 0), jobs=1)


if __name__ == "__main__":
    main()
