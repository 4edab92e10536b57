"""Metric histories as charts: in the terminal, and as PNG or SVG files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from mlflow_archive.optional import needing
from mlflow_archive.reader.inspection.details import MetricHistory

FORMATS: Final = (".png", ".svg", ".pdf")
_SMALLEST: Final = (40, 10)
"""Columns and lines below which nothing can be made out."""
_LARGEST: Final = 1e300


def terminal_chart(histories: Sequence[MetricHistory], *, width: int, height: int, colour: bool) -> str:
    """Return histories over their steps, drawn with characters; points that cannot be drawn are left out.

    ``unseen`` says of which histories.
    """
    import plotext  # noqa: PLC0415 - only where something is drawn

    plotext.clear_figure()
    plotext.limit_size(False, False)  # the caller knows the terminal
    for paint in (plotext.canvas_color, plotext.axes_color, plotext.ticks_color):
        paint("default")  # the terminal's own colours
    plotext.plot_size(max(width, _SMALLEST[0]), max(height, _SMALLEST[1]))
    drawn = [(history.key, *_drawable(history)) for history in histories]
    for key, steps, values in drawn:
        if len(steps) == 1:
            plotext.scatter(steps, values, label=key, marker="+")
        elif steps:
            plotext.plot(steps, values, label=key)
    # Ticks of its own plotext cannot label where numbers are large, and it gives steps fractions.
    ticks = _ticks([value for _, _, values in drawn for value in values])
    plotext.yticks(ticks, [f"{tick:.4g}" for tick in ticks])
    first, last = _ends([step for _, steps, _ in drawn for step in steps])
    at = sorted({int(first + (last - first) * n // 4) for n in range(5)})
    plotext.xticks(at, list(map(str, at)))
    plotext.xlabel("step")
    text: str = plotext.build()
    return text if colour else plotext.uncolorize(text)


def unseen(histories: Sequence[MetricHistory]) -> dict[str, int]:
    """Return how many points no chart shows, of each metric that has such: NaN, infinite, or beyond 1e300."""
    counts = {history.key: sum(not _is_drawable(value) for value in history.values) for history in histories}
    return {key: count for key, count in counts.items() if count}


def write_chart(histories: Sequence[MetricHistory], path: Path, *, title: str) -> None:
    """Write a chart to a file, of the kind its ending names. Raises MissingExtraError where matplotlib is missing."""
    with needing("plot", "a chart in a file"):
        from matplotlib.figure import Figure  # noqa: PLC0415
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for history in histories:
        axes.plot(*_drawable(history), marker="." if len(history.steps) < 2 else "", label=_plain(history.key))
    axes.set_xlabel("step")
    axes.set_title(_plain(title))
    axes.legend()
    # No date in the file: the same history gives the same bytes.
    figure.savefig(path, metadata=_DATELESS.get(path.suffix.lower()))


_DATELESS: Final[Mapping[str, Mapping[str, None]]] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}


def _drawable(history: MetricHistory) -> tuple[list[int], list[float]]:
    points = [(s, v) for s, v in zip(history.steps, history.values, strict=True) if _is_drawable(v)]
    return [step for step, _ in points], [value for _, value in points]


def _is_drawable(value: float) -> bool:
    # MLflow's databases have the largest float in place of infinity.
    return math.isfinite(value) and abs(value) <= _LARGEST


def _ticks(values: Sequence[float]) -> list[float]:
    low, high = _ends(values)
    return [low + (high - low) * n / 4 for n in range(5)] if high > low else [low]


def _ends(numbers: Sequence[float]) -> tuple[float, float]:
    return (min(numbers), max(numbers)) if numbers else (0, 1)


def _plain(text: str) -> str:
    """Return a text without the dollars that matplotlib takes for formulas."""
    return text.replace("$", r"\$")
