"""HTML for notebooks. Every text of an archive is data: it is escaped, and nothing in it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

from mlflow_archive.reader.inspection.rows import Moment

_LONGEST: Final = 200
_STYLE: Final = "border-collapse:collapse;font-size:90%"
_CELL: Final = "padding:2px 8px;text-align:left;vertical-align:top"


def table_html(title: str, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a table with a heading."""
    head = "".join(f'<th style="{_CELL}">{_shown(name)}</th>' for name in columns)
    body = "".join(
        "<tr>" + "".join(f'<td style="{_CELL}">{_shown(row.get(name))}</td>' for name in columns) + "</tr>"
        for row in rows
    )
    return f'<b>{_shown(title)}</b><table style="{_STYLE}"><tr>{head}</tr>{body}</table>'


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
    if value is None:
        return ""
    text = value.plain() if isinstance(value, Moment) else str(value)
    return escape(text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…")
