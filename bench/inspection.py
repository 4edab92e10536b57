"""How fast an archive of 100,000 runs and 50 million points is looked into; for `make bench-inspection`.

Each figure is a whole process: wall seconds (the best of three) and peak memory, beside its limit.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
from bench.large_archive import LargeSource, run_id
from bench.measuring import BIN, ENVIRONMENT, HERE, apart, free_port, measure, tool, wait_for

from mlflow_archive.flow.copy import copy
from mlflow_archive.format.layout import MANIFEST
from mlflow_archive.format.manifest import decode, encode
from mlflow_archive.writer.export import ArchiveSink

RUNS, POINTS = 100_000, 500
ROUNDS = 3
MOST_MB = 500
SHAPE = 50 * 10**9
FILTER = "metrics.loss < 0.1 and params.lr = '0.01'"


def say(name: str, seconds: float, limit: float, peak_mb: float) -> None:
    """Print a wall time and a peak of memory beside their limits."""
    told = "reached" if seconds <= limit and peak_mb <= MOST_MB else "MISSED"
    print(f"{name:<40} {seconds:6.2f} s (limit {limit:.1f})  {peak_mb:5.0f} MB (limit {MOST_MB})  {told}", flush=True)


def best(name: str, limit: float, *arguments: object) -> None:
    """Run the command some times and print its shortest wall time and largest peak."""
    done = [measure(tool(*arguments)) for _ in range(ROUNDS)]
    say(name, min(each.seconds for each in done), limit, max(each.peak_mb for each in done))


def until_answered(command: Sequence[object], folder: Path, port: int) -> float:
    """Return the seconds until a server of MLflow's pages, started by a command, answers a search of runs; stop it."""
    environment = {**ENVIRONMENT, "XDG_CACHE_HOME": str(folder / "cache")}
    began = time.perf_counter()
    process = subprocess.Popen(
        [str(part) for part in command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
        cwd=folder,
        start_new_session=True,
    )
    try:
        wait_for(f"http://127.0.0.1:{port}/ajax-api/2.0/mlflow/experiments/search?max_results=10", pause=0.05)
        return time.perf_counter() - began
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait()


def serving(folder: Path) -> None:
    """Print how soon archives are served, and how soon MLflow's own server starts on nothing."""
    port = free_port()
    empty = (BIN / "mlflow", "server", "--port", port, "--workers", 1, "--backend-store-uri")
    alone = until_answered((*empty, f"sqlite:///{folder / 'empty.db'}"), folder, port)
    alone = until_answered((*empty, f"sqlite:///{folder / 'empty.db'}"), folder, port)
    print(f"{'mlflow server, on an empty database':<40} {alone:6.2f} s", flush=True)
    for runs, limit in ((100, 5.0 + alone), (10_000, 15.0)):
        archive = folder / f"{runs}.mlfa"
        measure([sys.executable, HERE / "many_runs.py", archive, runs])
        for which in ("first", "next"):
            port = free_port()
            seconds = until_answered(tool("serve", archive, "--port", port, "-q"), folder, port)
            print(f"{f'serve {runs:,} runs, {which} time':<40} {seconds:6.2f} s (limit {limit:.1f})", flush=True)


def make_sparse(folder: Path) -> Path:
    """Return an archive whose one artifact of 1 MB lies at the end of a pack that is 50 GB long, mostly a hole."""
    path = folder / "sparse"
    one = LargeSource(100, 5)
    copy(one, ArchiveSink(path, tool="bench", clock_ms=lambda: 0), jobs=1)
    manifest = decode((path / MANIFEST).read_bytes(), where=MANIFEST)
    pack = next(member for member in manifest.members if member.kind == "pack")
    data = (path / pack.path).read_bytes()
    with (path / pack.path).open("r+b") as file:
        file.truncate(0)
        file.seek(SHAPE)
        file.write(data)
    part = next(member for member in manifest.members if member.table == "blobs")
    rows = pq.read_table(path / part.path)
    moved = [offset + SHAPE for offset in rows["frame_offset"].to_pylist()]
    at = rows.column_names.index("frame_offset")
    pq.write_table(rows.set_column(at, rows.schema.field(at), [moved]), path / part.path, write_page_checksum=True)
    size = (path / part.path).stat().st_size
    members = []
    for member in manifest.members:
        if member is pack:
            members.append(dataclasses.replace(member, size=SHAPE + len(data)))
        elif member is part:
            footer = _footer_sha256((path / part.path).read_bytes())
            members.append(dataclasses.replace(member, size=size, footer_sha256=footer))
        else:
            members.append(member)
    encoded = encode(dataclasses.replace(manifest, members=tuple(members)))
    for name in (MANIFEST, "manifests/0001.json"):
        (path / name).write_bytes(encoded)
    return path


def _footer_sha256(data: bytes) -> str:
    import hashlib  # noqa: PLC0415

    length = int.from_bytes(data[-8:-4], "little")
    return hashlib.sha256(data[-8 - length :]).hexdigest()


def main() -> None:
    """Make the archives below a temporary folder, or use the one named, and print all figures."""
    with tempfile.TemporaryDirectory() as temporary:
        given = Path(sys.argv[1]) if len(sys.argv) > 1 else None
        archive = given or Path(temporary, "large.mlfa")
        if given is None:
            made = measure([sys.executable, HERE / "large_archive.py", archive, RUNS, POINTS])
            print(f"{RUNS:,} runs, {RUNS * POINTS:,} points written in {made.seconds:.0f} s", flush=True)
        best("info", 0.7, "info", archive)
        best("ls experiments", 0.7, "ls", archive, "experiments")
        best("show RUN", 1.0, "show", archive, run_id(RUNS // 2))
        best(f'ls runs --filter "{FILTER}"', 3.0, "ls", archive, "runs", "--filter", FILTER)
        sparse = apart(make_sparse, Path(temporary))
        best("cat out of 50 GB", 1.0, "cat", sparse, f"{run_id(5)}/log.txt")
        serving(Path(temporary))


if __name__ == "__main__":
    main()
