"""A database of MLflow 3.18 with skills and issues, made by SQL: the installed MLflow may be older."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from spec.generate import add_later

from tests.support.databases import empty_database, engine_of, revisions

TOKEN: Final = "0123456789abcdef" * 2
SKILL_MD: Final = b"# Review\n"
_MADE: Final = {"created_by": "ada", "last_updated_by": "bob", "created_at": 1000, "last_updated_at": 2000}
_UPLOAD: Final = {"source_type": "mlflow", "digest": "d" * 64, "status": "active", **_MADE}

ROWS: Final[dict[str, list[dict[str, Any]]]] = {
    "experiments": [{"experiment_id": 3, "name": "issues", "lifecycle_stage": "active", "workspace": "default"}],
    "issues": [
        {
            "issue_id": "iss-1",
            "experiment_id": 3,
            "name": "slow",
            "description": "d",
            "status": "pending",
            "categories": '["Latency ", "latency", "ü"]',
            "created_timestamp": 1,
            "last_updated_timestamp": 2,
            "last_seen_timestamp": 3,
            "last_updated_by": "bob",
            "metadata": '{"a": "ü"}',
        },
        {
            "issue_id": "iss-2",
            "experiment_id": 3,
            "name": "odd",
            "description": "",
            "status": "pending",
            "categories": "no JSON",
            "created_timestamp": 1,
            "last_updated_timestamp": 1,
        },
    ],
    "skills": [
        {"name": "review", "description": "Reviews\n  ü.", "search_text": "review Reviews ü.", "icons": "[]", **_MADE},
        {"name": "review", "organization": "acme.ai", "search_text": "review", **_MADE},
        {"name": "review", "workspace": "team", "search_text": "review", **_MADE},
    ],
    "skill_versions": [
        {"name": "review", "version": 1, "source": f"mlflow-artifacts:/skills/review/{TOKEN}", **_UPLOAD},
        {
            "name": "review",
            "version": 2,
            "source_type": "git",
            "source": "https://ada:MARKER-password@example.com/x.git",
            "ref": "v2",
            "subpath": "skills",
            "status": "deleted",
            **_MADE,
        },
        {
            "name": "review",
            "organization": "acme.ai",
            "version": 7,
            "source": f"mlflow-artifacts:/skills/@acme.ai/review/{TOKEN}",
            **_UPLOAD,
        },
        {
            "name": "review",
            "workspace": "team",
            "version": 1,
            "source": f"mlflow-artifacts:/skills/review/{TOKEN}",
            **_UPLOAD,
        },
    ],
    "skill_tags": [{"name": "review", "organization": "acme.ai", "key": "team", "value": "ü"}],
    "skill_version_tags": [{"name": "review", "version": 1, "key": "ok", "value": None}],
    "skill_aliases": [{"name": "review", "alias": "live", "version": 1}],
}
FOLDERS: Final = ("skills/review", "skills/@acme.ai/review", "workspaces/team/skills/review")


def later_database(folder: Path) -> Path:
    """Make ``mlflow.db`` with ROWS in a folder, and files of uploads in its folder ``art``; return the database."""
    path = empty_later_database(folder / "mlflow.db")
    with closing(sqlite3.connect(path)) as connection:
        for table, rows in ROWS.items():
            for row in rows:
                names, marks = ", ".join(row), ", ".join("?" * len(row))
                connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(row.values()))  # noqa: S608
        connection.commit()
    for place in FOLDERS:
        (folder / "art" / place / TOKEN / "scripts").mkdir(parents=True)
        (folder / "art" / place / TOKEN / "SKILL.md").write_bytes(SKILL_MD)
        (folder / "art" / place / TOKEN / "scripts" / "run ü.sh").write_bytes(place.encode())
    return path


def empty_later_database(path: Path) -> Path:
    """Make a database of the newest schema."""
    shutil.copyfile(empty_database(), path)
    engine = engine_of(f"sqlite:///{path}")
    add_later(engine)
    engine.dispose()
    return path


def as_if_installed(path: Path) -> None:
    """Have a database say the revision of the installed MLflow, which a restore wants."""
    run(path, f"UPDATE alembic_version SET version_num = '{revisions()[-1]}'")  # noqa: S608 - a constant


def run(path: Path, script: str) -> None:
    """Run SQL on a database."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
