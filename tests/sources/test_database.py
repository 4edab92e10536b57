"""Backend databases: every schema revision, one moment, nothing lost unsaid, the source untouched."""

from __future__ import annotations

import hashlib
import math
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mlflow_archive.errors import SelectionError, ServerError, StoreError
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.database import DatabaseSource
from mlflow_archive.sources.locate import locate_source
from tests.support.corpora import DATABASES, store_facts, store_path
from tests.support.databases import (
    DELETED,
    OLD,
    RUN,
    PostgresServer,
    each_revision,
    engine_of,
    fill,
    make_database,
    revisions,
)
from tests.support.reading import Read, bits, read_source

NO_ARTIFACTS = Selection(artifacts=False)


def read(path: Path, selection: Selection = NO_ARTIFACTS) -> Read:
    with closing(locate_source(f"sqlite:///{path}")) as source:
        return read_source(source, selection)


def run(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def files(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def check(found: Read, stored: dict[str, list[dict[str, Any]]]) -> None:
    """Compare what was read with what was inserted, column by column."""
    assert {(row["experiment_id"], row["name"], row["workspace"]) for row in found.rows("experiments")} >= {
        (str(row["experiment_id"]), row["name"], row.get("workspace", "default")) for row in stored["experiments"]
    }
    runs = {row["run_id"]: row for row in found.rows("runs")}
    assert set(runs) == {RUN, DELETED, OLD}
    for row in stored["runs"]:
        mine = runs[row["run_uuid"]]
        for column in ("user_id", "status", "start_time", "end_time", "artifact_uri", "deleted_time", "source_name"):
            assert mine[column] == row.get(column), column
        assert (mine["run_name"], mine["source_type"]) == (row["name"], row["source_type"])
        assert mine["lifecycle_stage"] == row.get("lifecycle_stage", "active")
        assert mine["experiment_id"] == str(row["experiment_id"])
    for table in ("params", "tags"):
        assert sorted((row["run_id"], row["key"], row["value"]) for row in found.rows(table)) == sorted(
            (row["run_uuid"], row["key"], row["value"]) for row in stored.get(table, [])
        )
    points = [(r["run_id"], r["key"], r["step"], r["timestamp"], bits(r["value"])) for r in found.rows("metrics")]
    assert sorted(points) == sorted(
        (
            row["run_uuid"],
            row["key"],
            row.get("step", 0),
            row["timestamp"],
            bits(math.nan if row.get("is_nan") else row["value"]),
        )
        for row in stored["metrics"]
    )
    assert [(row["name"], row["source"], row["profile"]) for row in found.rows("datasets")] == [
        (row["name"], row["dataset_source"], row["dataset_profile"]) for row in stored.get("datasets", [])
    ]
    assert len(found.rows("dataset_inputs")) == len(stored.get("inputs", []))
    assert [row["value"] for row in found.rows("dataset_input_tags")] == [
        row["value"] for row in stored.get("input_tags", [])
    ]
    assert found.rows("gaps") == []


def test_every_schema_revision(tmp_path: Path) -> None:
    """From the first, of 2019, to the head: what is there is read, what is missing is null."""
    seen = 0
    for revision, path in each_revision(tmp_path):
        stored = fill(f"sqlite:///{path}")
        source = locate_source(f"sqlite:///{path}")
        assert (source.facts().schema_revision, source.facts().newer_schema) == (revision, None)
        check(read_source(source, NO_ARTIFACTS), stored)
        path.unlink()
        seen += 1
    assert seen == len(revisions()) > 60


@pytest.mark.parametrize("number", [0, 5, 19, 30, 49, 66])
def test_revisions_on_postgresql(number: int, postgres: PostgresServer) -> None:
    uri = postgres.new_database()
    make_database(uri, revisions()[number])
    stored = fill(uri)
    check(read_source(locate_source(uri), NO_ARTIFACTS), stored)


@pytest.mark.parametrize(("corpus", "store"), DATABASES)
def test_corpora(corpus: str, store: str, tmp_path: Path) -> None:
    facts = store_facts(corpus, store)
    path = tmp_path / "mlflow.db"
    shutil.copyfile(store_path(corpus, store), path)
    before = files(tmp_path)
    source = locate_source(str(path))
    assert source.facts().schema_revision == facts["alembic_version"]
    found = read_source(source, NO_ARTIFACTS)
    assert files(tmp_path) == before
    assert found.rows("gaps", owner_kind="source") == []
    lost = {row["owner_id"] for row in found.rows("gaps", code="G401")}
    counts = {name: len(found.rows(name)) for name in found.tables}
    edges = sum(counts[name] for name in ("dataset_inputs", "model_inputs", "model_outputs")) + len(lost)
    for name, rows in facts["rows"].items():
        if name == "inputs":
            assert edges == rows
        elif name != "latest_metrics":
            assert counts[name] == rows, name


class TestSourceFile:
    @pytest.mark.parametrize("mode", ["delete", "wal"])
    def test_is_left_as_it_is(self, mode: str, database: Path) -> None:
        """Also a file of an old revision, which MLflow would migrate by opening it, and one with a log beside it."""
        with closing(sqlite3.connect(database)) as writer:
            writer.execute(f"PRAGMA journal_mode = {mode}")
            writer.execute(
                "INSERT INTO experiments(experiment_id, name, lifecycle_stage) VALUES (7, 'seven', 'active')"
            )
            writer.commit()
            before = files(database.parent)
            assert ("mlflow.db-wal" in before) == (mode == "wal")
            found = read(database)
            assert files(database.parent) == before
        assert [row["name"] for row in found.rows("experiments")] == ["seven"]

    def test_that_cannot_be_written_is_read(self, database: Path) -> None:
        run(database, "PRAGMA journal_mode = wal", "INSERT INTO experiments(experiment_id, name) VALUES (7, 'seven')")
        database.chmod(0o444)
        database.parent.chmod(0o555)
        try:
            assert [row["name"] for row in read(database).rows("experiments")] == ["seven"]
        finally:
            database.parent.chmod(0o755)

    def test_with_a_journal_of_a_killed_writer_is_rolled_back_in_the_copy(self, database: Path, tmp_path: Path) -> None:
        fill(f"sqlite:///{database}")
        with closing(sqlite3.connect(database)) as writer:
            writer.execute("PRAGMA cache_spill = 1")
            writer.execute("PRAGMA cache_size = 1")
            writer.execute("BEGIN")
            writer.execute("DELETE FROM tags")
            for number in range(2000):
                writer.execute("INSERT INTO tags VALUES (?, 'x', ?)", (f"k{number}", RUN))
            crashed = tmp_path / "crashed"
            crashed.mkdir()
            shutil.copyfile(database, crashed / "mlflow.db")
            shutil.copyfile(tmp_path / "mlflow.db-journal", crashed / "mlflow.db-journal")
            writer.rollback()
        before = files(crashed)
        assert len(read(crashed / "mlflow.db").rows("tags")) == 2
        assert files(crashed) == before


class TestWhatCannotBeCarried:
    def test_rows_of_a_run_that_is_gone(self, database: Path) -> None:
        fill(f"sqlite:///{database}")
        run(database, "DELETE FROM runs WHERE user_id = 'bob'")
        found = read(database)
        assert {row["run_id"] for name in ("runs", "params", "tags", "metrics") for row in found.rows(name)} == {
            RUN,
            DELETED,
        }
        assert {(OLD, name, "G401") for name in ("params", "tags", "metrics")} <= found.gaps()
        assert {row["reason"][:1] for row in found.rows("gaps", path="metrics")} == {"1"}

    @pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
    def test_inputs_without_their_run_or_dataset_and_tags_without_their_input(
        self, kind: str, database: Path, postgres: PostgresServer
    ) -> None:
        """An archive row is made of several rows there; what lacks the others would be left out without a word."""
        uri = f"sqlite:///{database}" if kind == "sqlite" else postgres.new_database()
        make_database(uri)
        edge = "INSERT INTO inputs(input_uuid, source_type, source_id, destination_type, destination_id, step) VALUES "
        dataset = "dataset_uuid, experiment_id, name, digest, dataset_source_type, dataset_source"
        statements = [
            "INSERT INTO experiments(experiment_id, name, lifecycle_stage) VALUES (3, 'e', 'active')",
            f"INSERT INTO runs(run_uuid, lifecycle_stage, experiment_id) VALUES ('{RUN}', 'active', 3)",  # noqa: S608
            f"INSERT INTO datasets({dataset}) VALUES ('d', 3, 'n', '1', 't', 's')",  # noqa: S608
            f"{edge}('i1', 'DATASET', 'd', 'RUN', '{RUN}', 0)",
            f"{edge}('i2', 'DATASET', 'gone', 'RUN', '{RUN}', 0)",
            f"{edge}('i3', 'DATASET', 'd', 'RUN', '{OLD}', 0)",
            *(f"INSERT INTO input_tags(input_uuid, name, value) VALUES ('{i}', 'k', 'v')" for i in ("i1", "i9")),  # noqa: S608
        ]
        engine = engine_of(uri)
        with engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
        engine.dispose()
        found = read_source(locate_source(uri), Selection(artifacts=False))
        assert len(found.tables["dataset_inputs"]) == len(found.tables["dataset_input_tags"]) == 1
        assert {(row["owner_kind"], row["owner_id"], row["path"], row["code"]) for row in found.tables["gaps"]} == {
            ("run", RUN, "inputs/datasets", "G401"),
            ("run", OLD, "inputs", "G401"),
            ("database", "input_tags", "input_tags/inputs", "G401"),
        }

    def test_a_run_whose_experiment_is_gone(self, database: Path) -> None:
        fill(f"sqlite:///{database}")
        run(database, "DELETE FROM experiments WHERE experiment_id = 4")
        found = read(database)
        assert {row["run_id"] for row in found.rows("runs")} == {RUN, OLD}
        assert (DELETED, "", "G401") in found.gaps()

    def test_values_of_another_type_in_sqlite(self, database: Path) -> None:
        """SQLite holds anything anywhere: what is no number is told, with its run, and the rest is there."""
        fill(f"sqlite:///{database}")
        run(
            database,
            "UPDATE runs SET end_time = 'soon' WHERE user_id = 'ada'",
            "INSERT INTO metrics(key, value, timestamp, run_uuid, step, is_nan) "
            "SELECT 'bad', 'much', 1, run_uuid, 0, 0 FROM runs WHERE user_id = 'ada'",
            "INSERT INTO params(key, value, run_uuid) SELECT 'blob', x'ff00', run_uuid FROM runs WHERE user_id = 'ada'",
        )
        found = read(database)
        assert found.gaps() == {(RUN, "", "G203"), (RUN, "metrics/bad/0", "G202"), (RUN, "params/blob", "G203")}
        assert {row["key"] for row in found.rows("metrics", run_id=RUN)} == {"m", "clamped"}
        assert "soon" in found.rows("gaps", code="G203", path="")[0]["reason"]
        assert {row["owner_id"] for row in found.rows("fingerprints")} == {DELETED, OLD}

    def test_a_late_point_of_another_type(self, database: Path) -> None:
        """The fast way has begun when it meets the value; no point comes twice or is missing."""
        fill(f"sqlite:///{database}")
        with closing(sqlite3.connect(database)) as connection:
            insert = "INSERT INTO metrics(key, value, timestamp, run_uuid, step, is_nan) VALUES (?, ?, ?, ?, ?, 0)"
            connection.executemany(insert, [("many", float(n), n, RUN, n) for n in range(120_000)])
            connection.execute(insert, ("many", "text", 1, RUN, 999_999))
            connection.commit()
        found = read(database)
        assert [row["step"] for row in sorted(found.rows("metrics", key="many"), key=lambda r: r["step"])] == [
            *range(120_000)
        ]
        assert {code for _, _, code in found.gaps()} == {"G202"}

    def test_text_that_is_not_utf8(self, database: Path) -> None:
        fill(f"sqlite:///{database}")
        run(
            database,
            "INSERT INTO metrics(key, value, timestamp, run_uuid, step, is_nan) "
            "SELECT CAST(x'ff61' AS TEXT), 1.5, 1, run_uuid, 0, 0 FROM runs WHERE user_id = 'ada'",
            "INSERT INTO tags(key, value, run_uuid) "
            "SELECT 'broken', CAST(x'ff61' AS TEXT), run_uuid FROM runs WHERE user_id = 'ada'",
        )
        found = read(database)
        assert found.gaps() == {(RUN, "metrics/0", "G202"), (RUN, "tags/broken", "G203")}
        assert {row["key"] for row in found.rows("metrics", run_id=RUN)} == {"m", "clamped"}

    def test_edges_of_an_unknown_kind(self, database: Path) -> None:
        run(
            database,
            "INSERT INTO inputs(input_uuid, source_type, source_id, destination_type, destination_id) "
            "VALUES ('i', 'MOON', 'm', 'RUN', 'r')",
        )
        assert ("inputs", "MOON/RUN", "G402") in read(database).gaps()


class TestSelection:
    @pytest.fixture(autouse=True)
    def _fill(self, database: Path) -> None:
        fill(f"sqlite:///{database}")

    def test_without_deleted(self, database: Path) -> None:
        found = read(database, Selection(artifacts=False, deleted=False))
        assert [row["run_id"] for row in found.rows("runs")] == [RUN, OLD]
        assert [row["name"] for row in found.rows("experiments")] == ["active ü"]

    def test_filter(self, database: Path) -> None:
        found = read(database, Selection(artifacts=False, filter_string="metrics.clamped > 1 and params.empty = ''"))
        assert [row["run_id"] for row in found.rows("runs")] == [RUN]

    def test_window_and_run(self, database: Path) -> None:
        assert [r["run_id"] for r in read(database, Selection(artifacts=False, since_ms=6)).rows("runs")] == [RUN]
        assert [r["run_id"] for r in read(database, Selection(artifacts=False, runs=(OLD,))).rows("runs")] == [OLD]
        with pytest.raises(
            SelectionError, match=r"no run in the selected experiments of .* matches 'nothing'; there are "
        ):
            read(database, Selection(runs=("nothing",)))


class TestRefusals:
    def test_no_file_is_made(self, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match="No such file"):
            read(tmp_path / "none.db")
        assert list(tmp_path.iterdir()) == []

    def test_no_database_of_mlflow(self, tmp_path: Path) -> None:
        run(tmp_path / "other.db", "CREATE TABLE x (a)")
        with pytest.raises(StoreError, match="not the backend database of MLflow"):
            read(tmp_path / "other.db")

    def test_damaged(self, database: Path) -> None:
        data = bytearray(database.read_bytes())
        data[100:4096] = b"\xff" * 3996
        database.write_bytes(data)
        with pytest.raises(StoreError, match="SQLite says"):
            read(database)

    def test_unreachable_server_names_no_password(self) -> None:
        with pytest.raises(ServerError) as caught:
            read_source(locate_source("postgresql://me:s3cret@127.0.0.1:1/x"))
        assert "postgresql://127.0.0.1:1/x" in str(caught.value)
        assert "s3cret" not in str(caught.value)

    def test_other_databases(self) -> None:
        with pytest.raises(SelectionError, match="start `mlflow server"):
            locate_source("mssql+pyodbc://host/x")


def test_long_histories_come_in_pieces(database: Path) -> None:
    fill(f"sqlite:///{database}")
    from mlflow_archive.mlflow_database.uris import parse_database_uri  # noqa: PLC0415

    source = DatabaseSource(parse_database_uri(f"sqlite:///{database}"), points_per_chunk=2)
    found = read_source(source, NO_ARTIFACTS)
    assert len(found.rows("metrics")) == 5
    assert [chunk.complete for chunk in found.chunks if {"metrics", "fingerprints"} & set(chunk.tables)] == [
        False,
        True,
    ]
