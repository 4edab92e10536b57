"""stdout and stderr of the command's own process: which characters they take, and what becomes of a closed pipe."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any, Final

_NAMES: Final = ("stdout", "stderr")


def prepare_streams() -> None:
    """Make answers possible where stdout cannot take every character, or is closed."""
    for name in _NAMES:
        stream = getattr(sys, name)
        if stream is None:  # closed by the caller, who wants to read nothing
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - for all of the process
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def outlive_readers() -> None:
    """Let everything that is written after the reader of a pipe has gone vanish, without an error."""
    for name in _NAMES:
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            stream.flush()
            raw = io.BufferedWriter(_Outliving(stream.fileno(), "w", closefd=False))
            lasting = io.TextIOWrapper(
                raw, encoding=stream.encoding, errors=stream.errors, line_buffering=stream.line_buffering
            )
            setattr(sys, name, lasting)


class _Outliving(io.FileIO):
    """A file that leads nowhere from the moment on when nobody reads it any more."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return memoryview(data).nbytes
