"""Write the record of MLflow's tables anew, as the installed MLflow makes them."""

from __future__ import annotations

import json
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from mlflow.store.db import utils
from sqlalchemy import URL, create_engine

from mlflow_archive.mlflow_database.recorded_schema import RECORD, installed_migrations


def statements(path: Path) -> list[str]:
    """Return what makes the tables and rows of a SQLite database, tables in the order in which they were made."""
    listed = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name <> 'sqlite_sequence' ORDER BY rowid"
    with closing(sqlite3.connect(path)) as connection:
        schema = [sql for (sql,) in connection.execute(listed)]
        return [*schema, *(line for line in connection.iterdump() if line.startswith("INSERT"))]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "empty.db"
        engine = create_engine(URL.create("sqlite", database=str(path)))
        utils._initialize_tables(engine)
        engine.dispose()
        record = {
            "migrations": installed_migrations(),
            "revision": utils._get_latest_schema_revision(),
            "statements": statements(path),
        }
    RECORD.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
