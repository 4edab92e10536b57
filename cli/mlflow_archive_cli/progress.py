"""Progress on stderr: bars on a terminal, a plain line every few seconds in a log, JSON for programs, or nothing."""

from __future__ import annotations

import json
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
_JSON_SECONDS: Final = 1.0


@dataclass(slots=True)
class Tally:
    """What is expected and what is done, by unit; safe to use from several threads."""

    expected: dict[str, int] = field(default_factory=dict)
    done: dict[str, int] = field(default_factory=dict)
    clock: Callable[[], float] = monotonic
    started: float = 0.0
    began: dict[str, float] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self.started = self.clock()

    def expect(self, unit: str, amount: int) -> None:
        self._add(self.expected, unit, amount)

    def advance(self, unit: str, amount: int) -> None:
        self._add(self.done, unit, amount)

    def _add(self, sums: dict[str, int], unit: str, amount: int) -> None:
        if amount:
            with self._lock:
                self.began.setdefault(unit, self.clock())
                sums[unit] = sums.get(unit, 0) + amount

    def rate(self, unit: str) -> float:
        """Return how much of a unit was done a second, from when it was first heard of."""
        seconds = max(self.clock() - self.began.get(unit, self.started), 0.001)
        return self.done.get(unit, 0) / seconds

    def sums(self) -> tuple[dict[str, int], dict[str, int]]:
        """Return what is expected and what is done, by unit."""
        with self._lock:
            return dict(self.expected), dict(self.done)

    def line(self, name: str) -> str:
        """Return where things stand: ``export: 12 of 40 runs, 3200 points, 4.0 runs/s, 7 s left``."""
        expected, done = self.sums()
        parts = [f"{_shown(u, done.get(u, 0))} of {_shown(u, total)}{_unit(u)}" for u, total in expected.items()]
        parts += [f"{_shown(unit, amount)}{_unit(unit)}" for unit, amount in done.items() if unit not in expected]
        # What is under way now: the first that has begun and is not done.
        for unit in [unit for unit in expected if 0 < done.get(unit, 0) < expected[unit]][:1]:
            rate = self.rate(unit)
            parts.append(f"{size(int(rate))}/s" if unit == "bytes" else f"{rate:.1f} {unit}/s")
            parts.append(f"{duration((expected[unit] - done[unit]) / rate)} left")
        return f"{name}: {', '.join(parts) or 'starting'}"

    def document(self, name: str, state: str) -> str:
        """Return the same as a line of JSON."""
        expected, done = self.sums()
        seconds = round(self.clock() - self.started, 3)
        facts = {"verb": name, "state": state, "seconds": seconds, "done": done, "expected": expected}
        return json.dumps(facts)


def _shown(unit: str, amount: int) -> str:
    return size(amount) if unit == "bytes" else str(amount)


def _unit(unit: str) -> str:
    return "" if unit == "bytes" else f" {unit}"


class Lines:
    """Plain lines for a log."""

    def __init__(self, name: str, tally: Tally) -> None:
        self._name = name
        self._tally = tally
        self._last = ""
        self.expect, self.advance = tally.expect, tally.advance

    def note(self, message: str) -> None:
        warn(message)

    def draw(self) -> None:
        """Write a line, unless nothing has happened since the one before."""
        line = self._tally.line(self._name)
        if line != self._last:
            warn(line)
        self._last = line


class JsonLines:
    """Lines of JSON for a program: ``verb``, ``state``, ``seconds``, ``done`` and ``expected`` by unit; or a note."""

    def __init__(self, name: str, tally: Tally) -> None:
        self._name = name
        self._tally = tally
        self.expect, self.advance = tally.expect, tally.advance

    def note(self, message: str) -> None:
        print(json.dumps({"verb": self._name, "note": message}), file=sys.stderr)

    def draw(self, state: str = "running") -> None:
        print(self._tally.document(self._name, state), file=sys.stderr)


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
            now, rate = done.get(unit, 0), self._tally.rate(unit)
            speed = f"{size(int(rate))}/s" if unit == "bytes" else f"{rate:.1f}/s"
            amount = f"{_shown(unit, now)}/{_shown(unit, total)}"
            self._rich.update(self._tasks[unit], total=total, completed=now, rate=f"{amount} {speed}", rest=rest)
            rest = ""


@contextmanager
def watch(name: str, *, quiet: bool, form: str = "text") -> Iterator[Progress]:
    """Yield what a long command reports its progress to, shown until the block ends; ``form`` is text or json."""
    if form == "json":
        documents = JsonLines(name, Tally())
        with _repeating(documents.draw, _JSON_SECONDS):
            yield documents
        documents.draw("done")
    elif quiet:
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
