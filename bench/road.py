"""`make bench-road`: packing and unpacking, each beside the bare operation of the library that does the work.

File to file, both synced, in one sitting, each a whole process, the median of several. Archives are of bytes that do
not compress. Results are kept in RESULTS.md.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyrage
from bench.measuring import Measured, apart, measure, tool
from bench.run import median, say

from mlflow_archive.flow.chunk import ArtifactFile, Chunk, Known, Shard
from mlflow_archive.flow.copy import copy
from mlflow_archive.flow.report import Progress
from mlflow_archive.flow.source import SourceFacts
from mlflow_archive.kinds import TABLES
from mlflow_archive.packing.parity import program
from mlflow_archive.packing.unpack import find_set
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.writer.export import ArchiveSink

_ARTIFACT = 50_000_000
_BARE = """
import os, sys, pyrage
verb, source, target, key = sys.argv[1:]
identity = pyrage.x25519.Identity.from_str(key)
if verb == "encrypt":
    pyrage.encrypt_file(source, target, [identity.to_public()])
else:
    pyrage.decrypt_file(source, target, [identity])
descriptor = os.open(target, os.O_RDWR)
os.fsync(descriptor)
"""
_SYNCED = """
import os, subprocess, sys
subprocess.run(sys.argv[2:], check=True, stdout=subprocess.DEVNULL)
for name in os.listdir(sys.argv[1]):
    os.fsync(os.open(os.path.join(sys.argv[1], name), os.O_RDONLY))
"""


class _NoiseSource:
    """One run with artifacts that come to ``size`` bytes."""

    def __init__(self, size: int) -> None:
        self._count = max(1, size // _ARTIFACT)

    def facts(self) -> SourceFacts:
        return SourceFacts(kind="made", uri="made:noise")

    def plan(self, selection: Selection, progress: Progress) -> Iterator[Shard]:
        yield Shard(name="all")

    def read(self, shard: Shard, known: Known) -> Iterator[Chunk]:
        rows = {
            "experiments": {"experiment_id": "1", "name": "e", "lifecycle_stage": "active"},
            "runs": {"run_id": "a", "experiment_id": "1", "lifecycle_stage": "active", "status": "FINISHED"},
        }
        tables = {name: pa.Table.from_pylist([row], schema=TABLES[name].schema) for name, row in rows.items()}
        artifacts = [
            ArtifactFile(owner_kind="run", owner_id="a", path=f"{number}.bin", size=None, open=_noise)
            for number in range(self._count)
        ]
        yield Chunk(tables=tables, artifacts=artifacts)

    def close(self) -> None:
        """Nothing is open."""


def _noise() -> io.BytesIO:
    return io.BytesIO(os.urandom(_ARTIFACT))


def write_noise(archive: Path, size: int) -> None:
    """Write an archive of about so many bytes."""
    copy(_NoiseSource(size), ArchiveSink(archive, tool="bench", clock_ms=lambda: 0), jobs=1)


def figure(rounds: int, command: Sequence[object], *targets: Path) -> Measured:
    """Return the median run of a command; its targets are removed before each."""

    def once() -> Measured:
        for target in targets:
            shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)
        os.sync()
        return measure(command)

    return median(rounds, once)


def encryption_figures(archive: Path, work: Path, rounds: int) -> None:
    """Print pack for one recipient in four volumes, and unpack, beside pyrage's own calls on the same file."""
    size, identity = archive.stat().st_size, pyrage.x25519.Identity.generate()
    key, age, plain, volumes, back = (work / name for name in ("key", "bare.age", "bare", "volumes", "back.mlfa"))
    key.write_text(f"{identity}\n")
    bare = [sys.executable, "-c", _BARE]
    for_one = ["--recipient", identity.to_public(), "--volume-size", size // 4 + 1, "-q"]
    limit = figure(rounds, [*bare, "encrypt", archive, age, identity], age)
    compare("pack", size, figure(rounds, tool("pack", archive, "--to", volumes, *for_one), volumes), limit, 0.8)
    limit = figure(rounds, [*bare, "decrypt", age, plain, identity], plain)
    unpacking = tool("unpack", volumes, "-o", back, "--identity", key, "-q")
    compare("unpack", size, figure(rounds, unpacking, back), limit, 0.8)
    for path in (age, plain, back):
        path.unlink()
    shutil.rmtree(volumes)


def parity_figures(archive: Path, work: Path, rounds: int) -> None:
    """Print what parity adds to pack, beside the program's own call on the same volumes with as many blocks."""
    size, volumes, bare = archive.stat().st_size, work / "volumes", work / "bare"
    words = ["--volume-size", size // 4 + 1, "-q"]
    without = figure(rounds, tool("pack", archive, "--to", bare, *words), bare)
    whole = figure(rounds, tool("pack", archive, "--to", volumes, *words, "--parity", "10%"), volumes)
    named = sorted(path for path in bare.iterdir() if path.name.startswith(find_set(bare).joined))
    own = bare.with_name("own")
    own.mkdir()
    for path in named:
        os.link(path, own / path.name)
    block = max(4096, size // 20_000 // 4 * 4)
    command = [program(), "create", "-q", "-u", "-n1", f"-s{block}", "-r10", own / "own.par2"]
    made = partial(figure, 1, [sys.executable, "-c", _SYNCED, own, *command, *(own / path.name for path in named)])
    limit = median(rounds, lambda: made(*own.glob("*.par2")))
    added = Measured(
        seconds=max(0.001, whole.seconds - without.seconds), cpu_seconds=0, peak_mb=whole.peak_mb, output=""
    )
    compare("parity of 10 %", size, added, limit, 0.9)
    for folder in (volumes, bare, own):
        shutil.rmtree(folder)


def compare(what: str, size: int, ours: Measured, limit: Measured, goal: float) -> None:
    rate, megabytes = size / 1e6 / ours.seconds, size / 1e6
    share = limit.seconds / ours.seconds
    figures = f"{rate:,.0f} MB/s, {ours.peak_mb:.0f} MB"
    say(
        f"{what}, {megabytes:,.0f} MB",
        figures,
        f"{share:.2f} of the bare rate, {megabytes / limit.seconds:,.0f} MB/s (goal {goal})",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, nargs="+", default=[100, 1_000, 10_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--without-parity", action="store_true")
    options = parser.parse_args()
    for megabytes in options.megabytes:
        with tempfile.TemporaryDirectory(prefix="mlflow-archive-bench-") as name:
            work = Path(name)
            archive = work / "noise.mlfa"
            apart(write_noise, archive, megabytes * 1_000_000)
            encryption_figures(archive, work, options.rounds)
            if not options.without_parity:
                parity_figures(archive, work, options.rounds)


if __name__ == "__main__":
    main()
