"""How fast an archive of 100,000 runs and 50 million points is looked into; for `make bench-inspection`.

Each figure is a whole process: wall seconds (the best of three) and peak memory, beside its limit.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq
from large_archive import LargeSource, run_id  # type: ignore[import-not-found] # beside this file

from mlflow_archive.copy import copy
from mlflow_archive.format.layout import MANIFEST
from mlflow_archive.format.manifest import decode, encode
from mlflow_archive.writer.export import ArchiveSink

RUNS, POINTS = 100_000, 500
ROUNDS = 3
MEBIBYTE = 1024 * 1024
SHAPE = 50 * 10**9
FILTER = "metrics.loss < 0.1 and params.lr = '0.01'"


def measure(name: str, limit: float, *arguments: str) -> None:
    """Run the command and print its wall time and peak memory beside the limits."""
    seconds, peaks = [], []
    for _ in range(ROUNDS):
        command = [sys.executable, "-m", "mlflow_archive_cli", *arguments]
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise RuntimeError(f"{' '.join(arguments)} ended with {process.returncode}")
        seconds.append(time.perf_counter() - began)
        peaks.append(usage.ru_maxrss / 1024)
    told = "reached" if min(seconds) <= limit and max(peaks) <= 500 else "MISSED"
    print(
        f"{name:<40} {min(seconds):6.2f} s (limit {limit:.1f} s)  {max(peaks):5.0f} MiB (limit 500)  {told}", flush=True
    )


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
            began = time.perf_counter()
            copy(LargeSource(RUNS, POINTS), ArchiveSink(archive, tool="bench", clock_ms=lambda: 0), jobs=2)
            print(f"{RUNS:,} runs, {RUNS * POINTS:,} points written in {time.perf_counter() - began:.0f} s", flush=True)
        name = str(archive)
        measure("info", 0.7, "info", name)
        measure("ls experiments", 0.7, "ls", name, "experiments")
        measure("show RUN", 1.0, "show", name, run_id(RUNS // 2))
        measure(f'ls runs --filter "{FILTER}"', 3.0, "ls", name, "runs", "--filter", FILTER)
        sparse = str(make_sparse(Path(temporary)))
        measure("cat out of 50 GB", 1.0, "cat", sparse, f"{run_id(5)}/log.txt")


if __name__ == "__main__":
    main()
