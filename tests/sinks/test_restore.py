"""What stands against a restore is found before anything is written; what fails half-way leaves no trace."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mlflow_archive.api.restoring import restore_archive
from mlflow_archive.errors import SelectionError, ServerError, TargetError
from mlflow_archive.flow.copy import copy
from mlflow_archive.format.source_tags import shorten
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sinks.restore import RestoreOptions, RestoreRefusedError
from mlflow_archive.sinks.restore.locate import locate_database
from mlflow_archive.sinks.restore.sqlite import SqliteDatabase
from mlflow_archive.writer.export import ArchiveSink
from tests.contracts.source_contract import CHILD, PARENT
from tests.support.chunks import ChunkSource, chunk, experiment, pairs, points, run
from tests.support.databases import PostgresServer, engine_of, fill, make_database, revisions, sqlite_rows
from tests.support.restoring import content, export, restore

A, B, C = "a" * 32, "b" * 32, "c" * 32


def archive_of(path: Path, *chunks: Any) -> Path:
    copy(
        ChunkSource(*((stage, [each]) for stage, each in enumerate(chunks))),
        ArchiveSink(path, tool="t 1", clock_ms=lambda: 0),
    )
    return path


def tables_of(uri: str) -> dict[str, int]:
    engine = engine_of(uri)
    with engine.connect() as connection:
        names = connection.exec_driver_sql(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'" if "postgres" in uri
            else "SELECT name FROM sqlite_master WHERE type = 'table'"
        ).scalars().all()  # fmt: skip
        found = {name: connection.exec_driver_sql(f'SELECT count(*) FROM "{name}"').scalar() or 0 for name in names}  # noqa: S608
    engine.dispose()
    return found


class TestConflicts:
    def test_ids_that_are_there_are_named_and_nothing_is_written(self, store: Path, tmp_path: Path) -> None:
        uri = f"sqlite:///{tmp_path / 't.db'}"
        restore(store, uri)
        before = hashlib.sha256((tmp_path / "t.db").read_bytes()).hexdigest()
        with pytest.raises(RestoreRefusedError, match="With --merge") as caught:
            restore(store, uri)
        found = {(o.table, tuple(o.key.values())) for o in caught.value.obstacles}
        assert {("experiments", ("1",)), ("runs", (PARENT,)), ("runs", (CHILD,))} <= found
        assert hashlib.sha256((tmp_path / "t.db").read_bytes()).hexdigest() == before

    def test_merge_adds_what_is_missing(self, store: Path, tmp_path: Path) -> None:
        uri = f"sqlite:///{tmp_path / 't.db'}"
        restore(store, uri, selection=Selection(experiments=("1",), artifacts=False))
        engine = engine_of(uri)
        with engine.begin() as connection:
            connection.exec_driver_sql(f"DELETE FROM tags WHERE run_uuid = '{CHILD}'")  # noqa: S608
            for table in ("params", "metrics", "latest_metrics"):
                connection.exec_driver_sql(f"DELETE FROM {table} WHERE run_uuid = '{PARENT}'")  # noqa: S608
            connection.exec_driver_sql("DELETE FROM input_tags")
            connection.exec_driver_sql("DELETE FROM inputs")
            connection.exec_driver_sql(f"DELETE FROM tags WHERE run_uuid = '{PARENT}'")  # noqa: S608
            connection.exec_driver_sql(f"DELETE FROM runs WHERE run_uuid = '{PARENT}'")  # noqa: S608
        engine.dispose()
        report = restore(store, uri, merge=True)
        assert report.counts["runs"] == 2
        assert report.counts["runs_there_already"] == 2
        assert report.counts["experiments_there_already"] == 1
        assert sqlite_rows(tmp_path / "t.db", "SELECT count(*) FROM runs") == [(4,)]
        assert sqlite_rows(tmp_path / "t.db", "SELECT count(*) FROM experiments") == [(2,)]
        assert sqlite_rows(tmp_path / "t.db", f"SELECT count(*) FROM params WHERE run_uuid = '{PARENT}'") == [(1,)]  # noqa: S608
        # What was there already is left as it was.
        assert sqlite_rows(tmp_path / "t.db", f"SELECT count(*) FROM tags WHERE run_uuid = '{CHILD}'") == [(0,)]  # noqa: S608

    def test_a_name_of_another_experiment(self, tmp_path: Path) -> None:
        uri = f"sqlite:///{tmp_path / 't.db'}"
        restore(archive_of(tmp_path / "a", chunk(experiments=[experiment("7", "mine")])), uri)
        other = archive_of(tmp_path / "b", chunk(experiments=[experiment("8", "mine")]))
        for merge in (False, True):
            with pytest.raises(RestoreRefusedError, match="'mine' is the name of experiment 7"):
                restore(other, uri, merge=merge)

    def test_a_database_that_mlflow_only_initialised_is_empty(self, store: Path, postgres: PostgresServer) -> None:
        uri = postgres.new_database()
        make_database(uri)
        engine = engine_of(uri)
        with engine.begin() as connection:
            connection.exec_driver_sql("INSERT INTO experiments(experiment_id, name) VALUES (0, 'Default')")
        engine.dispose()
        assert restore(store, uri).counts["runs"] == 4
        assert tables_of(uri)["experiments"] == 2


class TestWhatTheTargetCannotHold:
    def test_is_told_by_row_before_anything_is_written(self, tmp_path: Path, postgres: PostgresServer) -> None:
        runs = [run(A, "7"), run(B, "7", status="DREAMING"), run(C, "7")]
        long = pairs(C, {"fits": "x" * 8000, "k" * 251: "x", "l" * 252: "x"})
        archive = archive_of(tmp_path / "a", chunk(experiments=[experiment("7", "e")]), chunk(runs=runs, params=long))
        uri = postgres.new_database()
        with pytest.raises(RestoreRefusedError) as caught:
            restore(archive, uri)
        found = {(o.table, o.column, o.problem.partition(" (")[0]) for o in caught.value.obstacles}
        assert found == {
            ("runs", "status", "is not one of SCHEDULED, FAILED, FINISHED, RUNNING, KILLED"),
            ("params", "key", "is longer than 250 characters"),
        }
        assert tables_of(uri) == {}
        keys = [tuple(o.key.values()) for o in caught.value.obstacles if o.table == "params"]
        assert sorted(keys) == [(C, "k" * 251), (C, "l" * 252)]

    def test_a_point_is_told_with_its_whole_key(self, tmp_path: Path, postgres: PostgresServer) -> None:
        """The first pass reads of points only what can be refused, and all of them once something is."""
        told = [*points(A, "k" * 251, [1.0, 2.0]), *points(A, "n" * 252, [3.0]), *points(A, "m", [4.0])]
        archive = archive_of(
            tmp_path / "a", chunk(experiments=[experiment("7", "e")]), chunk(runs=[run(A, "7")], metrics=told)
        )
        uri = postgres.new_database()
        with open_archive(archive) as opened, pytest.raises(RestoreRefusedError) as caught:
            restore_archive(opened, uri, RestoreOptions())
        keys = [{**o.key, "key": str(o.key["key"])[0]} for o in caught.value.obstacles]
        assert [(key["key"], key["step"]) for key in keys] == [("k", 0), ("k", 1), ("n", 0)]
        assert all(key.keys() == {"run_id", "key", "step", "timestamp"} for key in keys)
        assert tables_of(uri) == {}

    def test_a_text_that_names_nothing_else_is_changed_and_told(self, tmp_path: Path, postgres: PostgresServer) -> None:
        nul, seen, name, param = "a\x00b", "a\u2400b", "n" * 251, "ü" * 8001
        archive = archive_of(
            tmp_path / "a",
            chunk(
                experiments=[experiment("7", f"e{nul}")],
                experiment_tags=[{"experiment_id": "7", "key": "t", "value": nul}],
            ),
            chunk(
                runs=[run(A, "7", run_name=name), run(B, "7", run_name=nul)],
                params=pairs(A, {"long": param, nul: nul}),
                metrics=points(A, nul, [1.0, 2.0]),
                traces=[{"trace_id": "tr-1", "experiment_id": "7", "request_time": 1, "state": "OK"}],
                trace_tags=[{"trace_id": "tr-1", "key": "k", "value": nul}],
            ),
        )
        uri = postgres.new_database()
        with open_archive(archive) as opened:
            planned = restore_archive(opened, uri, RestoreOptions(dry_run=True))
            report = restore_archive(opened, uri, RestoreOptions())
        assert report.counts["shortened_texts"] == planned.counts["shortened_texts"] == 2
        assert report.counts["texts_with_nul"] == planned.counts["texts_with_nul"] == 7
        rewritten: Any = report.details["rewritten"]
        for entry in (
            {"table": "runs", "key": {"run_id": A}, "column": "run_name", "original": name},
            {"table": "params", "key": {"run_id": A, "key": "long"}, "column": "value", "original": param},
            {"table": "metrics", "key": {"run_id": A, "key": nul}, "column": "key", "original": nul},
        ):
            assert entry in rewritten
        engine = engine_of(uri)
        with engine.connect() as connection:

            def values(query: str) -> list[Any]:
                return sorted(connection.exec_driver_sql(query).scalars())

            assert values("SELECT name FROM experiments WHERE experiment_id = 7") == [f"e{seen}"]
            assert values("SELECT name FROM runs") == sorted([shorten(name, 250), seen])
            assert values("SELECT value FROM params") == sorted([seen, shorten(param, 8000)])
            assert values("SELECT key FROM latest_metrics") == [seen]
            assert values("SELECT value FROM trace_tags") == [seen]
        engine.dispose()

    def test_sqlite_takes_what_it_does_not_check(self, tmp_path: Path) -> None:
        archive = archive_of(tmp_path / "a", chunk(experiments=[experiment("7", "e" * 257)]))
        assert restore(archive, f"sqlite:///{tmp_path / 't.db'}").counts["experiments"] == 1

    def test_ids_of_file_stores_do_not_fit_into_postgresql(self, tmp_path: Path, postgres: PostgresServer) -> None:
        archive = archive_of(tmp_path / "a", chunk(experiments=[experiment("467890123456789012", "big")]))
        with pytest.raises(RestoreRefusedError, match="is no number up to 2147483647"):
            restore(archive, postgres.new_database())
        assert restore(archive, f"sqlite:///{tmp_path / 't.db'}").counts["experiments"] == 1

    def test_what_no_sql_database_keeps_is_counted(self, tmp_path: Path) -> None:
        equal = points(A, "m", [1.0, float("inf"), float("nan"), 2.0])
        archive = archive_of(
            tmp_path / "a",
            chunk(experiments=[experiment("7", "e")]),
            chunk(runs=[run(A, "7")], metrics=[*equal, *equal]),
        )
        report = restore(archive, f"sqlite:///{tmp_path / 't.db'}")
        assert report.counts["equal_points"] == 4
        assert report.counts["infinities_as_largest"] == 1
        rows = sqlite_rows(tmp_path / "t.db", "SELECT value, is_nan FROM metrics ORDER BY step")
        assert rows == [(1.0, 0), (1.7976931348623157e308, 0), (0.0, 1), (2.0, 0)]

    def test_nan_of_a_logged_model_is_null_in_sqlite_and_nan_in_postgresql(
        self, tmp_path: Path, postgres: PostgresServer
    ) -> None:
        texts = {"model_id": "m-1", "experiment_id": "7", "name": "m", "artifact_location": "/m", "status": "READY"}
        model = {**texts, "creation_timestamp": 0, "last_updated_timestamp": 0, "lifecycle_stage": "active"}
        point = {"model_id": "m-1", "key": "k", "timestamp": 1, "step": 0, "run_id": A, "experiment_id": "7"}
        archive = archive_of(
            tmp_path / "a",
            chunk(experiments=[experiment("7", "e")]),
            chunk(runs=[run(A, "7")]),
            chunk(logged_models=[model], logged_model_metrics=[{**point, "value": float("nan")}]),
        )
        uri, other = f"sqlite:///{tmp_path / 't.db'}", postgres.new_database()
        assert restore(archive, uri).counts["nan_as_null"] == 1
        assert sqlite_rows(tmp_path / "t.db", "SELECT metric_value FROM logged_model_metrics") == [(None,)]
        assert "nan_as_null" not in restore(archive, other).counts
        found = content(export(other, tmp_path / "b"))["logged_model_metrics"]
        assert found == content(archive)["logged_model_metrics"]


class TestAnotherDatabaseInTheWay:
    @pytest.mark.parametrize("suffix", ["-wal", "-journal"])
    def test_the_log_of_a_database_that_is_gone(self, suffix: str, store: Path, tmp_path: Path) -> None:
        """SQLite would play it into the new file: of a log of 2,000 rows nothing of the restored was left."""
        log = tmp_path / f"t.db{suffix}"
        log.write_bytes(b"pages")
        with pytest.raises(TargetError, match=f"t.db{suffix} of an earlier database is; move that away"):
            restore(store, f"sqlite:///{tmp_path / 't.db'}")
        log.unlink()
        assert restore(store, f"sqlite:///{tmp_path / 't.db'}").counts["runs"] == 4

    def test_a_database_that_is_made_meanwhile_is_not_replaced(
        self, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        target, root = tmp_path / "t.db", tmp_path / "root"
        real = SqliteDatabase.commit

        def late(self: Any) -> None:
            target.write_bytes(b"of another process")
            real(self)

        monkeypatch.setattr(SqliteDatabase, "commit", late)
        with pytest.raises(TargetError, match="was made by another process"):
            restore(store, f"sqlite:///{target}", artifact_root=str(root))
        assert target.read_bytes() == b"of another process"
        assert [path for path in tmp_path.rglob("*") if ".restore" in path.name] == []
        assert list(root.iterdir()) == []


class TestFailures:
    @pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
    def test_half_way_leaves_the_database_as_it_was(
        self, kind: str, store: Path, tmp_path: Path, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        uri = f"sqlite:///{tmp_path / 'new' / 't.db'}" if kind == "sqlite" else postgres.new_database()
        inserted: list[str] = []
        real = type(locate_database(uri)).insert

        def failing(self: Any, table: str, rows: Any) -> None:
            inserted.append(table)
            if table == "metrics":
                raise TargetError("the disk is full")
            real(self, table, rows)

        with monkeypatch.context() as patch:
            patch.setattr(type(locate_database(uri)), "insert", failing)
            with pytest.raises(TargetError, match="disk is full"):
                restore(store, uri)
        assert "runs" in inserted
        if kind == "sqlite":
            assert not (tmp_path / "new").exists()
        else:
            assert tables_of(uri) == {}
        assert restore(store, uri).counts["runs"] == 4

    @pytest.mark.parametrize("seconds", [0.0, 0.15, 0.4])
    def test_killed(self, seconds: float, store: Path, tmp_path: Path) -> None:
        """The file appears at the end, whole, or not at all; the command can be given again."""
        target = tmp_path / "t.db"
        argv = ["restore", str(store), "--to", f"sqlite:///{target}", "--keep-artifact-uris", "-q"]
        program = f"import sys; sys.argv[1:] = {argv!r}; from mlflow_archive_cli.main import main; main()"
        process = subprocess.Popen(
            [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        )
        while not list(tmp_path.glob(".t.db.*")) and process.poll() is None:
            time.sleep(0.005)
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if target.exists():
            assert sqlite_rows(target, "PRAGMA integrity_check") == [("ok",)]
            assert sqlite_rows(target, "SELECT count(*) FROM runs") == [(4,)]
        else:
            restore(store, f"sqlite:///{target}")
            assert sqlite_rows(target, "SELECT count(*) FROM runs") == [(4,)]


class TestRefusals:
    def test_an_old_schema(self, store: Path, tmp_path: Path) -> None:
        make_database(f"sqlite:///{tmp_path / 'old.db'}", revisions()[20])
        with pytest.raises(TargetError, match=f"{revisions()[20]}.*{revisions()[-1]}.*mlflow db upgrade"):
            restore(store, f"sqlite:///{tmp_path / 'old.db'}")

    def test_tables_of_others(self, store: Path, tmp_path: Path) -> None:
        engine = engine_of(f"sqlite:///{tmp_path / 'other.db'}")
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE invoices (a)")
        engine.dispose()
        with pytest.raises(TargetError, match="other tables than MLflow's"):
            restore(store, f"sqlite:///{tmp_path / 'other.db'}")

    @pytest.mark.parametrize("made", ["folder", "text"])
    def test_no_database(self, made: str, store: Path, tmp_path: Path) -> None:
        place = tmp_path / "t.db"
        place.mkdir() if made == "folder" else place.write_text("a text that is no database" * 99)
        with pytest.raises(TargetError, match=r"t.db cannot be opened: (unable to open|file is not a) database"):
            restore(store, f"sqlite:///{place}")

    def test_unreachable(self, store: Path) -> None:
        with pytest.raises(ServerError, match="cannot be reached"):
            restore(store, "postgresql://me:s3cret@127.0.0.1:1/x")
        with pytest.raises(SelectionError):
            locate_database("nonsense")


def test_archives_of_databases_keep_their_nulls_and_others_are_made_readable(tmp_path: Path) -> None:
    """MLflow shows no page with a run that has no user, status or start; a file store may well have such a run."""
    archive = archive_of(
        tmp_path / "a",
        chunk(experiments=[experiment("7", "e")]),
        chunk(runs=[run(A, "7", user_id=None, start_time=None)]),
    )
    report = restore(archive, f"sqlite:///{tmp_path / 't.db'}")
    assert report.details["filled"] == {"runs.start_time": 1, "runs.user_id": 1}
    assert sqlite_rows(tmp_path / "t.db", "SELECT user_id, start_time FROM runs") == [("", 0)]
    make_database(f"sqlite:///{tmp_path / 's.db'}")
    fill(f"sqlite:///{tmp_path / 's.db'}")
    engine = engine_of(f"sqlite:///{tmp_path / 's.db'}")
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE runs SET user_id = NULL")
    engine.dispose()
    restore(
        export(str(tmp_path / "s.db"), tmp_path / "b", Selection(artifacts=False)), f"sqlite:///{tmp_path / 'u.db'}"
    )
    assert set(sqlite_rows(tmp_path / "u.db", "SELECT user_id FROM runs")) == {(None,)}
    with open_archive(tmp_path / "b") as opened:
        assert opened.newest_export.source["kind"] == "database"


def test_ids_of_edges_that_no_server_shows_are_made(tmp_path: Path) -> None:
    """An archive of a server lacks ids that a database must have; they are made, the same each time."""
    archive = archive_of(
        tmp_path / "a.mlfa",
        chunk(
            experiments=[experiment("1", "e")],
            datasets=[{"experiment_id": "1", "name": "iris", "digest": "d", "source_type": "local", "source": "x"}],
        ),
        chunk(
            runs=[run(A, "1")],
            dataset_inputs=[{"run_id": A, "dataset_name": "iris", "dataset_digest": "d"}],
            logged_models=[
                {
                    "model_id": "m-1",
                    "experiment_id": "1",
                    "name": "net",
                    "status": "READY",
                    "artifact_location": "x",
                    "creation_timestamp": 1,
                    "last_updated_timestamp": 1,
                }
            ],
            model_outputs=[{"run_id": A, "model_id": "m-1", "step": 0}],
            traces=[{"trace_id": "tr-1", "experiment_id": "1", "request_time": 1, "state": "OK"}],
            trace_links=[{"trace_id": "tr-1", "destination_type": "prompt_version", "destination_id": "prompt/1"}],
            evaluation_datasets=[{"dataset_id": "d-1", "name": "questions"}],
            evaluation_dataset_experiments=[{"dataset_id": "d-1", "experiment_id": "1"}],
        ),
    )
    made = []
    for name in ("one", "two"):
        uri = f"sqlite:///{tmp_path / name}.db"
        with open_archive(archive) as opened:
            assert restore_archive(opened, uri, RestoreOptions(artifact_root=None)).complete
        queries = ("SELECT * FROM inputs ORDER BY 1", "SELECT * FROM entity_associations ORDER BY 1")
        made.append([sqlite_rows(tmp_path / f"{name}.db", query) for query in queries])
    assert [len(rows) for rows in made[0]] == [2, 2]
    assert made[0] == made[1]


def test_experiment_tags_on_which_a_server_acts_are_listed(tmp_path: Path) -> None:
    tags = [{"experiment_id": "1", "key": key, "value": "x"} for key in ("mlflow.issueDetection.schedule", "mine")]
    archive = archive_of(tmp_path / "a.mlfa", chunk(experiments=[experiment("1", "e")], experiment_tags=tags))
    report = restore(archive, f"sqlite:///{tmp_path / 't.db'}")
    assert report.details["acting_tags"] == [{"experiment_id": "1", "key": "mlflow.issueDetection.schedule"}]
    assert sqlite_rows(tmp_path / "t.db", "SELECT count(*) FROM experiment_tags") == [(2,)]


def test_a_zero_that_loses_its_sign_is_announced(tmp_path: Path) -> None:
    values = [-0.0, 0.0, -1.0, float("nan"), float("-inf")]
    archive = archive_of(
        tmp_path / "a.mlfa",
        chunk(experiments=[experiment("1", "e")]),
        chunk(runs=[run(A, "1")], metrics=points(A, "m", values)),
    )
    report = restore(archive, f"sqlite:///{tmp_path / 't.db'}")
    assert report.counts["negative_zeros_as_zero"] == 1
