"""The receipt of an import or restore: a file that is there from the start, and says in any case how far it came."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from threading import Event, Lock, Thread, current_thread, main_thread
from types import FrameType, TracebackType
from typing import Any, Final, Self

from mlflow_archive.errors import MlflowArchiveError
from mlflow_archive.flow.report import Report
from mlflow_archive_cli.output import warn, write_json

PAUSE_SECONDS: Final = 3.0
"""Between two writes; with the time that one takes, a kill must not lose more than 5 s."""


class ReceiptFile:
    """Writes what a verb has done into a file every few seconds, and once more when it ends, however it ends.

    ``facts`` begin the document. Its ``state`` is ``running`` until the end, then ``done``, ``failed`` or
    ``interrupted``; SIGTERM interrupts as Ctrl-C does. Without a path nothing is written; ``-``, a pipe or a device is
    written in the end only.
    """

    def __init__(self, path: Path | None, facts: dict[str, Any]) -> None:
        self._path = None if path is None or str(path) == "-" else path.resolve()
        self._ending_only = path is not None and (self._path is None or (path.exists() and not path.is_file()))
        self._final_path = path
        self._facts = facts
        self._so_far: Callable[[], Report] = Report
        self._lock = Lock()
        self._ended = Event()
        self._thread = Thread(target=self._go_on, name="receipt", daemon=True)

    def begin(self, so_far: Callable[[], Report]) -> None:
        """Take the function that returns what has been done; called from another thread."""
        self._so_far = so_far

    def add(self, **facts: Any) -> None:
        """Add to the document."""
        self._facts |= facts

    def end(self, report: Report) -> None:
        """Take what was done in the end."""
        self._so_far = lambda: report

    def __enter__(self) -> Self:
        if current_thread() is main_thread():
            self._before = signal.signal(signal.SIGTERM, _interrupt)
        if self._final_path is not None and not self._ending_only:
            self._write("running")
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if current_thread() is main_thread():
            signal.signal(signal.SIGTERM, self._before)
        self._ended.set()
        if self._final_path is None:
            return
        if error is None:
            self._write("done")
            return
        state = "failed" if isinstance(error, Exception) else "interrupted"
        self.add(error=error.lines[0] if isinstance(error, MlflowArchiveError) else f"{error}" or type(error).__name__)
        try:
            self._write(state)
        except OSError as unwritten:  # what ended the command is raised, not this
            warn(f"the receipt {self._final_path} cannot be written: {unwritten}")

    def _go_on(self) -> None:
        while not self._ended.wait(PAUSE_SECONDS):
            try:
                self._write("running")
            except OSError as unwritten:
                warn(f"the receipt {self._final_path} cannot be written now: {unwritten}")

    def _write(self, state: str) -> None:
        report = self._so_far()
        complete = state == "done" and report.complete
        document = {**self._facts, "state": state, "complete": complete, "counts": report.counts, **report.details}
        with self._lock:
            if state == "running" and self._ended.is_set():
                return
            if self._ending_only or self._path is None:
                write_json(self._final_path or Path("-"), document)
                return
            part = self._path.with_name(self._path.name + ".part")
            write_json(part, document)
            part.replace(self._path)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
