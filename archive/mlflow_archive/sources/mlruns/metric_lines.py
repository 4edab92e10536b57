"""Metric files: one line for each point, ``timestamp value [step [run id] [dataset name, dataset digest]]``.

Only lines of logged models have a run id. MLflow's own reader takes the step of a line with a dataset for 0 and refuses
dataset names with spaces; here a line means what MLflow's writer put into it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mlflow_archive.sources.reading.gaplist import OnBad, Problems
from mlflow_archive.sources.reading.points import Dataset
from mlflow_archive.sources.reading.rows import INT64

_Point = tuple[int, int, float, str, Dataset | None]
"""Step, time, value, run id, dataset."""


def read_lines(key: str, path: Path, bad: OnBad, *, with_run_id: bool = False) -> Iterator[_Point]:
    """Yield the points of a metric file in the order of its lines; the run id is "" where there is none.

    Lines that are malformed are left out and reported to ``bad``, all at once.
    """
    head = 4 if with_run_id else 3  # the fields before those of the dataset, the last of which may be missing
    problems = Problems(units="lines")
    fields = number = 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    point, fields = _parse(line, fields, head)
                except ValueError as error:
                    problems.add(f"line {number}: {error}")
                    continue
                if point is not None:
                    yield point
    except OSError as error:
        problems.add(f"line {number + 1}: it cannot be read: {error.strerror}")
    if fields == 0 and not problems.count:
        problems.add("line 1: the file is empty, expected a point")
    if problems.count:
        bad(key, problems.text)


def _parse(line: bytes, fields_before: int, head: int) -> tuple[_Point | None, int]:
    """Return a point, None for a blank line, and how many fields the line before the next one has."""
    text = line.decode("utf-8").strip()
    if not text:
        return None, fields_before
    parts = text.split(" ")
    count = len(parts)
    if count < head - 1 or count == head + 1:
        expected = "step, run id and perhaps" if head == 4 else "step and perhaps"
        raise ValueError(f"it has {count} fields, expected timestamp, value, {expected} a dataset")
    if count < fields_before and not line.endswith(b"\n"):
        raise ValueError("it breaks off: the last line has no end and fewer fields than the one before")
    time, value = int(parts[0]), float(parts[1])
    step = int(parts[2]) if count > 2 else 0
    if time not in INT64 or step not in INT64:
        raise ValueError("a number needs more than 64 bits")
    if count <= 3:  # as nearly every line
        return (step, time, value, "", None), count
    dataset = (" ".join(parts[head:-1]), parts[-1]) if count > head else None
    return (step, time, value, parts[3] if head == 4 else "", dataset), count
