"""A draw of mutants where all of them would take too long, and how sure a score is that comes from one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from math import sqrt
from typing import Final

_STANDARD_DEVIATIONS: Final = 1.96  # hold 95 % of a normal distribution


def draw(names: Iterable[str], number: int, seed: str) -> list[str]:
    """Return ``number`` of the names, the same ones for the same seed also where a few names came or went."""
    return sorted(names, key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).digest())[:number]


def interval(found: int, of: int) -> tuple[float, float]:
    """Return between which shares the share of all lies with 95 %: Wilson's interval, for ``found`` of a draw."""
    if of == 0:
        return 0.0, 1.0
    share, square = found / of, _STANDARD_DEVIATIONS**2
    middle = share + square / (2 * of)
    half = _STANDARD_DEVIATIONS * sqrt(share * (1 - share) / of + square / (4 * of * of))
    return (middle - half) / (1 + square / of), (middle + half) / (1 + square / of)
