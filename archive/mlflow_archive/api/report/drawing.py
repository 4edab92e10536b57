"""Charts as SVG: a small one for each history, and one with axes for several runs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from mlflow_archive.api.report.markup import Markup, text
from mlflow_archive.reader.inspection.shape import shape

_SMALL: Final = (120, 28)
_LARGE: Final = (520, 220)
_MARGIN: Final = (64, 10, 24, 10)  # left, top, bottom, right: room for the numbers on the axes
_COLOURS: Final = ("2563a8", "c2410c", "15803d", "7e22ce", "b91c1c", "0e7490", "a16207", "be185d", "4d7c0f", "475569")
_POINTS: Final = 200
_TICKS: Final = 3
_LARGEST: Final = 1e300
MOST_LINES: Final = len(_COLOURS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One run in a chart: at most 200 points, by step."""

    label: str
    steps: Sequence[float]
    values: Sequence[float]


@dataclass(frozen=True, slots=True)
class _Axis:
    """Numbers from ``low`` to ``high`` along one side of a chart."""

    low: float
    high: float

    @classmethod
    def of(cls, numbers: Iterable[float]) -> _Axis:
        known = list(numbers)
        return cls(min(known), max(known))

    @property
    def ticks(self) -> list[float]:
        """Where numbers stand: the ends and between them; one where all are equal."""
        if self.low == self.high:
            return [self.low]
        share = 1 / (_TICKS - 1)
        return [self.low * (1 - at * share) + self.high * at * share for at in range(_TICKS)]

    def place(self, number: float) -> float:
        """Return where a number lies, from 0 to 1. Halved, as the span of two floats need not be one."""
        span = self.high / 2 - self.low / 2
        return (number / 2 - self.low / 2) / span if span else 0.5


def line_of(label: str, steps: Sequence[int], values: Sequence[float]) -> Line | None:
    """Return a history as a line, None where fewer than two of its points can be drawn."""
    points = [(s, v) for s, v in zip(steps, values, strict=True) if math.isfinite(v) and abs(v) <= _LARGEST]
    if len(points) < 2:
        return None
    count = min(len(points), _POINTS)
    picked = [points[at * (len(points) - 1) // (count - 1)] for at in range(count)]
    return Line(label=label, steps=[step for step, _ in picked], values=[value for _, value in picked])


def small_chart(values: Sequence[float]) -> Markup:
    """Return a history as a small line, nothing where fewer than two of its points are finite."""
    width, height = _SMALL
    points = [(at, level) for at, level in enumerate(shape(values, width)) if level is not None]
    if len(points) < 2:
        return Markup()
    last = points[-1][0]
    path = " L".join(
        f"{at * (width - 2) / last + 1:.1f} {height - 2 - level * (height - 4):.1f}" for at, level in points
    )
    return Markup(f'<svg width="{width}" height="{height}" role="img"><path d="M{path}"/></svg>')


def chart(title: str, lines: Sequence[Line]) -> str:
    """Return a chart of a metric over its steps, a line for each run, with axes and a legend."""
    left, top, bottom, right = _MARGIN
    width, height = _LARGE
    steps = _Axis.of(step for line in lines for step in line.steps)
    values = _Axis.of(value for line in lines for value in line.values)
    room = (width - left - right, height - top - bottom)
    parts = [f'<path class="axis" d="M{left} {top} V{height - bottom} H{width - right}"/>']
    for tick in values.ticks:
        at = height - bottom - values.place(tick) * room[1]
        parts.append(f'<text x="{left - 4}" y="{at + 4:.1f}" text-anchor="end">{tick:.4g}</text>')
    for tick in steps.ticks:
        at = left + steps.place(tick) * room[0]
        parts.append(f'<text x="{at:.1f}" y="{height - 8}" text-anchor="middle">{tick:.6g}</text>')
    legend = []
    for line, colour in zip(lines, _COLOURS, strict=False):
        path = " L".join(
            f"{left + steps.place(s) * room[0]:.1f} {height - bottom - values.place(v) * room[1]:.1f}"
            for s, v in zip(line.steps, line.values, strict=True)
        )
        parts.append(f'<path style="stroke:#{colour}" d="M{path}"/>')
        legend.append(f'<span style="color:#{colour}">■</span> {text(line.label)}')
    drawing = f'<svg width="{width}" height="{height}" role="img">{"".join(parts)}</svg>'
    names = f'<p class="legend">{" &nbsp; ".join(legend)}</p>'
    return f"<figure><figcaption>{text(title)}</figcaption>{drawing}{names}</figure>"
