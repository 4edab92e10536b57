"""What ``bench.make_server`` fills a server with: how much of each, numbers and bytes as training runs leave them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

START_MS: Final = 1_760_000_000_000
METRIC_KEYS: Final = (
    "train/loss",
    "val/loss",
    "train loss.aux",
    "métrique/损失",
    "grad_norm",
    "lr",
    "epoch",
    "val/accuracy",
    "system/gpu_utilization_percentage",
    "tokens_per_s",
)
WORDS: Final = "step loss lr epoch train val INFO WARN grad_norm tokens/s saved checkpoint eval 0.123 1e-4 cuda:0 rank"

Point = tuple[str, float, int, int]
"""Key, value, timestamp in milliseconds, step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Experiments; per experiment its runs and traces; per run its params, tags, metric keys, steps and artifacts.

    ``dup`` is the share of artifacts that are equal to others, ``art_size`` their size in bytes, ``versions`` the
    number for each of the registered ``models``.
    """

    exps: int
    runs: int
    params: int
    tags: int
    keys: int
    steps: int
    arts: int
    art_size: int
    dup: float
    models: int
    versions: int
    traces: int


WORKLOADS: Final = {
    "T": Workload(
        exps=2,
        runs=20,
        params=8,
        tags=4,
        keys=10,
        steps=20,
        arts=2,
        art_size=10_000,
        dup=0.5,
        models=2,
        versions=3,
        traces=3,
    ),
    "S": Workload(
        exps=10,
        runs=20,
        params=20,
        tags=10,
        keys=10,
        steps=100,
        arts=3,
        art_size=50_000,
        dup=0.0,
        models=3,
        versions=5,
        traces=5,
    ),
    "M": Workload(
        exps=20,
        runs=100,
        params=20,
        tags=10,
        keys=10,
        steps=250,
        arts=5,
        art_size=200_000,
        dup=0.5,
        models=5,
        versions=10,
        traces=10,
    ),
}


def metric_values(kind: int, steps: int, random: Generator) -> NDArray[np.float64]:
    """Return a history of one of ten kinds: losses, rates, percentages, counts; of float32 and of full precision."""
    step = np.arange(1, steps + 1, dtype=np.float64)
    noise = random.standard_normal(steps)
    curves = (
        lambda: _single(2.5 / np.sqrt(step) + 0.02 * noise),  # three losses
        lambda: _single(2.5 / np.sqrt(step) + 0.02 * noise),
        lambda: _single(2.5 / np.sqrt(step) + 0.02 * noise),
        lambda: np.exp(-step / steps) * (1 + 0.1 * noise),
        lambda: np.abs(_single(1 + 0.3 * noise)),  # the norm of a gradient
        lambda: 3e-4 * 0.5 * (1 + np.cos(np.pi * step / steps)),  # a learning rate
        lambda: np.floor(step / 25),  # an epoch
        lambda: np.round(1 - 1 / np.sqrt(step + 1) + 0.01 * noise, 4),  # an accuracy
        lambda: np.round(70 + 8 * noise, 1),  # a percentage
        lambda: 1e4 + 300 * noise,  # a throughput
    )
    return np.asarray(curves[kind](), dtype=np.float64)


def _single(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values.astype(np.float32).astype(np.float64)


def points_of_run(number: int, start_ms: int, workload: Workload, random: Generator) -> list[Point]:
    """Return the histories of a run; every fifth has values and steps at the edge of what MLflow takes."""
    steps = workload.steps
    times = (start_ms + np.cumsum(random.integers(1200, 1800, steps))).tolist()
    points: list[Point] = []
    for at in range(workload.keys):
        key = METRIC_KEYS[at % len(METRIC_KEYS)] + ("" if at < len(METRIC_KEYS) else f"_{at}")
        values = metric_values(at % 10, steps, random).tolist()
        points += zip([key] * steps, values, times, range(steps), strict=True)
    if number % 5 == 0 and steps >= 20:
        _add_oddities(points)
    return points


def _add_oddities(points: list[Point]) -> None:
    for at, value in enumerate((math.nan, math.inf, -math.inf, 1.7e308, 5e-324, -0.0, 0.1 + 0.2), start=3):
        key, _, time, step = points[at]
        points[at] = (key, value, time, step)
    key, value, time, step = points[12]
    points[13] = (key, value + 1, time + 1, step)  # a step again
    points[14] = (key, 0.5, time, -1)
    points[15] = (key, math.nan, time + 5, step)  # NaN at a step that is there
    points[16] = (key, 42.0, time, 2**40)


def blob(kind: int, size: int, random: Generator) -> bytes:
    """Return the bytes of an artifact: weights for ``kind`` 0 to 3, a log for 4 to 6, noise for 7 to 9."""
    if kind < 4:
        weights = random.standard_normal(size // 4, dtype=np.float32) * np.float32(0.02)
        return weights.tobytes().ljust(size, b"\0")
    if kind < 7:
        return _log(size, random)
    return random.bytes(size)


def _log(size: int, random: Generator) -> bytes:
    words = np.array(WORDS.split())
    count = 4 * (size // 40 + 8)
    numbers = random.integers(0, 10**6, count)
    picks = random.integers(0, len(words), count)
    text, line = "", 0
    while len(text) < size:
        first, second, third = (words[pick] for pick in picks[4 * line : 4 * line + 3])
        value, tokens = numbers[4 * line : 4 * line + 2]
        clock = f"2025-10-09 08:{line // 60 % 60:02d}:{line % 60:02d}"
        text += f"{clock} {first} {second}={value / 1e6:.6f} {third}={tokens}\n"
        line += 1
    return text.encode()[:size]
