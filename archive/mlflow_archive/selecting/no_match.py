"""The error for a selection of which something matches nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Final

from mlflow_archive.errors import SelectionError

_SHOWN: Final = 5
_COMPARED: Final = 5_000


def no_match(
    noun: str, place: object, patterns: Sequence[str], names: Mapping[str, str], *, deleted: bool = True
) -> SelectionError:
    """Return the error for patterns that none of some names matches; it shows those most like them, then the first.

    ``noun`` is a word such as experiment, ``place`` where it was looked for; ``names`` says how each name is shown,
    and ``deleted`` whether deleted ones are among them.
    """
    compared_names = list(names)[:_COMPARED]
    nearest = [name for pattern in patterns for name in get_close_matches(pattern, compared_names, _SHOWN)]
    shown_names = list(dict.fromkeys([*nearest, *compared_names]))[:_SHOWN]
    examples = ", ".join(names[name] for name in shown_names) or "none"
    others = " and others" if len(names) > _SHOWN else ""
    missing = ", ".join(map(repr, patterns))
    hint = "" if deleted else "; deleted ones are left out"
    return SelectionError(f"no {noun} of {place} matches {missing}; there are {examples}{others}{hint}")
