"""The command in a process that has imported everything already: of hundreds of trials half of the time is imports.

MLflow's migrations are the other half where a database is made: there such a command takes a copy of what they made.

``python -m tests.campaigns.warm_commands`` reads an order a line from its standard input and answers with a line: the
process id of the command that it started, a fork of itself, or how one ended that is asked for. It ends with its
standard input, its commands too.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NoReturn

from tests.support.session_folder import session_folder
from tests.support.unsynced import unsynced
from tests.support.warm_process import WarmProcess, settle

_IMPORTED: Final = (
    *(f"mlflow_archive_cli.commands.{name}" for name in ("export", "import_", "restore")),
    *("mlflow_archive.sources.locate", "mlflow_archive.sinks.replay.locate", "mlflow_archive.sinks.restore.locate"),
    *("mlflow_archive.api.verbs", "mlflow.store.db.utils", "alembic.runtime.environment"),
)


class WarmCommands(WarmProcess):
    """The process, as who orders commands sees it."""

    def __init__(self) -> None:
        session_folder()  # which this process removes at its end, not a fork of the other
        super().__init__("tests.campaigns.warm_commands")

    def start(
        self, arguments: Sequence[str], *, environment: Mapping[str, str], folder: Path, stderr: Path
    ) -> WarmCommand:
        """Start the command with arguments in a folder; what it says goes into ``stderr``."""
        order = {"arguments": arguments, "environment": environment, "folder": str(folder), "stderr": str(stderr)}
        return WarmCommand(self, self.ask(order))


class WarmCommand:
    """A command, like a ``subprocess.Popen`` as far as its starter needs it."""

    def __init__(self, commands: WarmCommands, pid: int) -> None:
        self._commands, self._pid = commands, pid
        self._end = os.pidfd_open(pid)
        self._code: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal; None while it runs."""
        with suppress(subprocess.TimeoutExpired):
            return self.wait(0.0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit code."""
        if self._code is None:
            if not select.select([self._end], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(str(self._pid), timeout or 0.0)
            self._code = self._commands.ask(self._pid)
            os.close(self._end)
        return self._code

    def kill(self) -> None:
        """Send SIGKILL; nothing happens where it has ended."""
        if self._code is None:
            signal.pidfd_send_signal(self._end, signal.SIGKILL)


@cache
def warm_commands() -> WarmCommands:
    """Return the one process of this process; it ends with it."""
    commands = WarmCommands()
    atexit.register(commands.close)
    return commands


def _main() -> None:
    os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"  # as the command has it, before Arrow is imported
    for name in _IMPORTED:
        import_module(name)
    _migrate_once()
    running = set()
    for line in sys.stdin:
        order: Any = json.loads(line)
        if isinstance(order, int):
            running.discard(order)
            print(os.waitstatus_to_exitcode(os.waitpid(order, 0)[1]), flush=True)
            continue
        pid = os.fork()
        if not pid:
            _become(**order)
        running.add(pid)
        print(pid, flush=True)
    for pid in running:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _migrate_once() -> None:
    from mlflow.store.db import utils  # noqa: PLC0415 - has been imported

    from tests.support import databases  # noqa: PLC0415 - imports MLflow

    path = databases.empty_database()
    databases.empty_database = lambda: path
    last = utils._get_latest_schema_revision()
    utils._initialize_tables = databases.initialize_by_copy
    utils._get_latest_schema_revision = lambda: last


def _become(arguments: list[str], environment: dict[str, str], folder: str, stderr: str) -> NoReturn:
    """Become the command."""
    from mlflow_archive_cli.main import main  # noqa: PLC0415 - has been imported

    settle(folder, environment, (os.devnull, 0), (os.devnull, 0), (stderr, 0))
    tempfile.tempdir = None  # what the environment says now
    sys.argv = ["mlflow-archive", *arguments]
    with unsynced():
        main()
    raise AssertionError(arguments)


if __name__ == "__main__":
    _main()
