"""From a database URI to a snapshot of it."""

from __future__ import annotations

from mlflow_archive.mlflow_database.uris import DatabaseUri
from mlflow_archive.sources.database.snapshot import Snapshot


def open_snapshot(uri: DatabaseUri) -> Snapshot:
    """Return a consistent view. The drivers are imported only when they are needed. Raises StoreError, ServerError."""
    if uri.path is not None:
        from mlflow_archive.sources.database.sqlite import SqliteSnapshot  # noqa: PLC0415

        return SqliteSnapshot(uri.path)
    if uri.dialect == "postgresql":
        from mlflow_archive.sources.database.postgresql import PostgresqlSnapshot  # noqa: PLC0415

        return PostgresqlSnapshot(uri)
    from mlflow_archive.sources.database.mysql import MysqlSnapshot  # noqa: PLC0415

    return MysqlSnapshot(uri)
