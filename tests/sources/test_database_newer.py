"""What a database holds that this program does not know becomes gaps with the number of rows, never silence."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from mlflow_archive.flow.report import Quiet
from mlflow_archive.format.gaps import UNKNOWN_FIELD, UNKNOWN_ROWS
from mlflow_archive.kinds import EXPERIMENT, RUN
from mlflow_archive.mlflow_database.known_schema import REVISIONS
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.locate import locate_source
from tests.support.databases import PostgresServer, empty_database, engine_of, fill, make_database, revisions
from tests.support.reading import read_source

LATER = """
ALTER TABLE runs ADD COLUMN mood TEXT;
ALTER TABLE runs ADD COLUMN unused TEXT;
UPDATE runs SET mood = 'good';
CREATE TABLE gizmos (name TEXT, "Odd name" INTEGER);
INSERT INTO gizmos VALUES ('a', 1), ('b', 2);
CREATE TABLE empty_gizmos (name TEXT);
UPDATE alembic_version SET version_num = '0123456789ab';
"""
GIZMOS = ("gizmos", "", UNKNOWN_ROWS, "this version knows no such table; this export met 2 rows")
MOOD = (
    *("runs", "mood", UNKNOWN_FIELD),
    "this version knows no such column; this export met a value in 3 rows of runs",
)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Return a database of a later schema."""
    path = tmp_path / "mlflow.db"
    shutil.copyfile(empty_database(), path)
    fill(f"sqlite:///{path}")
    execute(path, LATER)
    return path


def execute(path: Path, script: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)


def unknown_gaps(uri: str, selection: Selection | None = None) -> list[tuple[str, str, str, str]]:
    rows = read_source(locate_source(uri), selection or Selection(artifacts=False)).rows("gaps", owner_kind="source")
    return [(row["owner_id"], row["path"], row["code"], row["reason"]) for row in rows]


def test_unknown_tables_and_columns(database: Path) -> None:
    assert unknown_gaps(str(database)) == [GIZMOS, MOOD]
    with closing(locate_source(str(database))) as source:
        assert source.facts().newer_schema is True


def test_whatever_is_selected(database: Path) -> None:
    assert unknown_gaps(str(database), Selection(artifacts=False, since_ms=1)) == [GIZMOS, MOOD]
    assert unknown_gaps(str(database), Selection(artifacts=False, kinds=(RUN,))) == [MOOD]
    assert unknown_gaps(str(database), Selection(artifacts=False, kinds=(EXPERIMENT,))) == []


def test_accounts_are_known_where_mlflow_keeps_them(database: Path) -> None:
    execute(database, "CREATE TABLE users (name TEXT); INSERT INTO users VALUES ('ann');")
    assert [gap[0] for gap in unknown_gaps(str(database))] == ["gizmos", "runs", "users"]
    execute(database, "CREATE TABLE alembic_version_auth (v TEXT); INSERT INTO alembic_version_auth VALUES ('1');")
    assert unknown_gaps(str(database)) == [GIZMOS, MOOD]


def test_tables_of_another_program_beside_a_known_schema_are_a_note(database: Path) -> None:
    """A column that somebody added to a table of MLflow's stays a gap."""
    revision = sorted(revisions())[0]
    execute(database, f"UPDATE alembic_version SET version_num = '{revision}'")  # noqa: S608 - a constant
    sentences: list[str] = []

    class Notes(Quiet):
        def note(self, message: str) -> None:
            sentences.append(message)

    with closing(locate_source(str(database))) as source:
        shards = list(source.plan(Selection(artifacts=False), Notes()))
        assert shards
    assert sentences == ["not MLflow's, and left out: 1 tables of another program (gizmos)"]
    assert unknown_gaps(str(database)) == [MOOD]
    execute(database, "DELETE FROM alembic_version")
    assert unknown_gaps(str(database)) == [GIZMOS, MOOD]


def test_on_postgresql(postgres: PostgresServer) -> None:
    uri = postgres.new_database()
    make_database(uri)
    fill(uri)
    engine = engine_of(uri)
    with engine.begin() as connection:
        for statement in LATER.strip().split("\n"):
            connection.exec_driver_sql(statement)
    engine.dispose()
    assert unknown_gaps(uri) == [GIZMOS, MOOD]


def test_revisions_are_those_of_mlflow() -> None:
    later = {"e7d1f4b2a9c6", "8b6ad64cb8f5", "f4a9b2c7d1e6"}  # of 3.18, which need not be the installed one
    assert set(revisions()) | later == REVISIONS
