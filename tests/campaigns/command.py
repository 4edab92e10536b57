"""The command as a user runs it: a process of its own, with a limit of time, or killed at a moment.

A ``warm`` one need not import anything (``tests.campaigns.warm_commands``) and is the same else.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tests.campaigns.warm_commands import WarmCommand, warm_commands

HUNG: Final = -1000
"""The exit code of a process that had to be stopped at its limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A process that ended: exit code (negative: the signal), how long it took, and what it said."""

    code: int
    seconds: float
    stderr: str

    @property
    def last_line(self) -> str:
        """The last thing it said, which is why it ended if it failed."""
        return next((line for line in reversed(self.stderr.splitlines()) if line.strip()), "")


class Command:
    """A process of the command that runs; what it says goes to a file in ``folder``, which is its own."""

    def __init__(
        self, folder: Path, *arguments: str, settings: Mapping[str, str] | None = None, warm: bool = False
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._stderr = folder / "stderr.txt"
        self._begin = time.monotonic()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
        environment |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "GIT_PYTHON_REFRESH": "quiet"}
        environment |= settings or {}
        self._process = (_start_warm if warm else _start)(arguments, environment, folder, self._stderr)

    def wait(self, longest_seconds: float) -> Ended:
        """Wait for its end; a process that takes longer is killed and HUNG."""
        ended = self.kill_at(self._begin + longest_seconds)
        return replace(ended, code=HUNG) if ended.code == -signal.SIGKILL else ended

    def is_running(self) -> bool:
        """Return whether it has not ended yet."""
        return self._process.poll() is None

    def kill_at(self, moment: float) -> Ended:
        """Kill it at a moment of ``time.monotonic``; its exit code is -9 unless it ended before."""
        try:
            self._process.wait(max(0.0, moment - time.monotonic()))
        except subprocess.TimeoutExpired:
            pass
        finally:
            self._process.kill()
        return self._ended(self._process.wait())

    def _ended(self, code: int) -> Ended:
        seconds = time.monotonic() - self._begin
        return Ended(code=code, seconds=seconds, stderr=self._stderr.read_text("utf-8", errors="replace"))


def _start(
    arguments: Sequence[str], environment: Mapping[str, str], folder: Path, stderr: Path
) -> subprocess.Popen[bytes]:
    with stderr.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "mlflow_archive_cli", *arguments],
            stdout=subprocess.DEVNULL,
            stderr=output,
            cwd=folder,
            env=environment,
        )


def _start_warm(arguments: Sequence[str], environment: Mapping[str, str], folder: Path, stderr: Path) -> WarmCommand:
    stderr.write_bytes(b"")
    return warm_commands().start(arguments, environment=environment, folder=folder, stderr=stderr)


def run(
    folder: Path,
    *arguments: str,
    settings: Mapping[str, str] | None = None,
    longest_seconds: float = 300.0,
    warm: bool = False,
) -> Ended:
    """Run the command to its end."""
    return Command(folder, *arguments, settings=settings, warm=warm).wait(longest_seconds)
