"""What a million runs of 1,000 points cost on 1, 4 and 16 machines, from what `make bench-scale` has recorded.

Each step is a line through the records: seconds = start + slope * runs, by least squares. Machines share what workers
do, reading and packing; the merge and the commit are done by one. A machine is what was recorded on.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

RUNS: Final = 1_000_000
POINTS: Final = 1_000
MACHINES: Final = (1, 4, 16)
SHARED: Final = "export"
"""The step that machines share; ``merge`` follows it on one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One run of the bench: seconds and MB of each step, bytes of the archive, and the most that lay in its folder."""

    runs: int
    processes: int
    steps: dict[str, list[float]]
    archive_bytes: int
    most_bytes: int

    @classmethod
    def read(cls, path: Path) -> Self:
        document: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return cls(**document)


@dataclass(frozen=True, slots=True)
class Line:
    """A value that grows with the number of runs."""

    start: float
    slope: float

    @classmethod
    def through(cls, points: Sequence[tuple[float, float]]) -> Self:
        """Fit a line through points by least squares; they have two values of x at least."""
        mean_x, mean_y = (sum(values) / len(points) for values in zip(*points, strict=True))
        slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)
        return cls(mean_y - slope * mean_x, slope)

    def at(self, runs: int) -> float:
        """Return the value for so many runs."""
        return self.start + self.slope * runs


def price(records: Sequence[Record]) -> str:
    """Return the page: time, memory and disk of a million runs, and how much of it the merge is. Raises ValueError."""
    if len({record.processes for record in records}) != 1:
        raise ValueError("records of one number of processes are wanted: give those of others by themselves")
    if len({record.runs for record in records}) < 2:
        raise ValueError("records of two numbers of runs are wanted at least: a line goes through them")
    if any(_line(records, step, 0).slope <= 0 for step in (SHARED, "merge")):
        raise ValueError("more runs took less time: the machine was busy with something else, record again")
    recorded = ", ".join(f"{record.runs:,}" for record in records)
    workers = f"{records[0].processes} processes" if records[0].processes else "threads"
    size = max(record.archive_bytes / record.runs for record in records) * RUNS / 1e9
    most = max(record.most_bytes / record.runs for record in records) * RUNS / 1e9
    return "\n".join(
        [
            f"{RUNS:,} runs, {RUNS * POINTS:,} points, from {recorded} runs by {workers}:",
            "",
            *_by_machines(records),
            "",
            *_by_step(records),
            "",
            f"The archive has {size:.1f} GB; it takes {most:.1f} GB of disk while it is made.",
        ]
    )


def _by_machines(records: Sequence[Record]) -> list[str]:
    shared, merge = (_line(records, step, 0).at(RUNS) for step in (SHARED, "merge"))
    rows = ["| machines | read and write, shared | merge and commit, by one | in all |", "|---:|---:|---:|---:|"]
    for machines in MACHINES:
        total = shared / machines + merge
        rows.append(
            f"| {machines} | {_time(shared / machines)} | {_time(merge)}, {merge / total:.0%} | {_time(total)} |"
        )
    return rows


def _by_step(records: Sequence[Record]) -> list[str]:
    rows = ["| by one machine | time | most memory |", "|---|---:|---:|"]
    for step in records[0].steps:
        seconds, megabytes = (_line(records, step, column).at(RUNS) for column in (0, 1))
        rows.append(f"| {step} | {_time(seconds) if seconds else ''} | {megabytes:,.0f} MB |")
    return rows


def _line(records: Sequence[Record], step: str, column: int) -> Line:
    return Line.through([(record.runs, record.steps[step][column]) for record in records])


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
