"""Progress for callers from Python: a function instead of an object."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from mlflow_archive.flow.report import Progress, Quiet

OnProgress = Callable[[str, int, int], None]
"""(unit, done, expected so far), called from several threads, one at a time. Units: ``runs``, ``bytes``, …."""


class ProgressFunction:
    """A Progress that adds up what it hears and calls a function with the sums; notes are dropped."""

    def __init__(self, function: OnProgress) -> None:
        self._function = function
        self._lock = Lock()
        self._done: dict[str, int] = {}
        self._expected: dict[str, int] = {}

    def expect(self, unit: str, amount: int) -> None:
        self._add(self._expected, unit, amount)

    def advance(self, unit: str, amount: int) -> None:
        self._add(self._done, unit, amount)

    def note(self, message: str) -> None: ...

    def _add(self, sums: dict[str, int], unit: str, amount: int) -> None:
        with self._lock:
            sums[unit] = sums.get(unit, 0) + amount
            self._function(unit, self._done.get(unit, 0), self._expected.get(unit, 0))


def as_progress(progress: Progress | OnProgress | None) -> Progress:
    """Return a Progress that reports to ``progress``, itself if it is one already; to nobody for None."""
    if progress is None:
        return Quiet()
    return ProgressFunction(progress) if callable(progress) else progress
