"""The making of MLflow's tables in MariaDB is killed; it leaves nothing that blocks, and takes nothing of anybody's."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
from sqlalchemy import Engine, event, inspect, text

from mlflow_archive.errors import TargetError
from mlflow_archive.mlflow_database import whole_schema
from mlflow_archive.mlflow_database.mlflow_schema import check_revision
from mlflow_archive.mlflow_database.whole_schema import MARKER, make_whole
from mlflow_archive.sinks.replay.target.store_target import StoreTarget
from mlflow_archive.sinks.restore.locate import locate_database
from tests.mariadb.conftest import MariaServer
from tests.support.databases import engine_of

DYING = """
import os, signal, sys
from sqlalchemy import event
from sqlalchemy.engine import Engine
from mlflow_archive.mlflow_database import whole_schema
from tests.support.databases import engine_of
what, start = sys.argv[1:3]
engine = engine_of(sys.argv[3])
@event.listens_for(Engine, "before_cursor_execute")
def dying(connection, cursor, statement, *rest):
    if statement.lstrip().startswith(start):
        os.kill(os.getpid(), signal.SIGKILL)
getattr(whole_schema, what)(engine)
"""
MOMENTS = {
    "behind the marker": "CREATE TABLE experiments",
    "before the first revision": "INSERT INTO alembic_version",
    "within a revision": "ALTER TABLE model_versions",
    "between two revisions": "UPDATE alembic_version SET version_num='3500859a5d39'",
    "in the newest tables": "CREATE TABLE endpoints",
    "behind the last step": f"DROP TABLE {MARKER}",
}


def killed(what: str, start: str, uri: str) -> None:
    """Call a function of ``whole_schema`` in another process, which dies before the first statement that starts so."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    words = [sys.executable, "-c", DYING, what, start, uri]
    process = subprocess.run(words, env=environment, check=False, capture_output=True)
    assert process.returncode == -9, process.stderr


@pytest.fixture
def uri(mariadb: MariaServer) -> str:
    return mariadb.new_database()


@pytest.fixture
def engine(uri: str) -> Iterator[Engine]:
    engine = engine_of(uri)
    yield engine
    engine.dispose()


def run(engine: Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.timeout(300)
def test_killed_while_they_are_made_the_import_makes_them(moment: str, uri: str, engine: Engine) -> None:
    killed("make_whole", MOMENTS[moment], uri)
    assert MARKER in inspect(engine).get_table_names()
    with closing(StoreTarget(uri)) as target:
        target.check()
    check_revision(engine, "the target")
    assert MARKER not in inspect(engine).get_table_names()


@pytest.mark.timeout(300)
def test_killed_while_they_are_made_or_removed_the_restore_makes_them(uri: str, engine: Engine) -> None:
    for what, start in (("make_whole", "CREATE TABLE endpoints"), ("remove_tables", "DROP TABLE runs")):
        killed(what, start, uri)
        assert MARKER in inspect(engine).get_table_names()
        database = locate_database(uri)
        database.open()
        assert database.fresh
        database.begin()
        database.commit()
        check_revision(engine, "the target")
        assert MARKER not in inspect(engine).get_table_names()


@pytest.mark.timeout(120)
def test_two_at_once_make_them_once(engine: Engine) -> None:
    made: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *given: made.append(given[2][:12]))
    threads = [threading.Thread(target=make_whole, args=(engine,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check_revision(engine, "the target")
    assert sum("CREATE TABLE" in statement for statement in made) > 0
    assert MARKER not in inspect(engine).get_table_names()


@pytest.mark.parametrize(
    ("marked", "statement", "found"),
    [
        (True, "INSERT INTO experiments (experiment_id, name) VALUES (1, 'mine')", "rows in experiments"),
        (False, "INSERT INTO experiments (experiment_id, name) VALUES (1, 'mine')", "rows in experiments"),
        (True, "CREATE TABLE mine (id INT)", "the table mine"),
    ],
)
def test_what_is_somebodys_stays(marked: bool, statement: str, found: str, engine: Engine) -> None:
    run(engine, "CREATE TABLE experiments (experiment_id INT PRIMARY KEY, name VARCHAR(256))", statement)
    if marked:
        run(engine, f"CREATE TABLE {MARKER} (id INT)")
    before = set(inspect(engine).get_table_names())
    with pytest.raises(TargetError, match=rf"{found}\. Nothing was changed"):
        make_whole(engine)
    assert set(inspect(engine).get_table_names()) == before
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT name FROM experiments")).scalars().all()
    assert rows == (["mine"] if "VALUES" in statement else [])


def test_who_makes_them_for_very_long_is_told(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole_schema, "_PATIENCE_SECONDS", 1)
    with whole_schema._alone(engine), pytest.raises(TargetError, match="for 1 s another process has been making"):
        make_whole(engine)


@pytest.mark.timeout(120)
def test_beside_other_tables_mlflow_makes_its_own(engine: Engine) -> None:
    run(engine, "CREATE TABLE mine (id INT)", "INSERT INTO mine VALUES (7)")
    make_whole(engine)
    check_revision(engine, "the target")
    with engine.connect() as connection:
        assert connection.execute(text("SELECT id FROM mine")).scalars().all() == [7]
