"""Things in order, some of them together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

_Item = TypeVar("_Item")


def in_pieces(
    items: Iterable[_Item], size: Callable[[_Item], int], most_bytes: int, most_items: int | None = None
) -> Iterator[list[_Item]]:
    """Yield items in order, some together: so many at most, and no more bytes unless it is one by itself.

    >>> list(in_pieces("aBcd", lambda item: 5 if item == "B" else 1, most_bytes=3, most_items=2))
    [['a'], ['B'], ['c', 'd']]
    """
    piece: list[_Item] = []
    together = 0
    for item in items:
        if piece and (len(piece) == most_items or together + size(item) > most_bytes):
            yield piece
            piece, together = [], 0
        piece.append(item)
        together += size(item)
    if piece:
        yield piece
