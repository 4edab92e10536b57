"""How the figures of `make bench` are measured: whole processes, and bare operations in a process of their own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import ParamSpec, TypeVar
from urllib.request import urlopen

P = ParamSpec("P")
T = TypeVar("T")

HERE = Path(__file__).resolve().parent
BIN = Path(sys.executable).parent
MAKE_SERVER = (sys.executable, "-m", "bench.make_server")
ENVIRONMENT = {
    # Python keeps what it compiled, as an installer does: else each start of a working tree compiles it again.
    **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A process that ran: wall and CPU seconds, peak resident memory in MB (its own or a child's), what it printed.

    ``written_mb`` is what it and its children gave to the system to write.
    """

    seconds: float
    cpu_seconds: float
    peak_mb: float
    output: str
    written_mb: float = 0.0


def measure(command: Sequence[object], *, may_fail: bool = False) -> Measured:
    """Run a command to its end. Raises RuntimeError if it fails.

    Linux counts the memory of this process into the peak, so whatever is large is done ``apart``.
    """
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        process = subprocess.Popen([str(part) for part in command], stdout=output, env=ENVIRONMENT)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        counted = Path(f"/proc/{process.pid}/io").read_text("ascii")  # while it is waited for
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - started
        output.seek(0)
        text = output.read()
    if process.returncode and not may_fail:
        message = f"{command} ended with {process.returncode}"
        raise RuntimeError(message)
    return Measured(
        seconds=seconds,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_mb=usage.ru_maxrss / 1024,
        output=text,
        written_mb=int(dict(line.split(": ") for line in counted.splitlines())["write_bytes"]) / 1e6,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A command to be measured, and what it writes."""

    command: Sequence[object]
    targets: tuple[Path, ...] = ()

    def run(self) -> Measured:
        """Measure it once, with nothing of an earlier run there and nothing left to be written."""
        for target in self.targets:
            shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)
        os.sync()
        return measure(self.command)


def in_turn(rounds: int, *works: Work) -> list[tuple[Measured, ...]]:
    """Measure all of some commands in turn, so many times: what else the machine does slows each alike."""
    return [tuple(work.run() for work in works) for _ in range(rounds)]


def difference(larger: Measured, smaller: Measured) -> Measured:
    """Return what a process took more than another, which did a part of the same."""
    return Measured(
        seconds=max(0.001, larger.seconds - smaller.seconds),
        cpu_seconds=max(0.001, larger.cpu_seconds - smaller.cpu_seconds),
        peak_mb=larger.peak_mb,
        output="",
        written_mb=larger.written_mb - smaller.written_mb,
    )


def apart(action: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(action, *args, **kwargs).result()


def tool(*words: object) -> list[object]:
    """Return the command `mlflow-archive` with its arguments."""
    return [BIN / "mlflow-archive", *words]


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(url: str, pause: float = 0.5) -> None:
    """Wait until a URL is answered. Raises RuntimeError after two minutes."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        try:
            with urlopen(url, timeout=5):  # noqa: S310
                return
        except OSError:
            time.sleep(pause)
    message = f"{url} did not start"
    raise RuntimeError(message)
