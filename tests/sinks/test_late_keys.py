"""A new SQLite file whose keys were made late is what one is whose keys were there from the beginning."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from mlflow_archive.sinks.restore.late_keys import LateKeys
from mlflow_archive.sinks.restore.sqlite_writing import NewFile, WriteError

METRICS = (
    'CREATE TABLE "metrics" (\n\t"key" VARCHAR(250) NOT NULL, value FLOAT NOT NULL, run_uuid VARCHAR(32) NOT NULL, '
    "is_nan BOOLEAN DEFAULT '0' NOT NULL, \n\tCONSTRAINT metric_pk PRIMARY KEY (\"key\", run_uuid, value), "
    "\n\tFOREIGN KEY(run_uuid) REFERENCES runs (run_uuid), \n\tCHECK (is_nan IN (0, 1))\n)"
)
OTHERS = {
    "params": "CREATE TABLE params (a TEXT, b TEXT, PRIMARY KEY (a), UNIQUE (b))",
    "tags": "CREATE TABLE tags (a TEXT, b TEXT, PRIMARY KEY (a)) WITHOUT ROWID",
    "latest_metrics": "CREATE TABLE latest_metrics (a INTEGER, b TEXT, PRIMARY KEY (a))",
    "spans": "CREATE TABLE spans (a TEXT, b TEXT, PRIMARY KEY (a))",
}
TRIGGER = "CREATE TRIGGER t AFTER INSERT ON spans BEGIN DELETE FROM tags; END"
INDEX = "CREATE INDEX of_runs ON metrics (run_uuid)"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with closing(sqlite3.connect(tmp_path / "new.db")) as connection:
        for statement in (METRICS, INDEX, *OTHERS.values(), TRIGGER):
            connection.execute(statement)
    return tmp_path / "new.db"


def points(*values: float) -> pa.Table:
    """Rows whose key column comes first in the primary key, in falling order."""
    keys = [f"k{number}" for number in range(len(values), 0, -1)]
    return pa.table({"key": keys, "value": list(values), "run_uuid": ["r"] * len(values), "is_nan": [0] * len(values)})


def asked(path: Path, question: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(question).fetchall()


def test_schema_and_rows_are_those_of_a_key_that_was_always_there(path: Path) -> None:
    schema = sorted(asked(path, "SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_master"))
    writing = NewFile(path)
    writing.begin(("metrics", *OTHERS, "not_there"))
    writing.insert("metrics", points(0.5, 1.5))
    for name in OTHERS:
        writing.insert(name, pa.table({"a": ["1"], "b": ["x"]}))
    writing.commit()
    assert sorted(asked(path, "SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_master")) == schema
    assert asked(path, "PRAGMA integrity_check") == [("ok",)]
    assert asked(path, "SELECT * FROM metrics") == [("k2", 0.5, "r", 0), ("k1", 1.5, "r", 0)]
    assert "sqlite_autoindex_metrics_1" in str(asked(path, "EXPLAIN QUERY PLAN SELECT * FROM metrics WHERE key = 'k1'"))
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE constraint failed"):
        asked(path, "INSERT INTO metrics VALUES ('k1', 1.5, 'r', 1)")
    with pytest.raises(sqlite3.IntegrityError, match="NOT NULL"):
        asked(path, "INSERT INTO metrics VALUES (NULL, 1.5, 'r', 1)")


def test_rows_that_are_there_are_left_out_and_what_follows_keeps_the_key(path: Path) -> None:
    writing = NewFile(path)
    writing.begin(("metrics",))
    writing.insert("metrics", points(0.5, 1.5))
    assert writing.insert_new("metrics", points(7.5, 1.5)) == 1
    assert writing.insert_new("metrics", points(7.5, 1.5)) == 0
    writing.insert("metrics", points(9.5))
    writing.commit()
    assert asked(path, "SELECT value FROM metrics ORDER BY 1") == [(0.5,), (1.5,), (7.5,), (9.5,)]
    assert asked(path, "PRAGMA integrity_check") == [("ok",)]


def test_two_equal_rows_are_refused(path: Path) -> None:
    writing = NewFile(path)
    writing.begin(("metrics",))
    writing.insert("metrics", points(0.5))
    writing.insert("metrics", points(0.5))
    with pytest.raises(WriteError, match=r"UNIQUE constraint failed: metrics\.key"):
        writing.commit()
    writing.close()


def test_a_file_that_lists_another_key_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LateKeys, "settle", lambda keys: keys.make("metrics"))
    writing = NewFile(path)
    writing.begin(("metrics",))
    writing.insert("metrics", points(0.5))
    with pytest.raises(
        WriteError, match=r"its list of tables is not what it was before the rows: \('index', 'metrics'"
    ):
        writing.commit()
