"""The metric history of a run: every line of its metric files; a point logged twice stays two points."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mlflow_archive.sources.mlruns.keyfiles import key_files
from mlflow_archive.sources.mlruns.metric_lines import read_lines
from mlflow_archive.sources.reading.gaplist import OnBad
from mlflow_archive.sources.reading.points import Latest, Points


def read_history(folder: Path, latest: Latest, bad: OnBad, *, limit: int) -> Iterator[Points]:
    """Yield all points below a ``metrics`` folder, key by key in the order of their lines.

    All but the last batch hold ``limit`` points; the last one may be empty. ``latest`` is complete afterwards.
    A key of which lines are malformed or missing is reported to ``bad`` once; its other lines are kept.
    """
    points = Points()
    for key, path in key_files(folder, bad):
        for step, time, value, _, dataset in read_lines(key, path, bad):
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
