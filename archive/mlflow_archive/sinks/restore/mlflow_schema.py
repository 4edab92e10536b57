"""What only MLflow knows of its schema, asked in a process of its own.

MLflow in full takes seconds and 150 MB to import, which a restore would keep until its end. Where it is imported
already, it is asked in this process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

from mlflow_archive.errors import TargetError
from mlflow_archive.optional import missing, needing

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection

_MLFLOW: Final = "mlflow.store.db.utils"
_NEEDED: Final = ("server", "a restore")
_CHILD: Final = "from mlflow_archive.sinks.restore.mlflow_schema import answer; answer()"


def make_schema(url: URL) -> None:
    """Make MLflow's tables in an empty database, at the head of the installed MLflow. Raises TargetError."""
    _ask({"make": url.render_as_string(hide_password=False)})


def make_schema_within(connection: Connection) -> None:
    """Make MLflow's tables in the transaction of a connection, where the database can do that. Raises TargetError.

    MLflow's own way takes a connection of its own and commits; its migrations are the same.
    """
    with needing(*_NEEDED):
        from alembic.runtime.environment import EnvironmentContext  # noqa: PLC0415 - comes with MLflow
        from alembic.script import ScriptDirectory  # noqa: PLC0415
        from mlflow.store.db import utils  # noqa: PLC0415
    utils.InitialBase.metadata.create_all(connection)
    config = utils._get_alembic_config("")
    script = ScriptDirectory.from_config(config)
    heads = script.get_heads()
    with EnvironmentContext(config, script, fn=lambda now, _: script._upgrade_revs(heads, now)) as environment:  # type: ignore[arg-type]
        environment.configure(connection=connection, target_metadata=utils.Base.metadata, render_as_batch=True)
        environment.run_migrations()


def head_revision() -> str:
    """Return the schema revision of the installed MLflow. Raises TargetError."""
    return _ask({})


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
    from sqlalchemy import create_engine, event  # noqa: PLC0415
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    if url := question.get("make"):
        engine = create_engine(url)
        if engine.dialect.name == "sqlite":
            event.listen(engine, "connect", _without_syncing)
        try:
            utils._initialize_tables(engine)
        except SQLAlchemyError as error:
            return {"error": str(getattr(error, "orig", None) or error).strip().split("\n", maxsplit=1)[0]}
        finally:
            engine.dispose()
    return {"head": utils._get_latest_schema_revision()}
