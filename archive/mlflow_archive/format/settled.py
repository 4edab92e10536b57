"""What an export states of gaps that are no more (spec/format.md, "Manifest": ``settled``)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final

from mlflow_archive.format.gaps import SOURCE

SETTLED: Final = "settled"


def parse_settled(export: Mapping[str, Any]) -> tuple[tuple[str, str], ...] | None:
    """Return the pairs of owner kind and owner id that it states, None where there are none. Raises ValueError."""
    if SETTLED not in export:
        return None
    value = export[SETTLED]
    are_pairs = isinstance(value, list) and bool(value) and all(map(_names_no_object, value))
    if not are_pairs or any(after <= before for before, after in pairwise(value)):
        raise ValueError(f"{SETTLED} is {value!r:.100}, expected sorted pairs of texts, each once")
    return tuple((owner_kind, owner_id) for owner_kind, owner_id in value)


def _names_no_object(pair: object) -> bool:
    """Return whether a value is the pair of owner kind and owner id of a gap, and that of no object."""
    if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
        return False
    return pair[0] == SOURCE or not pair[1]
