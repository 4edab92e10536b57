"""A history that comes in several pieces, with points that are equal to some of an earlier one: each is there once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlflow_archive.flow.copy import copy
from mlflow_archive.flow.report import Report
from mlflow_archive.sinks.restore import RestoreOptions, RestoreSink
from mlflow_archive.sinks.restore.locate import locate_database
from tests.support.chunks import ChunkSource, chunk, experiment, points, run
from tests.support.databases import PostgresServer, engine_of, make_database

A, B = "a" * 32, "b" * 32
PIECES = [
    chunk(runs=[run(A, "7")], metrics=points(A, "m", [1.0, 2.0, float("nan"), float("inf")]), complete=False),
    chunk(metrics=points(A, "m", [1.0, 5.0, float("nan"), float("inf"), 6.0]), complete=False),
    chunk(metrics=points(A, "k", [1.0, 2.0]), complete=False),
    chunk(metrics=[*points(A, "m", [1.0, 2.0]), *points(A, "z", [9.0])]),
]
FOUND = {
    *((A, "m", step, value) for step, value in ((0, 1.0), (1, 2.0), (2, 0.0), (3, 1.7976931348623157e308))),
    *((A, "m", step, value) for step, value in ((1, 5.0), (4, 6.0))),
    *((A, "k", step, value) for step, value in ((0, 1.0), (1, 2.0))),
    (A, "z", 0, 9.0),
    *((B, "m", step, value) for step, value in ((0, 1.0), (1, 2.0))),
}


def pieces_into(uri: str) -> Report:
    database = locate_database(uri)
    try:
        database.open()
        source = ChunkSource(
            (0, [chunk(experiments=[experiment("7", "e")])]),
            (1, PIECES),
            (2, [chunk(runs=[run(B, "7")], metrics=points(B, "m", [1.0, 2.0]))]),
        )
        return copy(source, RestoreSink(database, options=RestoreOptions()), jobs=1)
    finally:
        database.rollback()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
@pytest.mark.parametrize("fresh", [True, False])
def test_each_point_is_there_once(kind: str, fresh: bool, tmp_path: Path, postgres: PostgresServer) -> None:
    uri = f"sqlite:///{tmp_path / 't.db'}" if kind == "sqlite" else postgres.new_database()
    if not fresh:
        make_database(uri)
        run_sql(uri, "INSERT INTO experiments(experiment_id, name) VALUES (1, 'mine')")
    report = pieces_into(uri)
    assert report.counts["equal_points"] == 5
    rows = run_sql(uri, "SELECT run_uuid, key, step, value FROM metrics")
    assert len(rows) == len(FOUND)
    assert {tuple(row) for row in rows} == FOUND
    latest = run_sql(uri, "SELECT run_uuid, key, step, value FROM latest_metrics")
    assert {tuple(row) for row in latest} == {
        (A, "m", 4, 6.0), (A, "k", 1, 2.0), (A, "z", 0, 9.0), (B, "m", 1, 2.0)
    }  # fmt: skip


def run_sql(uri: str, statement: str) -> list[Any]:
    engine = engine_of(uri)
    with engine.begin() as connection:
        found = connection.exec_driver_sql(statement)
        rows = list(found) if found.returns_rows else []
    engine.dispose()
    return rows
