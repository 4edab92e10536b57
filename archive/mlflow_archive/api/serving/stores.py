"""MLflow's own SQL stores on the database of an archive, unable to write; entry points for ``mlflow-archive:`` URIs."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from mlflow_archive.api.serving.database import database_of
from mlflow_archive.api.serving.location import State, artifact_root, state_of


@lru_cache(maxsize=16)
def tracking_store(store_uri: str, artifact_uri: str | None = None) -> Any:
    """Return a tracking store for an archive (entry point ``mlflow.tracking_store``). Raises ArchiveError."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore  # noqa: PLC0415 - takes seconds

    state = state_of(store_uri)
    return read_only(SqlAlchemyStore(_uri(state), artifact_root(state)))


@lru_cache(maxsize=16)
def registry_store(store_uri: str, tracking_uri: str | None = None) -> Any:
    """Return a registry store for an archive (entry point ``mlflow.model_registry_store``). Raises ArchiveError."""
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore  # noqa: PLC0415 - takes seconds

    return read_only(SqlAlchemyStore(_uri(state_of(store_uri))))


def _uri(state: State) -> str:
    return f"sqlite:///{database_of(state)}"


def read_only(store: Any) -> Any:
    """Make all connections of a SQL store refuse to write, with an error that MLflow's clients understand."""
    from sqlalchemy import event  # noqa: PLC0415

    if not event.contains(store.engine, "connect", _lock):
        event.listen(store.engine, "connect", _lock)
        event.listen(store.engine, "before_cursor_execute", _refuse)
    store.engine.dispose()  # connections that were open before could write
    return store


def _lock(connection: Any, _: Any) -> None:
    connection.execute("PRAGMA query_only = ON")


def _refuse(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
    if statement.lstrip()[:6].upper() in ("INSERT", "UPDATE", "DELETE"):
        from mlflow.exceptions import MlflowException  # noqa: PLC0415
        from mlflow.protos.databricks_pb2 import PERMISSION_DENIED  # noqa: PLC0415

        message = "this is an archive, opened read-only: nothing in it can be changed"
        raise MlflowException(message, error_code=PERMISSION_DENIED)
