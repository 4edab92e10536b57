"""The text of a scorer as the server keeps it.

A scorer that asks a gateway endpoint is kept with the endpoint's id; the server puts the endpoint's name in its place
before it answers. The same text with the id again is what its database has.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

_PREFIX: Final = "gateway:/"
_PLACES: Final = ("instructions_judge_pydantic_data", "builtin_scorer_pydantic_data", "third_party_scorer_data")
_NESTED: Final = ("memory_augmented_judge_data", "base_judge")


def with_endpoint_id(serialized: str, endpoint_ids: Mapping[str, str]) -> str:
    """Return a scorer with the id of its endpoint instead of the name; any other text unchanged.

    >>> with_endpoint_id('{"builtin_scorer_pydantic_data": {"model": "gateway:/fast"}}', {"fast": "e-1"})
    '{"builtin_scorer_pydantic_data": {"model": "gateway:/e-1"}}'
    """
    try:
        scorer = json.loads(serialized)
    except ValueError:
        return serialized
    if not isinstance(scorer, dict):
        return serialized
    holder = _holder(scorer)
    model = holder.get("model") if holder is not None else None
    if holder is None or not isinstance(model, str) or not model.startswith(_PREFIX):
        return serialized
    endpoint_id = endpoint_ids.get(model.removeprefix(_PREFIX))
    if endpoint_id is None:
        return serialized
    holder["model"] = _PREFIX + endpoint_id
    return json.dumps(scorer)


def _holder(scorer: dict[str, Any]) -> dict[str, Any] | None:
    """Return the object in a scorer that names its model."""
    for place in _PLACES[:2]:
        if found := scorer.get(place):
            return found if isinstance(found, dict) else None
    outer, inner = _NESTED
    if found := scorer.get(outer):
        nested = found.get(inner) if isinstance(found, dict) else None
        return _holder(nested) if isinstance(nested, dict) else None
    found = scorer.get(_PLACES[2])
    return found if isinstance(found, dict) else None
