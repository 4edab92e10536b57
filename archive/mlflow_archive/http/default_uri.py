"""Which tracking URI is meant where the caller names none: what MLflow itself would use in the current folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

DATABASE_SCHEMES: Final = ("sqlite", "postgresql", "mysql", "mssql")
"""Schemes of database URIs, without the driver that may follow a ``+``."""

_FILE_STORE: Final = "mlruns"
_DATABASE: Final = "mlflow.db"


def default_tracking_uri(folder: Path) -> str:
    """Return MLFLOW_TRACKING_URI, else ``mlruns`` where it holds an experiment, else the database ``mlflow.db``.

    MLflow 3.7 and later decide the same way: a numbered folder with a meta.yaml makes ``mlruns`` a store.
    """
    if uri := os.environ.get("MLFLOW_TRACKING_URI"):
        return uri
    if holds_experiments(folder / _FILE_STORE):
        return str(folder / _FILE_STORE)
    return f"sqlite:///{folder / _DATABASE}"


def holds_experiments(store: Path) -> bool:
    """Return whether a folder is a file store for MLflow: a numbered folder with a meta.yaml lies in it."""
    try:
        with os.scandir(store) as entries:
            return any(e.name.isdigit() and e.is_dir() and os.path.lexists(Path(e.path, "meta.yaml")) for e in entries)
    except OSError:
        return False


def scheme_of(uri: str) -> str:
    """Return the scheme of a URI in lower case without driver, empty for a path.

    >>> scheme_of("postgresql+psycopg2://db/mlflow"), scheme_of("/srv/mlruns")
    ('postgresql', '')
    """
    scheme, colon, _ = uri.partition(":")
    # A single letter is a drive of Windows, as MLflow's own reader has it.
    return scheme.lower().partition("+")[0] if colon and len(scheme) > 1 and "/" not in scheme else ""
