"""A real ``mlflow server`` for tests: SQLite, one worker, proxied artifacts, on a free port of 127.0.0.1."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.databases import empty_database
from tests.support.warm_servers import WarmServer, warm_servers

_START_SECONDS = 120

Process = subprocess.Popen[bytes] | WarmServer


@dataclass(frozen=True, slots=True, kw_only=True)
class MlflowServer:
    """A server that runs. ``artifacts`` is the folder behind its proxy, ``backend`` the URI of its database."""

    uri: str
    artifacts: Path
    backend: str

    @property
    def database(self) -> Path:
        return Path(self.backend.removeprefix("sqlite:///"))


@contextmanager
def running_server(
    folder: Path,
    *,
    workers: int = 1,
    options: tuple[str, ...] = (),
    backend: str | None = None,
    artifacts: Path | None = None,
    environment: Mapping[str, str] | None = None,
    python: str = sys.executable,
) -> Iterator[MlflowServer]:
    """Start a server whose database and artifacts lie in ``folder``; stop it and its workers at the end.

    ``backend`` is the URI of a database that is elsewhere, ``artifacts`` a folder that is. ``environment`` is what
    it gets beside a quiet one; ``python`` the interpreter of the MLflow that it is. It starts warm if it can.
    """
    server = MlflowServer(
        uri=f"http://127.0.0.1:{_free_port()}",
        artifacts=artifacts or folder / "artifacts",
        backend=backend or f"sqlite:///{folder / 'mlflow.db'}",
    )
    folder.mkdir(parents=True, exist_ok=True)
    server.artifacts.mkdir(parents=True, exist_ok=True)
    if backend is None and python == sys.executable and not server.database.exists():
        shutil.copyfile(empty_database(), server.database)  # MLflow takes seconds to make one
    arguments = ["server", "--host", "127.0.0.1", "--port", server.uri.rpartition(":")[2]]
    arguments += ["--workers", str(workers), "--backend-store-uri", server.backend]
    arguments += ["--artifacts-destination", str(server.artifacts), *options]
    log = folder / "server.log"
    settings = {**_quiet_environment(), **(environment or {})}
    if workers > 1 or python != sys.executable:
        process = _start([python, "-m", "mlflow", *arguments], settings, folder, log)
    else:
        process = warm_servers().start(arguments, environment=settings, folder=folder, log=log)
    try:
        _wait_until_ready(process, server.uri, log)
        yield server
    finally:
        _stop(process)


def _start(command: list[str], environment: Mapping[str, str], folder: Path, log: Path) -> Process:
    with log.open("wb") as output:
        return subprocess.Popen(
            command, stdout=output, stderr=output, cwd=folder, env=environment, start_new_session=True
        )


def _quiet_environment() -> dict[str, str]:
    stock = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    return {
        **stock,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "GIT_PYTHON_REFRESH": "quiet",
        # Tests have no names to resolve: webhooks and endpoints they make point at this machine.
        "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
    }


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _wait_until_ready(process: Process, uri: str, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{uri}/health", timeout=5):  # noqa: S310 - our own address
                return
        except OSError:
            time.sleep(0.1)
    message = f"mlflow server did not start at {uri}:\n{log.read_text(errors='replace')[-4000:]}"
    raise RuntimeError(message)


def _stop(process: Process) -> None:
    """End the process group: the server's workers are its children."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            continue
    process.wait(timeout=10)
