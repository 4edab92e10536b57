"""JSON that stands as text in an archive: a stranger wrote it, and may have made it to bring a reader down."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

MAX_DEPTH: Final = 200
"""How deep values may nest: far more than MLflow writes, and little enough for code that goes down by recursion."""


def parse_json(text: str | bytes, parse_constant: Callable[[str], Any] | None = None) -> Any:
    """Return the value of a JSON text. Raises ValueError for any other text, and for values that nest too deep.

    ``parse_constant`` is called for NaN and infinities, which are not JSON but which Python reads.

    >>> parse_json('{"a": [1]}')
    {'a': [1]}
    """
    try:
        value = json.loads(text, parse_constant=parse_constant)
    except RecursionError as error:
        raise ValueError("it nests too deep") from error
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level if isinstance(outer, dict | list) for inner in _inside(outer)]
        if not level:
            return value
    raise ValueError(f"it nests more than {MAX_DEPTH} deep")


def _inside(value: dict[str, Any] | list[Any]) -> list[Any]:
    """Return the objects and lists in an object or list."""
    inner = value.values() if isinstance(value, dict) else value
    return [item for item in inner if isinstance(item, dict | list)]
