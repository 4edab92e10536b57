"""MLflow's own SQL stores on the database of an archive, unable to write; entry points for ``mlflow-archive:`` URIs."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from mlflow_archive.library.serving.database import database_of
from mlflow_archive.library.serving.location import archive_path, artifact_root


@lru_cache(maxsize=16)
def tracking_store(store_uri: str, artifact_uri: str | None = None) -> Any:
    """Return a tracking store for an archive (entry point ``mlflow.tracking_store``). Raises ArchiveError."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore  # noqa: PLC0415 - takes seconds

    path = archive_path(store_uri)
    return read_only(SqlAlchemyStore(_uri(path), artifact_root(path)))


@lru_cache(maxsize=16)
def registry_store(store_uri: str, tracking_uri: str | None = None) -> Any:
    """Return a registry store for an archive (entry point ``mlflow.model_registry_store``). Raises ArchiveError."""
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore  # noqa: PLC0415 - takes seconds

    return read_only(SqlAlchemyStore(_uri(archive_path(store_uri))))


def _uri(path: Path) -> str:
    return f"sqlite:///{database_of(path)}"


def read_only(store: Any) -> Any:
    """Make all connections of a SQL store refuse to write."""
    from sqlalchemy import event  # noqa: PLC0415

    if not event.contains(store.engine, "connect", _refuse_writes):
        event.listen(store.engine, "connect", _refuse_writes)
    store.engine.dispose()  # connections that were open before could write
    return store


def _refuse_writes(connection: Any, _: Any) -> None:
    connection.execute("PRAGMA query_only = ON")
