"""Metric files of logged models: one line per point, ``timestamp value step [run id [dataset name, dataset digest]]``.

MLflow's database holds one point of a metric for each time, step and run, and so does an archive; a file store may
hold several. Of these the one that MLflow shows, the highest, is kept, and a gap tells of the others.
"""

from __future__ import annotations

import math
from pathlib import Path

from mlflow_archive.sources.mlruns.keyfiles import OnBad, key_files
from mlflow_archive.sources.mlruns.meta import INT64
from mlflow_archive.sources.mlruns.runs.history import read_lines
from mlflow_archive.sources.reading.rows import Row

_Place = tuple[int, int, str]
_Rest = tuple[float, str | None, str | None]
"""Value, dataset name, dataset digest."""


def model_metric_rows(folder: Path, model_id: str, experiment_id: str, bad: OnBad) -> list[Row]:
    """Return the rows of ``logged_model_metrics`` below a ``metrics`` folder."""
    rows: list[Row] = []
    for key, path in key_files(folder, bad):
        for (time, step, run_id), (value, name, digest) in _points(key, path, bad).items():
            rows.append(
                {
                    "model_id": model_id,
                    "key": key,
                    "timestamp": time,
                    "step": step,
                    "run_id": run_id,
                    "value": value,
                    "experiment_id": experiment_id,
                    "dataset_name": name,
                    "dataset_digest": digest,
                }
            )
    return rows


def _points(key: str, path: Path, bad: OnBad) -> dict[_Place, _Rest]:
    found: dict[_Place, _Rest] = {}
    left_out: list[float] = []
    for place, rest in read_lines(key, path, bad, _parse):
        held = found.setdefault(place, rest)
        if _same(held, rest):
            continue
        kept, other = (rest, held) if _rank(rest) > _rank(held) else (held, rest)
        found[place] = kept
        left_out.append(other[0])
    if left_out:
        bad(key, f"{len(left_out)} points have time, step and run of another and are left out, such as {left_out[0]}")
    return found


def _same(one: _Rest, other: _Rest) -> bool:
    return _rank(one) == _rank(other) and one[1:] == other[1:] and math.isnan(one[0]) == math.isnan(other[0])


def _rank(point: _Rest) -> float:
    return 0.0 if math.isnan(point[0]) else point[0]


def _parse(line: bytes, fields_before: int) -> tuple[tuple[_Place, _Rest] | None, int]:
    text = line.decode("utf-8").strip()
    if not text:
        return None, fields_before
    parts = text.split(" ")
    count = len(parts)
    if count < 3 or count == 5:
        raise ValueError(f"it has {count} fields, expected timestamp, value, step, run id and perhaps a dataset")
    if count < fields_before and not line.endswith(b"\n"):
        raise ValueError("it breaks off: the last line has no end and fewer fields than the one before")
    time, value, step = int(parts[0]), float(parts[1]), int(parts[2])
    if time not in INT64 or step not in INT64:
        raise ValueError("a number needs more than 64 bits")
    name, digest = (" ".join(parts[4:-1]), parts[-1]) if count > 5 else (None, None)
    return ((time, step, parts[3] if count > 3 else ""), (value, name, digest)), count
