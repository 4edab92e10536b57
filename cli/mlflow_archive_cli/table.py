"""Tables of text: fitted to a terminal, or plain aligned columns where stdout goes to a program or a file."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mlflow_archive.reader.inspection.rows import Moment
from mlflow_archive_cli.escaping import one_line
from mlflow_archive_cli.printable import elapsed, padded, text_of, width_of

_WIDEST_CELL: Final = 1_000
_GAP: Final = "  "
_SHORTEST_ID: Final = 8
_HEX: Final = frozenset("0123456789abcdef")
_ID_DIGITS: Final = 32
_MILLISECONDS: Final = "_ms"
_DURATION: Final = "duration_ms"


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of an answer: rows with these columns under a title; without ``header`` they are names with values.

    Unless it is ``whole``, columns for which a terminal has no room are left away from the right, and named.
    """

    title: str = ""
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    header: bool = True
    right: Sequence[int] = ()
    whole: bool = False


def pairs(title: str, values: Mapping[str, Any]) -> Section:
    """Return a section of names with values."""
    rows = [(one_line(name), text_of(value)) for name, value in values.items()]
    return Section(title=title, columns=("", ""), rows=rows, header=False)


def listed(columns: Sequence[str], rows: Sequence[Sequence[Any]], right: Sequence[str], *, whole: bool) -> Section:
    """Return a list as a section: durations with their units, and on a terminal ids as short as ``show`` takes them."""
    cells = [[_cell(name, value) for name, value in zip(columns, row, strict=True)] for row in rows]
    if sys.stdout.isatty():
        for at in range(len(columns)):
            _shorten_ids(cells, at)
    return Section(
        columns=[one_line(name.removesuffix(_MILLISECONDS) if name.endswith(_DURATION) else name) for name in columns],
        rows=cells,
        right=[at for at, name in enumerate(columns) if name in right],
        whole=whole,
    )


def print_section(section: Section) -> None:
    """Print a section as aligned columns."""
    if section.title:
        print(section.title)
    indent = _GAP if section.title else ""
    lines = [list(section.columns)] if section.header else []
    lines += [list(row) for row in section.rows]
    widths = _widths(lines, len(section.columns))
    on_terminal = section.header and sys.stdout.isatty()
    if on_terminal and not section.whole:
        shown = _fitting(widths, shutil.get_terminal_size().columns - len(indent))
        if left_out := section.columns[shown:]:
            print(f"no room for the columns {', '.join(left_out)}", file=sys.stderr)
        widths = widths[:shown]
    for number, line in enumerate(lines):
        cells = [padded(line[at], width, right=at in section.right) for at, width in enumerate(widths)]
        print(indent + _GAP.join(cells).rstrip())
        if on_terminal and number == 0:
            print(indent + _GAP.join("─" * width for width in widths))


def _cell(name: str, value: Any) -> str:
    if (name == "duration" or name.endswith(_DURATION)) and isinstance(value, int) and not isinstance(value, Moment):
        return elapsed(value)
    return text_of(value)


def _shorten_ids(cells: list[list[str]], at: int) -> None:
    """Shorten a column of long ids to as many digits as tell them apart."""
    ids = {row[at] for row in cells} - {"-"}
    if not ids or not all(_is_long_id(text) for text in ids):
        return
    for digits in range(_SHORTEST_ID, _ID_DIGITS):
        short = {text: text[: len(text) - _ID_DIGITS + digits] for text in ids}
        if len(set(short.values())) == len(ids):
            for row in cells:
                row[at] = short.get(row[at], row[at])
            return


def _is_long_id(text: str) -> bool:
    """Return whether a text is an id of MLflow: 32 hexadecimal digits, behind nothing or a prefix such as ``tr-``."""
    prefix, digits = text[:-_ID_DIGITS], text[-_ID_DIGITS:]
    return len(digits) == _ID_DIGITS and set(digits) <= _HEX and (not prefix or prefix.endswith("-"))


def _fitting(widths: Sequence[int], room: int) -> int:
    """Return how many columns, from the left, fit into a width; at least one."""
    total = 0
    for at, width in enumerate(widths):
        total += width + (len(_GAP) if at else 0)
        if at and total > room:
            return at
    return len(widths)


def _widths(lines: Sequence[Sequence[str]], columns: int) -> list[int]:
    """Return how wide columns are; a very long cell stands out, or each line would be as long as it."""
    return [max((min(width_of(line[at]), _WIDEST_CELL) for line in lines), default=0) for at in range(columns)]
