"""`make bench`: figures of speed and size, each beside the bare limit measured in the same sitting.

Fills a default `mlflow server` (four workers, SQLite, proxied artifacts) with workload S, exports and imports it, and
compares with the least a client can do, with `borg create -C zstd,3` where borg is installed, and with what
mlflow-export-import was measured at (a constant, stated as such). Figures are medians of whole processes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.measuring import BIN, ENVIRONMENT, HERE, MAKE_SERVER, Measured, free_port, measure, tool, wait_for

from mlflow_archive.reader.archive import open_archive

# mlflow-export-import cf62607, measured with workload S on a machine of two cores: exports 0.78 runs/s, imports 0.68,
# and writes 225 bytes of JSON per metric point.
PEER_EXPORT_RUNS, PEER_IMPORT_RUNS, PEER_BYTES_PER_POINT = 0.78, 0.68, 225


def median(count: int, run: Callable[[], Measured]) -> Measured:
    """Return the run with the median time of ``count``."""
    return sorted((run() for _ in range(count)), key=lambda measured: measured.seconds)[count // 2]


@contextmanager
def server(folder: Path, workers: int = 4) -> Iterator[str]:
    """Run `mlflow server` over a folder's mlflow.db and artifacts; yield its URI."""
    port = free_port()
    command = [BIN / "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", str(workers)]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", folder / "artifacts"]
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(
            [str(part) for part in command], stdout=log, stderr=log, env=ENVIRONMENT, cwd=folder, start_new_session=True
        )
    uri = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"{uri}/version")
        yield uri
    finally:
        os.killpg(process.pid, 15)
        process.wait()


def say(what: str, figure: str, limit: str = "") -> None:
    print(f"{what:<46} {figure:>26}   {limit}", flush=True)


def export_figures(uri: str, work: Path, rounds: int) -> Path:
    """Measure the export of workload S; return the archive."""
    archive = work / "s.mlfa"

    def bare(threads: int) -> float:
        command: list[object] = [sys.executable, HERE / "bare_client.py", "read", uri, str(threads)]
        found = [json.loads(measure(command).output) for _ in range(rounds)]
        return statistics.median(float(item["points"] / item["seconds"]) for item in found)

    def export(*options: str) -> Measured:
        archive.unlink(missing_ok=True)
        return measure(tool("export", archive, "--from", uri, "-q", *options))

    bare_one, bare_eight = bare(1), bare(8)
    say("bare client reads, 1 thread", f"{bare_one:,.0f} points/s")
    say("bare client reads, 8 threads", f"{bare_eight:,.0f} points/s")
    tables = median(rounds, lambda: export("--no-artifacts", "--jobs", "8"))
    shutil.copy(archive, work / "tables.mlfa")
    points = counts(archive)["metrics"]
    rate = points / tables.seconds
    share = f"{rate / bare_eight:.0%} of the bare client (goal 75 %)"
    say("export without artifacts, 8 jobs", f"{rate:,.0f} points/s", share)
    whole = median(rounds, lambda: export("--jobs", "8"))
    runs = counts(archive)["runs"] / whole.seconds
    say("export, whole", f"{runs:.1f} runs/s", f"{runs / PEER_EXPORT_RUNS:.0f} times the peer's (goal 15)")
    say("  its peak memory", f"{whole.peak_mb:.0f} MB", "goal under 400")
    return archive


def counts(archive: Path) -> dict[str, int]:
    found: dict[str, Any] = json.loads(measure(tool("info", archive, "--json")).output)
    result: dict[str, int] = found["counts"]
    return result


def size_figures(archive: Path, artifacts: Path, work: Path) -> None:
    """Print sizes against the peer's JSON and borg's repository."""
    listing = json.loads(measure(tool("info", archive, "--json")).output)
    found, tables, packs = listing["counts"], listing["sizes"]["tables"], listing["sizes"]["packs"]
    with open_archive(archive) as opened:
        metrics = sum(member.size for member in opened.parts("metrics"))
    say("metrics table", f"{metrics / found['metrics']:.2f} bytes/point", "goal under 5")
    peer = found["metrics"] * PEER_BYTES_PER_POINT
    say("all tables", f"{tables:,} bytes", f"1/{peer / tables:.0f} of the peer's JSON of metrics alone (goal 1/15)")
    if shutil.which("borg") is None:
        say("artifacts", f"{packs:,} bytes", "borg is not installed: not compared")
        return
    runs_only = work / "run-artifacts"
    for folder in artifacts.glob("*/*/artifacts"):
        if folder.parent.parent.name != "models" and folder.parent.name not in ("models", "traces"):
            shutil.copytree(folder, runs_only / folder.parent.name)
    repository = work / "borg"
    environment = {**ENVIRONMENT, "BORG_BASE_DIR": str(work), "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes"}
    for command in (["init", "-e", "none", repository], ["create", "-C", "zstd,3", f"{repository}::a", runs_only]):
        subprocess.run(["borg", *map(str, command)], check=True, env=environment, stdout=subprocess.DEVNULL)
    borg = sum(path.stat().st_size for path in (repository / "data").rglob("*") if path.is_file())
    say("artifacts", f"{packs:,} bytes", f"{packs / borg:.3f} of borg -C zstd,3 ({borg:,}; goal at most 1)")


def import_figures(archive: Path, work: Path, rounds: int) -> None:
    """Measure the import into a fresh server each time."""
    found = counts(archive)
    rates, bare_rates, peaks, tables_rates = [], [], [], []
    for number in range(rounds):
        folder = work / f"target-{number}"
        (folder / "artifacts").mkdir(parents=True)
        with server(folder) as uri:
            item = json.loads(
                measure([sys.executable, HERE / "bare_client.py", "write", uri, "4", "100", "1000"]).output
            )
            bare_rates.append(item["points"] / item["seconds"])
            whole = measure(tool("import", archive, "--to", uri, "-q", "--jobs", "8"))
            prefix = ("--experiment-prefix", "tables/")
            tables = measure(tool("import", work / "tables.mlfa", "--to", uri, "-q", "--jobs", "8", *prefix))
        rates.append(found["runs"] / whole.seconds)
        tables_rates.append(found["metrics"] / tables.seconds)
        peaks.append(whole.peak_mb)
    rate, bare = statistics.median(rates), statistics.median(bare_rates)
    say("bare client writes, 4 threads", f"{bare:,.0f} points/s")
    say("import, whole", f"{rate:.1f} runs/s", f"{rate / PEER_IMPORT_RUNS:.0f} times the peer's (goal 8)")
    points = statistics.median(tables_rates)
    say("import without artifacts", f"{points:,.0f} points/s", f"{points / bare:.0%} of the bare client (goal 75 %)")
    say("  its peak memory", f"{max(peaks):.0f} MB", "goal under 400")


def scale_figures(work: Path) -> None:
    """Print memory over the number of runs, and `info` on an archive of 100,000 runs."""
    for runs in (200, 5_000, 100_000):
        folder = work / f"made-{runs}.mlfa"
        made = measure([sys.executable, HERE / "many_runs.py", folder, str(runs)])
        say(f"writing {runs:,} small runs, peak memory", f"{made.peak_mb:.0f} MB", "must not grow with runs")
    info = median(5, lambda: measure(tool("info", folder)))
    say("info on 100,000 runs", f"{info.seconds:.2f} s", "goal under 1")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["rest", "scale"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mlflow-archive-bench-") as name:
        work = Path(name)
        if options.only != "scale":
            source = work / "source"
            command: list[object] = [*MAKE_SERVER, "--workload", "S"]
            command += ["--backend", f"sqlite:///{source}/mlflow.db", "--artifacts", source / "artifacts"]
            print("filling a server with workload S: " + measure(command).output.strip().splitlines()[-1], flush=True)
            with server(source) as uri:
                archive = export_figures(uri, work, options.rounds)
            size_figures(archive, source / "artifacts", work)
            import_figures(archive, work, options.rounds)
        if options.only != "rest":
            scale_figures(work)


if __name__ == "__main__":
    main()
