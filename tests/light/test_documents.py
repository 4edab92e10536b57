"""A line of the README and the guides that needs an extra names it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NEEDS = {
    "sql": r"mlflow-archive sql |\ba\.sql\(",
    "server": r"mlflow-archive (serve|restore) |ma\.(serve|restore)\(|--to '?(sqlite|mysql)|_uri\(\"mlflow-archive:",
    "pandas": r"to_pandas\(|\ba\.search_runs\(|mlfa://",
    "postgresql": r"postgresql://",
    "database": r"\bsqlite:///",
    "road": r"mlflow-archive (pack .*--(recipient|passphrase|parity)|unpack .*--identity)",
    "timestamp": r"mlflow-archive .*--(timestamp|tsa-ca) ",
    "plot": r"-o \w+\.(png|svg|pdf)",
}
GIVEN = {"database": ("database", "server", "postgresql")}
"""Extras that bring what another one does."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_line_that_needs_an_extra_names_it(page: Path) -> None:
    lacking = [
        (line.strip(), extra)
        for line in page.read_text("utf-8").splitlines()
        for extra, pattern in NEEDS.items()
        if line.startswith("    ") and re.search(pattern, line) and not names(line, extra)
    ]
    assert lacking == []


def names(line: str, extra: str) -> bool:
    """Return whether a line names an extra, or one that brings it, as ``[sql]``."""
    listed = {name for group in re.findall(r"\[([\w,]+)\]", line) for name in group.split(",")}
    return not listed.isdisjoint(GIVEN.get(extra, (extra,)))
