"""The command with its stdout on a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from contextlib import suppress


def on_a_terminal(arguments: list[str], columns: int) -> tuple[str, str]:
    """Return what the command writes where stdout is a terminal of so many columns, and what on stderr."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    command = [sys.executable, "-m", "mlflow_archive_cli", *arguments]
    environment["TERM"] = "xterm-256color"
    process = subprocess.Popen(command, stdout=theirs, stderr=subprocess.PIPE, env=environment)
    os.close(theirs)
    written = b""
    with suppress(OSError):  # the other side is closed
        while part := os.read(ours, 65536):
            written += part
    os.close(ours)
    _, err = process.communicate()
    assert process.returncode == 0, err
    return written.decode().replace("\r\n", "\n"), err.decode()
