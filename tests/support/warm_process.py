"""A process that has imported what others like it would import, and becomes them by forks of itself.

It reads an order a line from its standard input and answers with a number a line. It ends with its standard input.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path


class WarmProcess:
    """The process of a module, as who orders sees it."""

    def __init__(self, module: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).resolve().parents[2],
        )

    def ask(self, order: object) -> int:
        """Give an order and return the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{json.dumps(order)}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        """End the process and what it has become."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def settle(folder: str, environment: Mapping[str, str], *places: tuple[str, int]) -> None:
    """In a fork, be where and what another process would be: folder, environment, and standard input and the like.

    ``places`` are a path each for input, output and errors, with how it is opened.
    """
    os.chdir(folder)
    for number, (path, flags) in enumerate(places):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | flags, 0o600), number)
    os.environ.clear()
    os.environ.update(environment)
