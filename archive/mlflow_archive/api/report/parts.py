"""The parts of a report: the place of each in the page, and its title."""

from __future__ import annotations

from typing import Final

PARTS: Final = {
    "integrity": "Integrity",
    "source": "Where it comes from",
    "contents": "What is in it",
    "runs": "Experiments and runs",
    "models": "Registered models and prompts",
    "logged-models": "Logged models",
    "datasets": "Datasets of runs",
    "evaluation": "Evaluation datasets",
    "traces": "Traces, the newest first",
    "scorers": "Scorers",
    "checksums": "Checksums",
}
COUNTED: Final = {
    "models": "registered_models",
    "logged-models": "logged_models",
    "datasets": "datasets",
    "evaluation": "evaluation_datasets",
    "traces": "traces",
    "scorers": "scorers",
}
"""Parts that are there where a table has rows."""


def heading(part: str) -> str:
    """Return the heading of a part."""
    return f'<h2 id="{part}">{PARTS[part]}</h2>'
