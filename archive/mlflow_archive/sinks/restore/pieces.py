"""Histories in several pieces: in a very long one the order is that of the source, and so may be two equal points."""

from __future__ import annotations

from typing import Any, Final

import pyarrow as pa

_ORDER: Final = ("run_uuid", "key", "step", "timestamp")


class Pieces:
    """Tells which pieces of a history may hold points of an earlier one; for the pieces of one thread."""

    def __init__(self) -> None:
        self._last: tuple[Any, ...] | None = None

    def overlaps(self, points: pa.Table | None, *, complete: bool) -> bool:
        """Say it of points as the database holds them, sorted; with ``complete`` the next are of another history."""
        found = False
        if points is not None and points.num_rows:
            first, last = (tuple(points[name][at].as_py() for name in _ORDER) for at in (0, points.num_rows - 1))
            found = self._last is not None and first <= self._last
            self._last = last if self._last is None else max(self._last, last)
        if complete:
            self._last = None
        return found
