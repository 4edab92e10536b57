"""The shape of a history in few points, for small charts of any kind."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

_LEVEL: Final = 0.45
"""Where a history lies whose values are all equal: in the middle, and in the lower half of eight steps."""


def shape(values: Sequence[float], most: int) -> list[float | None]:
    """Return at most so many points from 0 (the least) to 1, each the mean of its share; None where none is finite.

    >>> shape([0.0, 1.0, float("nan"), 2.0], 4)
    [0.0, 0.5, None, 1.0]
    """
    shares = min(len(values), most)
    points: list[float | None] = []
    for at in range(shares):
        share = values[at * len(values) // shares : (at + 1) * len(values) // shares]
        finite = [value for value in share if math.isfinite(value)]
        points.append(sum(value / len(finite) for value in finite) if finite else None)
    known = [point for point in points if point is not None]
    if not known:
        return points
    # Halved, as the span of the two largest floats is not a float.
    low = min(known) / 2
    span = max(known) / 2 - low
    return [None if point is None else (point / 2 - low) / span if span else _LEVEL for point in points]
