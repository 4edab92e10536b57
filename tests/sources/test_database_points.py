"""Points out of SQLite by the number of their run: the same rows, gaps and fingerprints as by its id."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from mlflow_archive.errors import StoreError
from mlflow_archive.flow.chunk import Known, nothing_known
from mlflow_archive.flow.copy import chunks_of
from mlflow_archive.flow.report import Quiet
from mlflow_archive.format.fingerprint import Fingerprint
from mlflow_archive.kinds import TABLES
from mlflow_archive.mlflow_database.uris import parse_database_uri
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.database import DatabaseSource
from mlflow_archive.sources.database.snapshot import Batch, Query
from mlflow_archive.sources.database.sqlite import SqliteSnapshot

A, B, C = "a" * 32, "b" * 32, "c" * 32
TEXTS = ("run_id", "key", "dataset_name", "dataset_digest")
CODED = pa.schema(
    [
        field.with_type(pa.dictionary(pa.int32(), pa.string())) if field.name in TEXTS else field
        for field in TABLES["metrics"].schema
    ]
)
PLAIN: list[tuple[Any, ...]] = [(B, "loss", step, 10 + step, 0.5 * step, 0) for step in range(5)]
POINTS: dict[str, list[tuple[Any, ...]]] = {
    "plain": [*PLAIN, (A, "loss", 0, 1, 1e300, 0), (A, "é", 0, 1, float("inf"), 0), (C, "loss", -1, 0, -0.0, 0)],
    "NaN": [(B, "loss", 0, 1, 0.0, 1), *PLAIN, (A, "loss", 0, 1, 7.0, 1)],
    "NaN first and long": [*((A, "loss", step, 1, 0.0, 1) for step in range(50_001)), *PLAIN],
    "text for a number": [*PLAIN, (A, "loss", 0, 1, "much", 0), (A, "loss", "soon", 1, 1.0, 0)],
    "key that is not UTF-8": [*PLAIN, (A, b"\xff", 0, 1, 1.0, 0), (A, "k", 0, 1, 1.0, 0)],
    "of nobody": [*PLAIN, ("d" * 32, "loss", 0, 1, 1.0, 0)],
    "none": [],
}


def database(path: Path, points: list[tuple[Any, ...]], *, indexed: bool) -> DatabaseSource:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            """
            CREATE TABLE experiments (experiment_id INTEGER PRIMARY KEY, name TEXT);
            CREATE TABLE runs (run_uuid VARCHAR(32) PRIMARY KEY, experiment_id INTEGER);
            CREATE TABLE metrics ("key" VARCHAR(250) NOT NULL, value FLOAT NOT NULL, timestamp BIGINT NOT NULL,
                run_uuid VARCHAR(32) NOT NULL, step BIGINT NOT NULL, is_nan BOOLEAN NOT NULL);
            INSERT INTO experiments VALUES (1, 'e');
            """
        )
        connection.executemany("INSERT INTO runs VALUES (?, 1)", [(A,), (B,), (C,)])
        statement = "INSERT INTO metrics (run_uuid, key, step, timestamp, value, is_nan) VALUES (?, ?, ?, ?, ?, ?)"
        connection.executemany(statement, points)
        connection.execute("UPDATE metrics SET key = CAST(key AS TEXT)")
        if indexed:
            connection.execute("CREATE INDEX by_run ON metrics (run_uuid)")
        connection.commit()
    return DatabaseSource(parse_database_uri(f"sqlite:///{path}"), coded=indexed, points_per_chunk=20_000)


def contents(source: DatabaseSource, known: Known = nothing_known) -> dict[str, list[str]]:
    """Return the rows of each table, sorted, as text, as NaN equals nothing."""
    rows: dict[str, list[str]] = {}
    with closing(source):
        for shard in source.plan(Selection(artifacts=False), Quiet()):
            for chunk in chunks_of(source, shard, known):
                for name, table in chunk.tables.items():
                    rows.setdefault(name, []).extend(map(str, table.cast(TABLES[name].schema).to_pylist()))
    return {name: sorted(texts) for name, texts in rows.items()}


@pytest.mark.parametrize("points", POINTS.values(), ids=POINTS)
def test_by_number_as_by_id(tmp_path: Path, points: list[tuple[Any, ...]]) -> None:
    expected = contents(database(tmp_path / "ids.db", points, indexed=False))
    assert len(expected.get("metrics", ())) >= len([point for point in points if point in PLAIN])
    assert contents(database(tmp_path / "numbers.db", points, indexed=True)) == expected


def test_points_are_counted_as_the_database_counts_them(tmp_path: Path) -> None:
    def known(kind: str, entity_id: str) -> str | None:
        return Fingerprint("0" * 64) if entity_id == A else None

    points = POINTS["NaN"] + [(A, "é", step, 1, 1.0, 0) for step in range(3)]
    of_unknown = contents(database(tmp_path / "new.db", points, indexed=True))
    of_known = contents(database(tmp_path / "known.db", points, indexed=True), known)
    assert len(of_unknown["fingerprints"]) == 3
    assert of_known == of_unknown


def test_texts_come_coded_only_where_that_was_said(tmp_path: Path) -> None:
    schemas = []
    for indexed in (False, True):
        with closing(database(tmp_path / f"{indexed}.db", PLAIN, indexed=indexed)) as source:
            shards = source.plan(Selection(artifacts=False), Quiet())
            chunks = [chunk for shard in shards for chunk in chunks_of(source, shard, nothing_known)]
        schemas += [chunk.tables["metrics"].schema for chunk in chunks if "metrics" in chunk.tables]
    assert schemas == [TABLES["metrics"].schema, CODED]


@pytest.mark.parametrize("indexed", [False, True])
def test_where_the_fast_way_stops_the_other_goes_on_behind_the_same_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, indexed: bool
) -> None:
    points = [
        *((A, "loss", step, 1, 0.5, 0) for step in range(5)),
        (A, "loss", 5, 1, "much", 0),
        (A, "k", 0, 1, 1.0, 0),
    ]
    at_once = contents(database(tmp_path / "once.db", points, indexed=indexed))
    monkeypatch.setattr("mlflow_archive.sources.database.sqlite._BATCH", 3)
    assert contents(database(tmp_path / "pieces.db", points, indexed=indexed)) == at_once
    assert len(at_once["metrics"]) == 6
    real = SqliteSnapshot.fetch

    def in_another_order(self: SqliteSnapshot, statement: Query, *, wide: bool = False) -> Iterator[Batch]:
        for batch in list(real(self, statement, wide=wide)):
            yield {name: list(reversed(values)) for name, values in batch.items()} if "step" in batch else batch

    monkeypatch.setattr(SqliteSnapshot, "fetch", in_another_order)
    with pytest.raises(StoreError, match=r"the rows of a query in two orders: step is 0, expected 2; please report"):
        contents(database(tmp_path / "turned.db", points, indexed=indexed))
