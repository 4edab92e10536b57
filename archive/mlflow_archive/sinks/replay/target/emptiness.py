"""Whether there is anything in a store: MLflow makes its tables, and an experiment, in one that it opens."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from mlflow_archive.http.default_uri import DATABASE_SCHEMES, scheme_of
from mlflow_archive.optional import needing
from mlflow_archive.sinks.replay.writing.artifacts import local_root

_NAMES: Final = frozenset({"databricks", "databricks-uc", "uc"})
"""What MLflow takes for a place of its own, not for a folder."""


def is_empty(uri: str) -> bool:
    """Return whether a store is not there yet, or is a database without a table.

    Of one that cannot be reached it is not known: to open it says why.
    """
    scheme = scheme_of(uri)
    if scheme in ("", "file") and uri not in _NAMES:
        folder = Path(uri) if scheme == "" else local_root(uri)
        return folder is not None and not folder.exists()
    if scheme not in DATABASE_SCHEMES:
        return False
    with needing("server", f"an import into a store of the kind {scheme}"):
        from mlflow_archive.mlflow_database.uris import parse_database_uri  # noqa: PLC0415 - brings SQLAlchemy
    if scheme == "sqlite":
        path = parse_database_uri(uri).path
        if path is not None and not path.exists():
            return True
    return _has_no_table(uri)


def _has_no_table(uri: str) -> bool:
    import sqlalchemy  # noqa: PLC0415 - takes long to import

    try:
        engine: Any = sqlalchemy.create_engine(uri)
    except (ImportError, sqlalchemy.exc.SQLAlchemyError):
        return False
    try:
        return not sqlalchemy.inspect(engine).get_table_names()
    except sqlalchemy.exc.SQLAlchemyError:
        return False
    finally:
        engine.dispose()
