"""The history of one metric of one run page by page, each point once although the run may still be written to.

The server sorts by time, step and value, but not by "is NaN", which it stores as 0: points that are equal to it may
change places between two pages. A page therefore ends before the last group of such points, unless that leaves it too
short to go on. A server that sorts in another way is followed as its tokens lead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from mlflow_archive.errors import ServerError
from mlflow_archive.sources.rest.cells import Json
from mlflow_archive.sources.rest.paging import PageWalk, offset_of, page_token

Point = Mapping[str, Any]
_Order = tuple[int, int, float]


def point_pages(ask: Callable[[str | None], Json]) -> Iterator[list[Point]]:
    """Yield the pages of a history; ``ask`` is given the token of one.

    Raises ServerError where the server gives one again and again, and one of UNREADABLE_ROW for a malformed point.
    """
    pages = _Pages()
    while True:
        answer = ask(pages.token)
        points: list[Point] = answer.get("metrics", [])
        yield from pages.take(points, answer.get("next_page_token") or None)
        if pages.ended:
            return


class _Pages:
    """What has come of one history."""

    def __init__(self) -> None:
        self._walk = PageWalk()
        self._last: _Order | None = None
        self._at_last: set[bool] = set()
        """Of the points that are equal to the last one to the server: whether they are NaN."""
        self._sorted = True
        self._end: list[_Order] = []
        """The last point of the page before."""
        self._before: tuple[object, ...] = ()
        self.ended = False

    @property
    def token(self) -> str | None:
        """The token of the page to ask for."""
        return self._walk.token or page_token(self._walk.start)

    def take(self, points: list[Point], following: str | None) -> Iterator[list[Point]]:
        """Yield what is new in a page; nothing where it is to be asked for again, further back."""
        if self._last is None and not following:  # as nearly all
            self.ended = True
            yield points
            return
        orders = [_order(point) for point in points]
        if self._leads_elsewhere(orders, following):
            comes_again = bool(points) and orders[0] == self._last and not self._is_new(orders[0], points[0])
            yield self._follow(points[1:] if comes_again else points, following)
            return
        if self._last is not None and self._walk.looks_back(seen=bool(points) and orders[0] <= self._last):
            return
        size = len(points) if not following else _whole_groups(orders)
        whole = [(order, point) for order, point in zip(orders[:size], points, strict=False)]
        fresh = [point for order, point in whole if self._is_new(order, point)]
        yield fresh
        self._remember(whole)
        ids = [(order, _is_nan(point)) for order, point in zip(orders, points, strict=True)]
        try:
            self.ended = not self._walk.goes_on(ids, following, fresh=bool(fresh), held_back=len(points) - size)
        except ServerError:
            yield points[size:]
            raise

    def _leads_elsewhere(self, orders: list[_Order], following: str | None) -> bool:
        """Return whether the order of the server, or its tokens, are not MLflow's."""
        # Pages overlap by a point, but for those of one.
        in_order = [*self._end[: len(orders) == 1], *orders]
        self._sorted = self._sorted and all(one <= two for one, two in pairwise(in_order))
        self._end = orders[-1:]
        has_own_tokens = bool(following) and offset_of(following or "") is None
        return not self._sorted or self._walk.token is not None or has_own_tokens

    def _follow(self, points: list[Point], following: str | None) -> list[Point]:
        """Return a page of a server whose order or tokens are not MLflow's."""
        self._last = None  # tells nothing any more
        ids = tuple((_order(point), _is_nan(point)) for point in points)
        self.ended = not self._walk.goes_on(ids, following, fresh=ids != self._before, by_offset=False)
        self._before = ids
        return points

    def _is_new(self, order: _Order, point: Point) -> bool:
        last = self._last
        return last is None or order > last or (order == last and _is_nan(point) not in self._at_last)

    def _remember(self, whole: Sequence[tuple[_Order, Point]]) -> None:
        end = max((order for order, _ in whole), default=self._last)
        if end != self._last and (self._last is None or (end is not None and end > self._last)):
            self._last, self._at_last = end, set()
        self._at_last.update(_is_nan(point) for order, point in whole if order == self._last)


def _whole_groups(orders: Sequence[_Order]) -> int:
    """Return how many points lie before the last group of those that are equal; all where that is one or none."""
    before = sum(order != orders[-1] for order in orders)
    return before if before > 1 else len(orders)


def _order(point: Point) -> _Order:
    return int(point["timestamp"]), int(point.get("step", 0)), 0.0 if _is_nan(point) else float(point["value"])


def _is_nan(point: Point) -> bool:
    value = float(point["value"])
    return value != value  # noqa: PLR0124
