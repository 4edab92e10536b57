"""A database that an import makes is there only when MLflow has made all of its tables."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from mlflow.store.db import utils
from mlflow.store.tracking.dbmodels.initial_models import Base as InitialBase
from sqlalchemy import Engine, event, inspect, text

from mlflow_archive.errors import TargetError
from mlflow_archive.mlflow_database.mlflow_schema import check_revision
from mlflow_archive.mlflow_database.whole_schema import make_whole
from mlflow_archive.sinks.replay.target.store_target import StoreTarget
from mlflow_archive.sinks.restore.locate import locate_database
from tests.support.databases import PostgresServer, engine_of


def test_interrupted_among_mlflows_migrations_it_is_not_there_and_the_repeat_makes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(engine: Any) -> None:
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32))")
            connection.exec_driver_sql("INSERT INTO alembic_version VALUES ('451aebb31d03')")
        raise KeyboardInterrupt

    uri = f"sqlite:///{tmp_path / 'new.db'}"
    with monkeypatch.context() as patch:
        patch.setattr(utils, "_initialize_tables", interrupted)
        with pytest.raises(KeyboardInterrupt):
            StoreTarget(uri)
    assert list(tmp_path.iterdir()) == []
    target = StoreTarget(uri)
    target.check()
    target.close()
    assert [path.name for path in tmp_path.iterdir()] == ["new.db"]


def test_rows_in_tables_of_an_mlflow_before_revisions_are_not_touched(tmp_path: Path) -> None:
    """MLflow itself would migrate them, unasked."""
    uri = f"sqlite:///{tmp_path / 'old.db'}"
    engine = engine_of(uri)
    InitialBase.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO params (key, value, run_uuid) VALUES ('k', 'v', 'r')"))
    engine.dispose()
    before = (tmp_path / "old.db").read_bytes()
    with pytest.raises(TargetError, match=r"rows in params\. Nothing was changed"):
        StoreTarget(uri)
    assert (tmp_path / "old.db").read_bytes() == before


def test_where_a_link_leads_that_leads_nowhere_yet_the_import_makes_it(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "link.db"
    link.symlink_to("real/new.db")
    with closing(StoreTarget(f"sqlite:///{link}")) as target:
        target.check()
    assert link.readlink() == Path("real/new.db")
    assert [path.name for path in (tmp_path / "real").iterdir()] == ["new.db"]


@contextmanager
def interrupted_at(start: str) -> Iterator[None]:
    """Raise KeyboardInterrupt before the first statement that begins so."""

    def interrupt(*given: Any) -> None:
        if given[2].lstrip().startswith(start):
            raise KeyboardInterrupt

    event.listen(Engine, "before_cursor_execute", interrupt)
    try:
        yield
    finally:
        event.remove(Engine, "before_cursor_execute", interrupt)


@pytest.fixture
def uri(postgres: PostgresServer) -> str:
    return postgres.new_database().replace("postgresql:", "postgresql+psycopg2:")


@pytest.fixture
def engine(uri: str) -> Iterator[Engine]:
    engine = engine_of(uri)
    yield engine
    engine.dispose()


def test_in_postgresql_nothing_is_there_either(uri: str, engine: Engine) -> None:
    for start in ("CREATE TABLE tags", "INSERT INTO alembic_version", "CREATE TABLE endpoints"):
        with interrupted_at(start), pytest.raises(KeyboardInterrupt):
            StoreTarget(uri)
        assert inspect(engine).get_table_names() == []
    with closing(StoreTarget(uri)) as target:
        target.check()
    check_revision(engine, "the target")


def test_two_imports_at_once_make_the_tables_of_postgresql_once(engine: Engine) -> None:
    with ThreadPoolExecutor(2) as pool:
        for made in [pool.submit(make_whole, engine) for _ in range(2)]:
            made.result()
    check_revision(engine, "the target")


def test_in_a_part_of_mlflows_tables_rows_are_not_touched(uri: str, engine: Engine) -> None:
    InitialBase.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO experiments (experiment_id, name) VALUES (0, 'Default'), (1, 'mine')"))
    before = inspect(engine).get_table_names()
    with pytest.raises(TargetError, match=r"a part of MLflow's tables.*: rows in experiments. Nothing was changed"):
        StoreTarget(uri)
    assert inspect(engine).get_table_names() == before
    database = locate_database(uri)
    with pytest.raises(TargetError, match=r"some of MLflow's tables only \(experiments, .*drop the database"):
        database.open()
    database.rollback()
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM experiments WHERE experiment_id = 1"))
    make_whole(engine)
    check_revision(engine, "the target")
