"""Servers of MLflow from a process that has imported it already: half the work of a start is imports.

``python -m tests.support.warm_servers`` reads an order a line from its standard input, answers with the process id of
the server that it started, and ends with its standard input, its servers too. Such a server is a fork that runs
``mlflow server`` as typed, but that what this would run in a new interpreter, uvicorn, goes on in the same process.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from tests.support.unsynced import unsynced
from tests.support.warm_process import WarmProcess, settle


class WarmServers(WarmProcess):
    """The process, as who orders servers sees it."""

    def __init__(self) -> None:
        super().__init__("tests.support.warm_servers")

    def start(self, arguments: Sequence[str], *, environment: Mapping[str, str], folder: Path, log: Path) -> WarmServer:
        """Start ``mlflow`` with arguments in a folder; what it prints goes into ``log``."""
        order = {"arguments": arguments, "environment": environment, "folder": str(folder), "log": str(log)}
        return WarmServer(self.ask(order))


class WarmServer:
    """A server, like a ``subprocess.Popen`` as far as its starter needs it; it leads a process group."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def poll(self) -> int | None:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return 0
        return None

    def wait(self, timeout: float) -> int:
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(0.02)
        return code


@cache
def warm_servers() -> WarmServers:
    """Return the one process of this process; it ends with it."""
    servers = WarmServers()
    atexit.register(servers.close)
    return servers


def _main() -> None:
    for name in ("uvicorn", "mlflow.cli", "mlflow.server.fastapi_app"):  # by uvicorn MLflow knows that it is a server
        import_module(name)
    _read_migrations()
    signal.signal(signal.SIGCHLD, _bury)
    pids = []
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            _serve(**json.loads(line))
        pids.append(pid)
        print(pid, flush=True)
    for pid in pids:
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
    with suppress(ChildProcessError):
        while True:
            os.wait()


def _read_migrations() -> None:
    """Learn which migration is the last, as MLflow does several times at each start."""
    from mlflow.store.db import utils  # noqa: PLC0415 - has been imported

    last = utils._get_latest_schema_revision()
    utils._get_latest_schema_revision = lambda: last


def _bury(*_: Any) -> None:
    """Take leave of servers that have ended: without that they would seem to live, and their time be forgotten."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _serve(arguments: list[str], environment: dict[str, str], folder: str, log: str) -> NoReturn:
    """Become the server."""
    import mlflow.cli  # noqa: PLC0415 - has been imported
    import mlflow.server  # noqa: PLC0415
    from mlflow.store.model_registry.dbmodels.models import SqlWebhook  # noqa: PLC0415

    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    settle(folder, environment, (os.devnull, 0), (log, os.O_APPEND), (log, os.O_APPEND))
    SqlWebhook.__table__.c.secret.type.__init__()  # the key, which MLflow takes from the environment when imported
    mlflow.server._exec_cmd = _run_uvicorn
    with unsynced():
        mlflow.cli.cli(arguments)
    raise AssertionError(arguments)


def _run_uvicorn(command: list[str], *, extra_env: dict[str, str], **_: Any) -> NoReturn:
    """Do what MLflow would have a new process do, which knows no stores yet."""
    from mlflow.server import handlers, workspace_helpers  # noqa: PLC0415 - have been imported
    from uvicorn.main import main  # noqa: PLC0415

    assert command[1:3] == ["-m", "uvicorn"], command
    handlers._tracking_store = handlers._model_registry_store = workspace_helpers._workspace_store = None
    os.environ.update(extra_env)
    main(command[3:])
    raise AssertionError(command)


if __name__ == "__main__":
    _main()
