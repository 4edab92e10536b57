"""The promises of databases on a real MariaDB server."""

from __future__ import annotations

import itertools
import threading
from contextlib import closing
from pathlib import Path

import pytest

from mlflow_archive.flow.copy import copy
from mlflow_archive.format.source_tags import shorten
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sinks.restore import RestoreRefusedError
from mlflow_archive.sources.locate import locate_source
from mlflow_archive.writer.export import ArchiveSink
from tests.mariadb.conftest import MariaServer
from tests.sinks.test_restore_pieces import FOUND, pieces_into, run_sql
from tests.support.chunks import ChunkSource, chunk, experiment, pairs, run
from tests.support.databases import engine_of, fill, make_database
from tests.support.reading import read_source
from tests.support.restoring import content, export, restore

NO_ARTIFACTS = Selection(artifacts=False)


def test_the_law(mariadb: MariaServer, tmp_path: Path) -> None:
    """SQLite to MariaDB and back: every row is the same."""
    source = f"sqlite:///{tmp_path / 's.db'}"
    make_database(source)
    fill(source)
    archive = export(source, tmp_path / "a", NO_ARTIFACTS)
    there, back = mariadb.new_database(), f"sqlite:///{tmp_path / 'back.db'}"
    restore(archive, there)
    again = export(there, tmp_path / "b", NO_ARTIFACTS)
    assert content(again) == content(archive)
    restore(again, back)
    assert content(export(back, tmp_path / "c", NO_ARTIFACTS)) == content(archive)


def test_a_point_in_time(mariadb: MariaServer) -> None:
    uri = mariadb.new_database()
    make_database(uri)
    fill(uri)
    engine = engine_of(uri)
    stop = threading.Event()

    def write() -> None:
        for number in itertools.count():
            if stop.is_set():
                return
            with engine.begin() as connection:
                for table in ("params", "tags"):
                    statement = f"INSERT INTO {table}(`key`, value, run_uuid) VALUES ('k{number}', 'v', '{'a' * 32}')"  # noqa: S608
                    connection.exec_driver_sql(statement)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(3):
            with closing(locate_source(uri)) as source:
                found = read_source(source, NO_ARTIFACTS)
            params = {row["key"] for row in found.rows("params", value="v")}
            assert params == {row["key"] for row in found.rows("tags", value="v")}
    finally:
        stop.set()
        writer.join()
        engine.dispose()
    assert params


def test_what_does_not_fit_arrives_cut_and_what_names_something_is_told(mariadb: MariaServer, tmp_path: Path) -> None:
    long, key = "x" * 8001, "k" * 251
    first = chunk(experiments=[experiment("7", "e" * 257)])
    for number, params in enumerate(({"long": long}, {"long": long, key: "1"})):
        second = chunk(runs=[run("a" * 32, "7")], params=pairs("a" * 32, params))
        archive = tmp_path / f"{number}"
        copy(ChunkSource((0, [first]), (1, [second])), ArchiveSink(archive, tool="t 1", clock_ms=lambda: 0))
    uri = mariadb.new_database()
    with pytest.raises(RestoreRefusedError) as caught:
        restore(tmp_path / "1", uri)
    assert {(o.table, o.column) for o in caught.value.obstacles} == {("params", "key")}
    engine = engine_of(uri)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SHOW TABLES").fetchall() == []
    engine.dispose()
    report = restore(tmp_path / "0", uri)
    assert report.counts["shortened_texts"] == 2
    assert run_sql(uri, "SELECT value FROM params") == [(shorten(long, 8000),)]
    assert run_sql(uri, "SELECT name FROM experiments WHERE experiment_id = 7") == [(shorten("e" * 257, 256),)]


@pytest.mark.parametrize("fresh", [True, False])
def test_equal_points_in_pieces_of_a_history(fresh: bool, mariadb: MariaServer) -> None:
    uri = mariadb.new_database()
    if not fresh:
        make_database(uri)
        run_sql(uri, "INSERT INTO experiments(experiment_id, name) VALUES (1, 'mine')")
    assert pieces_into(uri).counts["equal_points"] == 5
    rows = run_sql(uri, "SELECT run_uuid, `key`, step, value FROM metrics")
    assert len(rows) == len(FOUND)
    assert {tuple(row) for row in rows} == FOUND


def test_a_merge_reads_what_is_there(mariadb: MariaServer, tmp_path: Path) -> None:
    uri = mariadb.new_database()
    archive = tmp_path / "a"
    runs = [run(letter * 32, "7") for letter in "abc"]
    copy(
        ChunkSource((0, [chunk(experiments=[experiment("7", "e")])]), (1, [chunk(runs=runs)])),
        ArchiveSink(archive, tool="t 1", clock_ms=lambda: 0),
    )
    restore(archive, uri)
    run_sql(uri, f"DELETE FROM runs WHERE run_uuid = '{'b' * 32}'")  # noqa: S608
    with pytest.raises(RestoreRefusedError) as caught:
        restore(archive, uri)
    assert len(caught.value.obstacles) == 3
    report = restore(archive, uri, merge=True)
    assert (report.counts["runs"], report.counts["runs_there_already"]) == (1, 2)
