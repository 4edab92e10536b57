"""The error for a selection of which something matches nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mlflow_archive.errors import SelectionError

_SHOWN: Final = 5


def no_match(noun: str, place: object, patterns: Sequence[str], names: Sequence[str], hint: str = "") -> SelectionError:
    """Return the error for patterns that none of these names matches; it shows the first of the names.

    ``noun`` is a word such as experiment, ``place`` where it was looked for, ``hint`` why a name may be missing.
    """
    examples = ", ".join(names[:_SHOWN]) or "none"
    count = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    missing = ", ".join(map(repr, patterns))
    return SelectionError(f"no {noun} of {place} matches {missing}; there are {examples}{count}{hint}")


def deleted_hint(*, deleted: bool) -> str:
    """Return what to add where deleted objects are not selected."""
    return "" if deleted else "; deleted ones are left out"
