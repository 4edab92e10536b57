"""A SQLite backend of many small runs, written as rows: `small_runs.py DATABASE RUNS`. For `make bench-database`."""

from __future__ import annotations

import hashlib
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from sqlalchemy import make_url

from mlflow_archive.mlflow_database.mlflow_schema import make_schema

EXPERIMENTS, PARAMS, TAGS, KEYS, STEPS = 20, 20, 10, 10, 5


def make(database: Path, runs: int) -> None:
    """Make a database of ``runs`` runs, each with 20 params, 10 tags and 50 metric points."""
    make_schema(make_url(f"sqlite:///{database}"))
    with closing(sqlite3.connect(database)) as connection:
        rows = [(n, f"e{n}", "active", f"/nowhere/{n}", 1, 1) for n in range(1, EXPERIMENTS + 1)]
        connection.executemany(
            "INSERT INTO experiments(experiment_id, name, lifecycle_stage, artifact_location, creation_time, "
            "last_update_time) VALUES (?, ?, ?, ?, ?, ?)",
            rows,
        )
        for number in range(runs):
            _add_run(connection, number)
        connection.commit()


def _add_run(connection: sqlite3.Connection, number: int) -> None:
    run = hashlib.md5(b"%d" % number, usedforsecurity=False).hexdigest()
    start = 1_760_000_000_000 + number * 60_000
    experiment = 1 + number % EXPERIMENTS
    connection.execute(
        "INSERT INTO runs(run_uuid, name, source_type, user_id, status, start_time, end_time, lifecycle_stage, "
        "artifact_uri, experiment_id) VALUES (?, ?, 'LOCAL', 'ada', 'FINISHED', ?, ?, 'active', ?, ?)",
        (run, f"r{number}", start, start + 1000, f"/nowhere/{experiment}/{run}/artifacts", experiment),
    )
    for table, count in (("params", PARAMS), ("tags", TAGS)):
        rows = [(f"{table}_{i}", f"value {number * i}", run) for i in range(count)]
        connection.executemany(f"INSERT INTO {table}(key, value, run_uuid) VALUES (?, ?, ?)", rows)
    points = [(f"metric_{k}", number / (s + 1), start + s, run, s, 0) for k in range(KEYS) for s in range(STEPS)]
    columns = "(key, value, timestamp, run_uuid, step, is_nan) VALUES (?, ?, ?, ?, ?, ?)"
    connection.executemany(f"INSERT INTO metrics{columns}", points)
    connection.executemany(f"INSERT INTO latest_metrics{columns}", points[STEPS - 1 :: STEPS])


if __name__ == "__main__":
    make(Path(sys.argv[1]), int(sys.argv[2]))
