"""What an export states of the compactions that it went through (spec/format.md, "Manifest": ``compacted``)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

COMPACTED: Final = "compacted"
COMPACTED_MINOR: Final = 5
"""The minor version that brought compaction."""

_ARCHIVE_ID: Final = re.compile("[0-9a-f]{64}")
_TYPES: Final = {"archive_id": str, "first": int, "made_ms": int, "number": int, "tool": str}

Compaction = Mapping[str, Any]
"""One compaction: the id that the older archive had after export ``number``, which is this one, and the ``first`` of
the exports before it whose rows it has got; when (``made_ms``) and by which ``tool``."""


def parse_compacted(item: Mapping[str, Any]) -> tuple[Compaction, ...] | None:
    """Return what a manifest states under the key of an export, None where it has none. Raises ValueError."""
    if COMPACTED not in item:
        return None
    steps = item[COMPACTED]
    if not isinstance(steps, list) or not steps or not all(map(_is_sound, steps)):
        raise ValueError(f"{COMPACTED} must be a list of at least one object with {', '.join(_TYPES)}")
    return tuple(steps)


def _is_sound(step: object) -> bool:
    if not isinstance(step, dict) or any(type(step.get(key)) is not kind for key, kind in _TYPES.items()):
        return False
    is_id = _ARCHIVE_ID.fullmatch(step["archive_id"]) is not None
    return is_id and 1 <= step["first"] <= step["number"] and step["made_ms"] >= 0
