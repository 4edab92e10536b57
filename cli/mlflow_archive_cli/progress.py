"""Progress on stderr: bars on a terminal, a plain line every few seconds in a log, nothing with --quiet."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from time import monotonic
from typing import TYPE_CHECKING, Final

from mlflow_archive.flow.report import Progress, Quiet
from mlflow_archive_cli.escaping import one_line
from mlflow_archive_cli.output import warn
from mlflow_archive_cli.printable import duration, size

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

LINE_SECONDS: Final = 5.0
_REDRAW_SECONDS: Final = 0.2


@dataclass(slots=True)
class Tally:
    """What is expected and what is done, by unit; safe to use from several threads."""

    expected: dict[str, int] = field(default_factory=dict)
    done: dict[str, int] = field(default_factory=dict)
    clock: Callable[[], float] = monotonic
    started: float = 0.0
    _lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self.started = self.clock()

    def expect(self, unit: str, amount: int) -> None:
        with self._lock:
            self.expected[unit] = self.expected.get(unit, 0) + amount

    def advance(self, unit: str, amount: int) -> None:
        with self._lock:
            self.done[unit] = self.done.get(unit, 0) + amount

    def line(self, name: str) -> str:
        """Return where things stand: ``export: 12 of 40 runs, 3200 points, 4.0 runs/s, 7 s left``."""
        with self._lock:
            expected, done = dict(self.expected), dict(self.done)
        seconds = max(self.clock() - self.started, 0.001)
        parts = [f"{_shown(u, done.get(u, 0))} of {_shown(u, total)}{_unit(u)}" for u, total in expected.items()]
        parts += [f"{_shown(unit, amount)}{_unit(unit)}" for unit, amount in done.items() if unit not in expected]
        for unit, total in list(expected.items())[:1]:
            rate = done.get(unit, 0) / seconds
            parts.append(f"{size(int(rate))}/s" if unit == "bytes" else f"{rate:.1f} {unit}/s")
            if rate and total > done.get(unit, 0):
                parts.append(f"{duration((total - done.get(unit, 0)) / rate)} left")
        return f"{name}: {', '.join(parts) or 'starting'}"


def _shown(unit: str, amount: int) -> str:
    return size(amount) if unit == "bytes" else str(amount)


def _unit(unit: str) -> str:
    return "" if unit == "bytes" else f" {unit}"


class Lines:
    """Plain lines for a log."""

    def __init__(self, name: str, tally: Tally) -> None:
        self._name = name
        self._tally = tally
        self.expect, self.advance = tally.expect, tally.advance

    def note(self, message: str) -> None:
        warn(message)

    def draw(self) -> None:
        warn(self._tally.line(self._name))


class Bars:
    """A bar for each unit of which it is known how much will come, and the rest as text."""

    def __init__(self, name: str, tally: Tally, rich_progress: RichProgress) -> None:
        self._name = name
        self._tally = tally
        self._rich = rich_progress
        self._tasks: dict[str, TaskID] = {}
        self.expect, self.advance = tally.expect, tally.advance

    def note(self, message: str) -> None:
        self._rich.console.print(one_line(message), markup=False, highlight=False)

    def draw(self) -> None:
        done = dict(self._tally.done)
        rest = ", ".join(f"{_shown(u, n)}{_unit(u)}" for u, n in done.items() if u not in self._tally.expected)
        for unit, total in dict(self._tally.expected).items():
            if unit not in self._tasks:
                self._tasks[unit] = self._rich.add_task(f"{self._name} {unit}", total=total, rate="", rest="")
            now = done.get(unit, 0)
            rate = now / max(self._tally.clock() - self._tally.started, 0.001)
            speed = f"{size(int(rate))}/s" if unit == "bytes" else f"{rate:.1f}/s"
            amount = f"{_shown(unit, now)}/{_shown(unit, total)}"
            self._rich.update(self._tasks[unit], total=total, completed=now, rate=f"{amount} {speed}", rest=rest)
            rest = ""


@contextmanager
def watch(name: str, *, quiet: bool) -> Iterator[Progress]:
    """Yield what a long command reports its progress to, shown until the block ends."""
    if quiet:
        yield Quiet()
    elif sys.stderr.isatty():
        with _rich() as rich_progress:
            bars = Bars(name, Tally(), rich_progress)
            with _repeating(bars.draw, _REDRAW_SECONDS):
                yield bars
            bars.draw()
    else:
        lines = Lines(name, Tally())
        with _repeating(lines.draw, LINE_SECONDS):
            yield lines


def _rich() -> RichProgress:
    from rich.console import Console  # noqa: PLC0415 - only on a terminal; its import would slow every other start
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn  # noqa: PLC0415
    from rich.progress import Progress as RichProgress  # noqa: PLC0415

    columns = ("{task.description}", BarColumn(30), TextColumn("{task.percentage:>3.0f} %"))
    fields = (
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[rest]}", markup=False),
    )
    return RichProgress(*columns, *fields, console=Console(stderr=True), transient=True)


@contextmanager
def _repeating(action: Callable[[], None], seconds: float) -> Iterator[None]:
    stop = Event()

    def work() -> None:
        while not stop.wait(seconds):
            action()

    thread = Thread(target=work, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
