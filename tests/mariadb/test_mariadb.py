"""The promises of databases on a real MariaDB server."""

from __future__ import annotations

import getpass
import itertools
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pymysql
import pytest

from mlflow_archive.flow.copy import copy
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sinks.restore import RestoreRefusedError
from mlflow_archive.sources.locate import locate_source
from mlflow_archive.writer.export import ArchiveSink
from tests.sinks.test_restore_pieces import FOUND, pieces_into, run_sql
from tests.support.chunks import ChunkSource, chunk, experiment, pairs, run
from tests.support.databases import engine_of, fill, make_database
from tests.support.reading import read_source
from tests.support.restoring import content, export, restore

NO_ARTIFACTS = Selection(artifacts=False)


class MariaServer:
    """A running server, reached through its socket."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)

    def connect(self) -> pymysql.Connection[pymysql.cursors.Cursor]:
        return pymysql.connect(unix_socket=str(self._socket), user=getpass.getuser())

    def new_database(self) -> str:
        name = f"test{next(self._numbers)}"
        with closing(self.connect()) as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        return f"mysql+pymysql://{getpass.getuser()}@localhost/{name}?unix_socket={self._socket}&charset=utf8mb4"


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaServer]:
    folder = tmp_path_factory.mktemp("mariadb")
    user = getpass.getuser()
    data, socket = folder / "data", folder / "s"
    common = [f"--datadir={data}", f"--user={user}"]
    subprocess.run(
        ["mariadb-install-db", *common, "--auth-root-authentication-method=socket"], check=True, capture_output=True
    )
    command = [
        "mariadbd",
        "--no-defaults",
        *common,
        f"--socket={socket}",
        "--skip-networking",
        f"--pid-file={folder / 'pid'}",
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    server = MariaServer(socket)
    try:
        deadline = time.monotonic() + 60
        while not socket.exists():
            assert process.poll() is None, (folder / "log").read_text(errors="replace")
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield server
    finally:
        process.terminate()
        process.wait(timeout=60)


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


def test_what_does_not_fit_is_told(mariadb: MariaServer, tmp_path: Path) -> None:
    first = chunk(experiments=[experiment("7", "e" * 257)])
    second = chunk(runs=[run("a" * 32, "7")], params=pairs("a" * 32, {"long": "x" * 8001}))
    copy(ChunkSource((0, [first]), (1, [second])), ArchiveSink(tmp_path / "a", tool="t 1", clock_ms=lambda: 0))
    uri = mariadb.new_database()
    with pytest.raises(RestoreRefusedError) as caught:
        restore(tmp_path / "a", uri)
    assert {(o.table, o.column) for o in caught.value.obstacles} == {("experiments", "name"), ("params", "value")}
    engine = engine_of(uri)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SHOW TABLES").fetchall() == []
    engine.dispose()


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
