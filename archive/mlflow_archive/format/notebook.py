"""HTML for notebooks. Every text of an archive is data: it is escaped, and nothing in it runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, Final

MOST_ROWS: Final = 20
"""How many rows of a table are shown; how many there are stands in its heading."""

_LONGEST: Final = 200
_STYLE: Final = "border-collapse:collapse;font-size:90%"
_CELL: Final = "padding:2px 8px;text-align:left;vertical-align:top"


def table_html(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table with a heading."""
    head = "".join(f'<th style="{_CELL}">{_shown(name)}</th>' for name in columns)
    body = "".join(
        "<tr>" + "".join(f'<td style="{_CELL}">{_shown(cell)}</td>' for cell in row) + "</tr>" for row in rows
    )
    return f'<b>{_shown(title)}</b><table style="{_STYLE}"><tr>{head}</tr>{body}</table>'


def rows_html(title: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the first rows, with how many there are in the heading; nothing where there are none.

    The columns are those of the first row.
    """
    if not rows:
        return ""
    columns = list(rows[0])
    return table_html(counted(title, len(rows)), columns, ([row[name] for name in columns] for row in rows[:MOST_ROWS]))


def counted(title: str, total: int) -> str:
    """Return a heading that says how many rows there are, and how many of them are shown.

    >>> counted("gaps", 3), counted("gaps", 1234)
    ('gaps (3)', 'gaps (1,234, the first 20 are shown)')
    """
    return f"{title} ({total:,}{f', the first {MOST_ROWS} are shown' if total > MOST_ROWS else ''})"


def pairs_html(title: str, values: Mapping[str, Any]) -> str:
    """Return names with values under a heading; nothing where there are none."""
    if not values:
        return ""
    body = "".join(
        f'<tr><th style="{_CELL}">{_shown(name)}</th><td style="{_CELL}">{_shown(value)}</td></tr>'
        for name, value in values.items()
    )
    return f'<b>{_shown(title)}</b><table style="{_STYLE}">{body}</table>'


def _shown(value: object) -> str:
    text = "" if value is None else str(value)
    return escape(text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…")
