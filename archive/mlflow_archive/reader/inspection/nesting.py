"""Records that lie below each other, in the order in which people read a tree."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def nested(
    items: Sequence[Item], key: Callable[[Item], str], parent: Callable[[Item], str | None]
) -> Iterator[tuple[int, Item]]:
    """Yield items depth first with their depth, 0 for those without a parent among them; each item once.

    >>> list(nested(["a/b", "a", "c"], str, lambda path: path.rpartition("/")[0]))
    [(0, 'a'), (1, 'a/b'), (0, 'c')]
    """
    keys = {key(item) for item in items}
    children: dict[str | None, list[Item]] = {}
    for item in items:
        above = parent(item)
        children.setdefault(above if above in keys and above != key(item) else None, []).append(item)
    visited: set[str] = set()
    waiting = [(0, item) for item in reversed(children.get(None, []))]
    while waiting:
        depth, item = waiting.pop()
        if key(item) in visited:
            continue
        visited.add(key(item))
        yield depth, item
        waiting += [(depth + 1, child) for child in reversed(children.get(key(item), []))]
    # What is each other's ancestor hangs below nothing; it is shown at the top.
    yield from ((0, item) for item in items if key(item) not in visited)
