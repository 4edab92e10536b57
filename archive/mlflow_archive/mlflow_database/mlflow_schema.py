"""What only MLflow knows of its schema: recorded, where the installed one is that of the record, or asked.

It is asked in a process of its own: MLflow in full takes seconds and 150 MB to import, which a restore would keep until
its end. Where it is imported already, it is asked in this process.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Engine, create_engine, event, inspect
from sqlalchemy.exc import SQLAlchemyError

from mlflow_archive.errors import TargetError
from mlflow_archive.mlflow_database.known_schema import VERSION_TABLE, is_known_table
from mlflow_archive.mlflow_database.recorded_schema import recorded_schema
from mlflow_archive.mlflow_database.whole_schema import make_whole, revision_of
from mlflow_archive.optional import missing

_MLFLOW: Final = "mlflow.store.db.utils"
_NEEDED: Final = ("server", "a restore")
_CHILD: Final = "from mlflow_archive.mlflow_database.mlflow_schema import answer; answer()"


def make_schema(url: URL) -> None:
    """Make MLflow's tables in an empty database, at the head of the installed MLflow, whole. Raises TargetError.

    One of SQLite is a file that is not there yet, in a folder that nobody else uses.
    """
    recorded = recorded_schema() if url.get_backend_name() == "sqlite" else None
    if recorded is None:
        _ask({"make": url.render_as_string(hide_password=False)})
        return
    try:
        recorded.make(Path(str(url.database)))
    except sqlite3.Error as error:
        raise TargetError(f"MLflow's tables could not be made: {error}") from error


def head_revision() -> str:
    """Return the schema revision of the installed MLflow. Raises TargetError."""
    recorded = recorded_schema()
    return _ask({}) if recorded is None else recorded.revision


def check_revision(engine: Engine, address: str) -> None:
    """Raise TargetError unless the database has the tables of the installed MLflow."""
    names = sorted(inspect(engine).get_table_names())
    if VERSION_TABLE not in names:
        raise TargetError(f"{address} {_without_version(names)}")
    with engine.connect() as connection:
        revision = revision_of(connection)
    head = head_revision()
    if revision != head:
        raise TargetError(
            f"{address} has the schema revision {revision}, the installed MLflow writes {head}; make a backup and run "
            "`mlflow db upgrade` with the URI of the database, or install the MLflow that wrote it. Where MLflow was "
            "interrupted while it made the tables, and they are empty, drop the database and create it anew"
        )


def _without_version(names: list[str]) -> str:
    examples = ", ".join(names[:5])
    if all(is_known_table(name, frozenset(names)) for name in names):
        return (
            f"holds some of MLflow's tables only ({examples}), as where MLflow was interrupted while it made them; "
            "drop the database and create it anew"
        )
    return f"holds other tables than MLflow's ({examples}); give an empty database"


def _ask(question: dict[str, str]) -> str:
    """Return the head revision, after doing what the question asks for."""
    answer = _answer(question) if _MLFLOW in sys.modules else _answer_of_child(question)
    if reason := answer.get("missing"):
        raise missing(*_NEEDED, reason)
    if "error" in answer:
        raise TargetError(f"MLflow could not make its tables: {answer['error']}")
    return str(answer["head"])


def _answer_of_child(question: dict[str, str]) -> dict[str, Any]:
    # Where the parent finds its modules the child does too. The question goes to stdin: it may hold a password.
    path = os.pathsep.join(folder or os.getcwd() for folder in sys.path)  # noqa: PTH109 - what "" stands for
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", _CHILD],
        input=json.dumps(question),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        message = (done.stderr.splitlines() or ["nothing was said"])[-1]
        return {"error": f"its process ended with {done.returncode}: {message}"}
    answer: dict[str, Any] = json.loads(lines[-1])
    return answer


def answer() -> None:
    """Read a question from stdin and print the answer; what a child process runs."""
    print(json.dumps(_answer(json.load(sys.stdin))))


def _without_syncing(connection: Any, _: object) -> None:
    """Leave out a sync for each of MLflow's migrations: the file is not in its place yet, and is synced before."""
    for pragma in ("synchronous = OFF", "journal_mode = OFF"):
        connection.execute(f"PRAGMA {pragma}")


def _answer(question: dict[str, str]) -> dict[str, Any]:
    try:
        from mlflow.store.db import utils  # noqa: PLC0415
    except ImportError as error:
        return {"missing": str(error)}
    if url := question.get("make"):
        engine = create_engine(url)
        if engine.dialect.name == "sqlite":
            event.listen(engine, "connect", _without_syncing)
        try:
            make_whole(engine)
        except TargetError as error:
            return {"error": str(error)}
        except SQLAlchemyError as error:
            return {"error": str(getattr(error, "orig", None) or error).strip().split("\n", maxsplit=1)[0]}
        finally:
            engine.dispose()
    return {"head": utils._get_latest_schema_revision()}
