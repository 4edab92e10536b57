"""HTML of values, tables and lists; every text of an archive is escaped here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

from mlflow_archive.reader.inspection.rows import Moment

_LONGEST: Final = 500


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def text(value: object) -> str:
    """Return a value as HTML, cut where it is long."""
    if isinstance(value, Markup):
        return value
    if value is None:
        return ""
    plain = value.plain() if isinstance(value, Moment) else f"{value:.6g}" if isinstance(value, float) else str(value)
    return escape(plain if len(plain) <= _LONGEST else f"{plain[:_LONGEST]}… ({len(plain):,} characters)")


def titled(title: str, content: str) -> str:
    """Return content under a small title, nothing for nothing."""
    return f"<p><b>{title}</b></p>{content}" if content else ""


def pairs(values: Mapping[str, Any]) -> str:
    """Return names with values."""
    rows = "".join(f"<tr><th>{text(name)}</th><td>{text(value)}</td></tr>" for name, value in values.items())
    return f"<table>{rows}</table>" if rows else ""


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows, all with the columns of the first, without columns that hold nothing."""
    if not rows:
        return ""
    columns = [name for name in rows[0] if any(row[name] not in (None, "") for row in rows)]
    head = "".join(f"<th>{text(name)}</th>" for name in columns)
    body = "".join("<tr>" + "".join(f"<td>{text(row[name])}</td>" for name in columns) + "</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def link(anchor: str, label: object) -> Markup:
    """Return a link to a place of this page."""
    return Markup(f'<a href="#{escape(anchor)}">{text(label)}</a>')
