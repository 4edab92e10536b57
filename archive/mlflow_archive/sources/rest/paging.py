"""The experiments of a server page by page, and what all pages have in common.

MLflow pages by OFFSET, so a row that is inserted or hard-deleted meanwhile shifts everything after it: rows would be
repeated, or skipped without a word. Two things prevent that, here and in ``lists``, ``runs.paging`` and
``runs.point_pages``. The order is ascending and immutable, and each page starts with the last row already seen: if that
row is not where it was, rows before it have gone, and the walk looks further back (``PageWalk``).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus
from typing import Any, Final

from mlflow_archive.errors import ServerError
from mlflow_archive.kinds import EXPERIMENT, RUN
from mlflow_archive.sources.rest.answers import NEXT, Asker, note_unread
from mlflow_archive.sources.rest.cells import Json

PAGE_EXPERIMENTS: Final = 1000

_KINDS: Final = {"experiments": EXPERIMENT, "runs": RUN}


def page_token(offset: int) -> str | None:
    """Return the token with which MLflow goes on after ``offset`` rows."""
    return base64.b64encode(json.dumps({"offset": offset}).encode()).decode("ascii") if offset else None


def offset_of(token: str) -> int | None:
    """Return the offset in a page token, None where it is not of MLflow's own making."""
    try:
        return int(json.loads(base64.b64decode(token))["offset"])
    except (ValueError, TypeError, KeyError):
        return None


class PageWalk:
    """Where the next page of a list begins.

    By offset it is the last row already seen, and further back where that is not there any more. The server's token
    says how many rows lie before it, of which this user may see fewer. A token of another form is followed as it is.
    """

    def __init__(self, offset: int = 0, back: int = 0) -> None:
        self._offset, self._back = offset, back
        self._stale: set[tuple[object, ...]] = set()
        self._tokens: set[str] = set()
        self.token: str | None = None
        """The server's own token for the page to ask for, where it is to be followed as it is."""

    @property
    def start(self) -> int:
        """How many rows lie before the page to ask for."""
        return max(0, self._offset - self._back)

    def looks_back(self, *, seen: bool) -> bool:
        """Return whether to ask again, further back: ``seen`` says that the page begins with a row already seen."""
        if seen or self.token is not None or not (self._back and self.start):
            return False
        self._back *= 2
        return True

    def goes_on(
        self, ids: Sequence[object], following: str | None, *, fresh: bool, held_back: int = 0, by_offset: bool = True
    ) -> bool:
        """Go on behind a page, or return False where it is the last one.

        ``ids`` are its rows, ``fresh`` says that some came for the first time; so many as are ``held_back`` at its end
        are to come once more. Raises ServerError where the server gives the same page again and again.
        """
        offset = offset_of(following) if following and by_offset else None
        if not following or (offset is not None and not ids):
            return False
        if offset is None:
            self._check_moved(following, self._tokens)
            if ids and not fresh:
                self._check_moved(tuple(ids), self._stale)
            self.token = following
            return True
        start, self.token = self.start, None
        if not fresh and not self._back:
            self._check_moved(tuple(ids), self._stale)
        self._offset = (offset if offset > start else start + len(ids)) - held_back
        self._back = int(fresh)
        return True

    def skip(self, rows: int) -> None:
        """Go on behind so many rows from the start of a page, of which not all could be read."""
        self._offset, self._back = self.start + rows, 0

    def _check_moved(self, place: Any, places: set[Any]) -> None:
        if place in places:
            message = "the server gives the same page again for the one that should follow"
            raise ServerError(message, status=HTTPStatus.OK)
        places.add(place)


def names_order(exc: ServerError) -> bool:
    """Return whether a server refuses a search because of its order: it takes none, or no list of columns."""
    return exc.status == HTTPStatus.BAD_REQUEST and "order_by" in str(exc)


def all_experiments(asker: Asker, *, deleted: bool) -> Iterator[Json]:
    """Yield each experiment once, in the order in which they were made; each has an ``experiment_id``.

    A server that refuses an order is followed from page to page as it likes.
    """
    view = "ALL" if deleted else "ACTIVE_ONLY"
    try:
        yield from _in_order(asker, view)
    except ServerError as exc:
        if not names_order(exc):
            raise
        body = {"max_results": PAGE_EXPERIMENTS, "view_type": view}
        for rows in by_tokens(asker, "experiments", body, lambda row: str(row.get("experiment_id"))):
            _check_ids(asker, rows)
            yield from rows


def _in_order(asker: Asker, view: str) -> Iterator[Json]:
    seen_ids: set[str] = set()
    walk = PageWalk()
    body = {"max_results": PAGE_EXPERIMENTS, "view_type": view, "order_by": ["experiment_id ASC"]}
    while True:
        rows, following = search(asker, "experiments", {**body, "page_token": walk.token or page_token(walk.start)})
        _check_ids(asker, rows)
        ids = [str(row["experiment_id"]) for row in rows]
        if walk.looks_back(seen=bool(ids) and ids[0] in seen_ids):
            continue
        fresh = {str(row["experiment_id"]): row for row in rows if str(row["experiment_id"]) not in seen_ids}
        seen_ids.update(fresh)
        yield from fresh.values()
        if not walk.goes_on(ids, following, fresh=bool(fresh)):
            return


def _check_ids(asker: Asker, rows: Sequence[Json]) -> None:
    if any("experiment_id" not in row for row in rows):
        raise ServerError(f"{asker.session.uri} lists an experiment without experiment_id; is it an MLflow server?")


def by_tokens(
    asker: Asker, name: str, body: Json, id_of: Callable[[Json], str], *, careful: bool = False
) -> Iterator[list[Json]]:
    """Yield the rows of a search page by page, each once, following the server's own tokens.

    Raises ServerError where a token leads to nothing new: what lies behind it cannot be had.
    """
    seen_ids: set[str] = set()
    tokens: set[str | None] = {None}
    token: str | None = None
    while True:
        rows, following = search(asker, name, {**body, "page_token": token}, careful=careful)
        fresh = {id_of(row): row for row in rows if id_of(row) not in seen_ids}
        seen_ids.update(fresh)
        if fresh:
            yield list(fresh.values())
        if not following:
            return
        if following in tokens or (rows and not fresh):
            raise ServerError(f"{asker.session.uri} gives the same {name} again for the page that should follow")
        tokens.add(following)
        token = following


def search(asker: Asker, name: str, body: Json, *, careful: bool = False) -> tuple[list[Json], str | None]:
    """Search for ``experiments`` or ``runs``; return the rows and the token of the page that follows, if one does.

    Fields of ``body`` that are None are left out. ``careful`` says that a refusal is expected and is not waited for.
    Raises ServerError, also for an answer of another shape.
    """
    set_fields = {field: value for field, value in body.items() if value is not None}
    path = f"/api/2.0/mlflow/{name}/search"
    answer: Any = asker.session.post(path, set_fields, refusals_are_final=careful)
    rows = answer.get(name, []) if isinstance(answer, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        uri = asker.session.uri
        raise ServerError(f"{uri} answers a search of {name} in an unexpected shape; is it an MLflow server?")
    note_unread(asker, _KINDS[name], path, answer, name, NEXT)
    return rows, answer.get(NEXT) or None
