"""MLflow's tables in a new SQLite file as one version of MLflow makes them, recorded: its migrations take seconds.

The record holds for an MLflow of which all that its migrations are made of is, byte for byte, what it was made from;
any other is asked itself. ``python -m tests.mlflow_database`` makes it anew, of the installed MLflow, and a test
compares it with what that makes.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Final

RECORD: Final = Path(__file__).with_name("recorded_schema.json")
_MADE_OF: Final = (
    "version.py",
    "store/db/*.py",
    "store/db_migrations/*.py",
    "store/db_migrations/versions/*.py",
    "store/tracking/dbmodels/*.py",
    "store/model_registry/dbmodels/*.py",
)
_UNSYNCED: Final = ("synchronous = OFF", "journal_mode = OFF")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedSchema:
    """The head revision, and the statements that make the tables and MLflow's own rows in an empty database."""

    revision: str
    statements: tuple[str, ...]

    def make(self, path: Path) -> None:
        """Make the tables in a file that is not there yet and that nobody else knows. Raises sqlite3.Error."""
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            for pragma in _UNSYNCED:
                connection.execute(f"PRAGMA {pragma}")
            for statement in ("BEGIN", *self.statements, "COMMIT"):
                connection.execute(statement)


def recorded_schema() -> RecordedSchema | None:
    """Return the record if it is of the installed MLflow, which is not imported."""
    return _recorded(installed_migrations())


@cache
def _recorded(migrations: str | None) -> RecordedSchema | None:
    record = json.loads(RECORD.read_text("utf-8"))
    if record["migrations"] != migrations:
        return None
    return RecordedSchema(revision=record["revision"], statements=tuple(record["statements"]))


def installed_migrations() -> str | None:
    """Return a digest of what makes the tables of the installed MLflow, None where it is not installed in full."""
    try:
        metadata.distribution("mlflow")
    except metadata.PackageNotFoundError:
        return None
    spec = find_spec("mlflow")
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(next(iter(spec.submodule_search_locations)))
    digest = hashlib.sha256()
    for path in sorted(path for pattern in _MADE_OF for path in folder.glob(pattern)):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(folder).as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()
