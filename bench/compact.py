"""`make bench-compact`: a compaction beside a check of the same bytes: ``python -m bench.compact [--bytes N]``.

Three exports of noise, of which the newest alone is kept: every pack stays whole, so that nothing is compressed, and
each byte is read, hashed and copied once. On a machine that is shared, the seconds of the processor say more than the
wall.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from functools import partial
from pathlib import Path
from typing import Final

from bench.measuring import Measured, apart, measure, tool
from bench.noise import NoiseSource

from mlflow_archive.flow.copy import copy
from mlflow_archive.writer.export import ArchiveOptions, ArchiveSink

GOAL: Final = 0.7


def make(archive: Path, size: int) -> None:
    """Write an archive of three exports, a run each, of ``size`` bytes in all."""
    for number, run_id in enumerate("abc"):
        sink = ArchiveSink(archive, ArchiveOptions(append=number > 0), tool="bench", clock_ms=partial(int, number))
        copy(NoiseSource(size // 3, run_id), sink, jobs=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bytes", type=int, default=1_200_000_000)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where to write; else the temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.folder) as folder:
        for name in ("old.mlfa", "old"):
            old, new = Path(folder, name), Path(folder, name.replace("old", "new"))
            apart(make, old, options.bytes)
            compacting, checking = [], []
            for _ in range(options.pairs):  # in turn, so that each meets the same load
                checking.append(measure(tool("verify", old, "--level", "stored", "-q")))
                compacting.append(measure(tool("compact", old, "-o", new, "--keep-last", "1", "-q")))
                shutil.rmtree(new) if new.is_dir() else new.unlink()
            tell(name, options.bytes, checking, compacting)
            shutil.rmtree(old) if old.is_dir() else old.unlink()


def tell(name: str, size: int, checking: list[Measured], compacting: list[Measured]) -> None:
    """Print the medians, and the rate of a compaction as a share of that of a check; at least 0.7 is the goal."""
    for words, runs in (("verify --level stored", checking), ("compact --keep-last 1", compacting)):
        wall, cpu, peak = (
            statistics.median(getattr(run, field) for run in runs) for field in ("seconds", "cpu_seconds", "peak_mb")
        )
        print(f"{name:9} {words:22} {wall:6.2f} s wall {cpu:6.2f} s CPU {peak:5.0f} MB {size / wall / 1e6:6.0f} MB/s")
    wall, cpu = (
        statistics.median(getattr(run, field) for run in checking)
        / statistics.median(getattr(run, field) for run in compacting)
        for field in ("seconds", "cpu_seconds")
    )
    print(f"{name:9} rate of the compaction: {wall:.2f} of the check, by CPU {cpu:.2f} (goal: {GOAL} of the wall)")


if __name__ == "__main__":
    main()
