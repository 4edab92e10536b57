"""Metric files: one line per point, ``timestamp value [step [dataset name, dataset digest]]``.

MLflow's own reader takes the step of a line with a dataset for 0 and refuses dataset names with spaces; here a
line means what MLflow's writer put into it. A point logged twice is two lines and stays two points.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from mlflow_archive.sources.mlruns.keyfiles import OnBad, key_files
from mlflow_archive.sources.mlruns.meta import INT64
from mlflow_archive.sources.reading.points import Dataset, Latest, Points

_Parsed = tuple[int, int, float, Dataset | None]
T = TypeVar("T")


def read_history(folder: Path, latest: Latest, bad: OnBad, *, limit: int) -> Iterator[Points]:
    """Yield all points below a ``metrics`` folder, key by key in the order of their lines.

    All but the last batch hold ``limit`` points; the last one may be empty. ``latest`` is complete afterwards.
    A key of which lines are malformed or missing is told to ``bad`` once; its other lines are kept.
    """
    points = Points()
    for key, path in key_files(folder, bad):
        for step, time, value, dataset in read_lines(key, path, bad, _parse):
            latest.add(key, step, time, value)
            points.keys.append(key)
            points.steps.append(step)
            points.times.append(time)
            points.values.append(value)
            points.datasets.append(dataset)
            if len(points.keys) >= limit:
                yield points
                points = Points()
    yield points


def read_latest(folder: Path) -> Latest:
    """Return the latest points below a ``metrics`` folder, passing over what cannot be read."""
    latest = Latest()
    for _ in read_history(folder, latest, lambda key, reason: None, limit=100_000):
        pass
    return latest


def read_lines(key: str, path: Path, bad: OnBad, parse: Callable[[bytes, int], tuple[T | None, int]]) -> Iterator[T]:
    """Yield what ``parse`` makes of each line of a metric file and of how many fields the line before has.

    It gives None for a blank line, and how many fields the line before the next one has; raises ValueError for lines
    that are malformed, which are told to ``bad`` all at once.
    """
    problems = _Problems()
    fields = number = 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    parsed, fields = parse(line, fields)
                except ValueError as error:
                    problems.add(number, error)
                    continue
                if parsed is not None:
                    yield parsed
    except OSError as error:
        problems.add(number + 1, ValueError(f"it cannot be read: {error.strerror}"))
    if fields == 0 and not problems.count:
        problems.add(1, ValueError("the file is empty, expected a point"))
    if problems.count:
        bad(key, problems.text)


@dataclass(slots=True)
class _Problems:
    count: int = 0
    first: str = ""

    def add(self, number: int, error: ValueError) -> None:
        self.count += 1
        self.first = self.first or f"line {number}: {error}"

    @property
    def text(self) -> str:
        return self.first if self.count == 1 else f"{self.first}; {self.count} lines in all"


def _parse(line: bytes, fields_before: int) -> tuple[_Parsed | None, int]:
    """Return a point, None for a blank line, and how many fields the line before the next one has."""
    text = line.decode("utf-8").strip()
    if not text:
        return None, fields_before
    parts = text.split(" ")
    count = len(parts)
    if count < 2 or count == 4:
        raise ValueError(f"it has {count} fields, expected timestamp, value, step and perhaps a dataset")
    if count < fields_before and not line.endswith(b"\n"):
        raise ValueError("it breaks off: the last line has no end and fewer fields than the one before")
    time, value = int(parts[0]), float(parts[1])
    step = int(parts[2]) if count > 2 else 0
    if time not in INT64 or step not in INT64:
        raise ValueError("a number needs more than 64 bits")
    dataset = (" ".join(parts[3:-1]), parts[-1]) if count > 4 else None
    return (step, time, value, dataset), count
