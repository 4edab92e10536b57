"""Values as text for people. Control characters are escaped: names in an archive come from strangers."""

from __future__ import annotations

import unicodedata
from typing import Final

from mlflow_archive.reader.inspection.rows import Moment
from mlflow_archive.reader.inspection.shape import shape
from mlflow_archive_cli.escaping import one_line

_SPARKS: Final = "▁▂▃▄▅▆▇█"
_SPARK_WIDTH: Final = 32


def text_of(value: object) -> str:
    """Return a value on one line."""
    if value is None:
        return "-"
    if isinstance(value, Moment):
        return value.plain()
    if isinstance(value, float):
        return number(value)
    return one_line(str(value))


def width_of(text: str) -> int:
    """Return how many columns of a terminal a text takes: East Asian wide characters and emoji two, accents none.

    >>> width_of("日本"), width_of("e\u0301")
    (4, 1)
    """
    if text.isascii():
        return len(text)
    # As rich.cells.cell_len has it, whose import would slow the start of every reading command.
    return sum(
        0
        if unicodedata.category(char) in ("Mn", "Me", "Cf")
        else 2
        if unicodedata.east_asian_width(char) in "WF"
        else 1
        for char in text
    )


def padded(text: str, width: int, *, right: bool = False) -> str:
    """Return a text filled up with spaces to a width on a terminal, at its right side or, if ``right``, at its left."""
    fill = " " * (width - width_of(text))
    return fill + text if right else text + fill


def number(value: float) -> str:
    """Return a float with at most six significant digits."""
    return f"{value:.6g}"


def size(count: int) -> str:
    """Return bytes in binary units: ``1.2 MiB``."""
    amount = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{count} {'byte' if count == 1 else 'bytes'}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def duration(seconds: float) -> str:
    """Return a span of time: ``45 s``, ``3 min``, ``2 h 05 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def elapsed(milliseconds: int) -> str:
    """Return how long something took: ``450 ms``, ``4.77 s``, ``3 min``.

    >>> elapsed(450), elapsed(4767), elapsed(4883611)
    ('450 ms', '4.77 s', '81 min')
    """
    if milliseconds < 1000:
        return f"{milliseconds} ms"
    return f"{milliseconds / 1000:.3g} s" if milliseconds < 90_000 else duration(milliseconds / 1000)


def sparkline(values: list[float]) -> str:
    """Draw values in at most 32 characters, each the mean of its share; ``✕`` where none of them is finite.

    >>> sparkline([0.0, 1.0, 2.0, 3.0])
    '▁▃▆█'
    """
    top = len(_SPARKS) - 1
    return "".join("✕" if p is None else _SPARKS[round(p * top)] for p in shape(values, _SPARK_WIDTH))
