"""Metric histories as charts: in the terminal, and as PNG or SVG files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from mlflow_archive.errors import MlflowArchiveError
from mlflow_archive.reader.details import History

FORMATS: Final = (".png", ".svg", ".pdf")


def terminal_chart(histories: Sequence[History], *, width: int, height: int, colour: bool) -> str:
    """Return histories over their steps, drawn with characters; points that are NaN or infinite are left out."""
    import plotext  # noqa: PLC0415 - only where something is drawn

    plotext.clear_figure()
    plotext.plot_size(width, height)
    for history in histories:
        steps, values = _finite(history)
        if steps:
            plotext.plot(steps, values, label=history.key)
    plotext.xlabel("step")
    text: str = plotext.build()
    return text if colour else plotext.uncolorize(text)


def write_chart(histories: Sequence[History], path: Path, *, title: str) -> None:
    """Write a chart to a file, of the kind its ending names. Raises MlflowArchiveError where matplotlib is missing."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - optional
    except ImportError as error:
        raise MlflowArchiveError("charts in files need matplotlib: pip install 'mlflow-archive[plot]'") from error
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for history in histories:
        axes.plot(*_finite(history), marker="." if len(history.steps) < 2 else "", label=_plain(history.key))
    axes.set_xlabel("step")
    axes.set_title(_plain(title))
    axes.legend()
    # No date in the file: the same history gives the same bytes.
    figure.savefig(path, metadata=_DATELESS.get(path.suffix.lower()))


_DATELESS: Final[Mapping[str, Mapping[str, None]]] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}


def _finite(history: History) -> tuple[list[int], list[float]]:
    kept = [(s, v) for s, v in zip(history.steps, history.values, strict=True) if math.isfinite(v)]
    return [step for step, _ in kept], [value for _, value in kept]


def _plain(text: str) -> str:
    """Return a text without the dollars that matplotlib takes for formulas."""
    return text.replace("$", r"\$")
