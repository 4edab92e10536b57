"""From a database URI to what restores into it."""

from __future__ import annotations

from mlflow_archive.optional import needing
from mlflow_archive.sinks.restore.database import RestoreDatabase


def locate_database(uri: str) -> RestoreDatabase:
    """Return the database of a URI; nothing is contacted yet. Raises SelectionError, MissingExtraError."""
    with needing("server", "a restore"):
        from mlflow_archive.mlflow_database.uris import parse_database_uri  # noqa: PLC0415

        parsed = parse_database_uri(uri)
        if parsed.path is not None:
            from mlflow_archive.sinks.restore.sqlite import SqliteDatabase  # noqa: PLC0415

            return SqliteDatabase(parsed)
        from mlflow_archive.sinks.restore.server import ServerDatabase  # noqa: PLC0415
    return ServerDatabase(parsed)
