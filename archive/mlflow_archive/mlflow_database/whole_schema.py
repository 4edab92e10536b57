"""MLflow's tables are made whole or not at all, whatever moment the making is killed at.

PostgreSQL takes tables into a transaction. MySQL does not: a table of ours is there from before the first of MLflow's
until after the last, by which the next making knows what an interrupted one left, and makes it anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import Connection, Engine, inspect, literal, select, table, text

from mlflow_archive.errors import TargetError
from mlflow_archive.mlflow_database.known_schema import VERSION_TABLE, is_known_table
from mlflow_archive.optional import needing

MARKER: Final = "mlflow_archive_unfinished"
"""In a MySQL database while its tables are made or removed."""

_PATIENCE_SECONDS: Final = 600
_MADE_BY_MLFLOW: Final = {"workspaces": "name <> 'default'", "experiments": "experiment_id <> 0"}
"""Tables in which MLflow puts a row itself, and what tells others from it."""


def is_whole(connection: Connection) -> bool:
    """Return whether a database has MLflow's tables, of whatever revision, and no making of them was interrupted."""
    names = inspect(connection).get_table_names()
    return VERSION_TABLE in names and MARKER not in names


def revision_of(connection: Connection) -> str | None:
    """Return the schema revision of a database that has the table of it, None where that is empty."""
    revision: str | None = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608 - a constant
    return revision


def make_whole(engine: Engine) -> None:
    """Make MLflow's tables in a database that lacks them, or has what an interrupted making left.

    In PostgreSQL and MySQL one process at a time does it; where another has done it meanwhile, nothing is done. Other
    databases MLflow makes its own way. Raises TargetError where any of MLflow's tables that are there holds a row,
    SQLAlchemyError, and ImportError without full MLflow.
    """
    if engine.dialect.name == "postgresql":
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('mlflow-archive'))"))
            if not is_whole(connection):
                _refuse_rows(connection)
                make_schema_within(connection)
    elif engine.dialect.name == "mysql":
        with _alone(engine) as connection:
            if not is_whole(connection):
                _make_with_marker(engine, connection)
    else:
        with engine.connect() as connection:
            if is_whole(connection):
                return
            _refuse_rows(connection)
        _initialize(engine)


def make_schema_within(connection: Connection) -> None:
    """Make MLflow's tables in the transaction of a connection, where the database can do that.

    MLflow's own way takes a connection of its own and commits; its migrations are the same. Raises MissingExtraError.
    """
    with needing("server", "making MLflow's tables"):
        from alembic.runtime.environment import EnvironmentContext  # noqa: PLC0415 - comes with MLflow
        from alembic.script import ScriptDirectory  # noqa: PLC0415
        from mlflow.store.db import utils  # noqa: PLC0415
    utils.InitialBase.metadata.create_all(connection)
    config = utils._get_alembic_config("")
    script = ScriptDirectory.from_config(config)
    heads = script.get_heads()
    with EnvironmentContext(config, script, fn=lambda now, _: script._upgrade_revs(heads, now)) as environment:  # type: ignore[arg-type]
        environment.configure(connection=connection, target_metadata=utils.Base.metadata, render_as_batch=True)
        environment.run_migrations()


def remove_tables(engine: Engine) -> None:
    """Drop all tables of a MySQL database; if that is killed, the next making goes on with it."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        _remove(connection)


def _remove(connection: Connection) -> None:
    connection.execute(text(f"CREATE TABLE IF NOT EXISTS {MARKER} (id INT)"))
    connection.execute(text("SET SESSION foreign_key_checks = 0"))
    for name in _names(connection):
        connection.execute(text(f"DROP TABLE {_quoted(connection, name)}"))
    connection.execute(text("SET SESSION foreign_key_checks = 1"))
    connection.execute(text(f"DROP TABLE {MARKER}"))


def _names(connection: Connection) -> list[str]:
    """Return the names of all tables but ours."""
    return [name for name in inspect(connection).get_table_names() if name != MARKER]


def _quoted(connection: Connection, name: str) -> str:
    return connection.dialect.identifier_preparer.quote(name)


def _initialize(engine: Engine) -> None:
    """Have MLflow make its tables its own way: in several steps, between which it may be killed."""
    from mlflow.store.db import utils  # noqa: PLC0415 - full MLflow takes seconds to import

    utils._initialize_tables(engine)


@contextmanager
def _alone(engine: Engine) -> Iterator[Connection]:
    """Yield a connection that commits by itself, while no other process makes tables in this database."""
    lock = "CONCAT('mlflow-archive:', MD5(DATABASE()))"
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if connection.execute(text(f"SELECT GET_LOCK({lock}, {_PATIENCE_SECONDS})")).scalar() != 1:
            raise TargetError(
                f"for {_PATIENCE_SECONDS} s another process has been making the tables of {engine.url.database}; "
                "see that it ends, and try again"
            )
        try:
            yield connection
        finally:
            connection.execute(text(f"SELECT RELEASE_LOCK({lock})"))


def _make_with_marker(engine: Engine, connection: Connection) -> None:
    marked, names = inspect(connection).has_table(MARKER), _names(connection)
    if marked and VERSION_TABLE in names and _is_newest(connection):
        connection.execute(text(f"DROP TABLE {MARKER}"))  # the making was killed behind its last step
        return
    _refuse_rows(connection)
    if not marked and names:  # not ours to remove: MLflow makes its tables beside them, as it always did
        _initialize(engine)
        return
    if strange := [name for name in names if not is_known_table(name, frozenset(names))]:
        raise _used(connection, f"the table {strange[0]}")
    if names:
        _remove(connection)
    connection.execute(text(f"CREATE TABLE IF NOT EXISTS {MARKER} (id INT)"))
    _initialize(engine)
    connection.execute(text(f"DROP TABLE {MARKER}"))


def _is_newest(connection: Connection) -> bool:
    from mlflow.store.db import utils  # noqa: PLC0415

    return bool(revision_of(connection) == utils._get_latest_schema_revision())


def _refuse_rows(connection: Connection) -> None:
    """Raise TargetError if one of MLflow's tables holds a row that MLflow did not put there itself."""
    names = frozenset(_names(connection))
    for name in sorted(names):
        if name != VERSION_TABLE and is_known_table(name, names):
            rows = select(literal(1)).select_from(table(name)).limit(1)
            if name in _MADE_BY_MLFLOW:
                rows = rows.where(text(_MADE_BY_MLFLOW[name]))
            if connection.execute(rows).first() is not None:
                raise _used(connection, f"rows in {name}")


def _used(connection: Connection, content: str) -> TargetError:
    return TargetError(
        f"{connection.engine.url.database} holds a part of MLflow's tables, as where MLflow was interrupted while it "
        f"made them, and what somebody put there: {content}. Nothing was changed; save what is needed, then drop the "
        "database and create it anew"
    )
