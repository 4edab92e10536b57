"""The experiments of a server page by page, and what all pages have in common.

MLflow pages by OFFSET, so a row that is inserted or hard-deleted meanwhile shifts everything after it: rows would be
repeated, or skipped without a word. Two things prevent that, here and in ``lists`` and ``runs.paging``. The order is
ascending and immutable, and each page starts with the last row already seen: if that row is not where it was, rows
before it have gone, and the walk looks further back.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus
from typing import Any, Final

from mlflow_archive.errors import ServerError
from mlflow_archive.http.session import TrackingSession
from mlflow_archive.sources.rest.cells import Json

PAGE_EXPERIMENTS: Final = 1000


def page_token(offset: int) -> str | None:
    """Return the token with which MLflow goes on after ``offset`` rows."""
    return base64.b64encode(json.dumps({"offset": offset}).encode()).decode("ascii") if offset else None


def names_order(exc: ServerError) -> bool:
    """Return whether a server refuses a search because of its order: it takes none, or no list of columns."""
    return exc.status == HTTPStatus.BAD_REQUEST and "order_by" in str(exc)


def all_experiments(session: TrackingSession, *, deleted: bool) -> Iterator[Json]:
    """Yield each experiment once, in the order in which they were made; each has an ``experiment_id``.

    A server that refuses an order is followed from page to page as it likes.
    """
    view = "ALL" if deleted else "ACTIVE_ONLY"
    try:
        yield from _in_order(session, view)
    except ServerError as exc:
        if not names_order(exc):
            raise
        body = {"max_results": PAGE_EXPERIMENTS, "view_type": view}
        for rows in by_tokens(session, "experiments", body, lambda row: str(row.get("experiment_id"))):
            _check_ids(session, rows)
            yield from rows


def _in_order(session: TrackingSession, view: str) -> Iterator[Json]:
    seen_ids: set[str] = set()
    offset, back = 0, 0
    while True:
        start = max(0, offset - back)
        body = {
            "max_results": PAGE_EXPERIMENTS,
            "view_type": view,
            "order_by": ["experiment_id ASC"],
            "page_token": page_token(start),
        }
        rows, following = search(session, "experiments", body)
        _check_ids(session, rows)
        if start and not (rows and str(rows[0]["experiment_id"]) in seen_ids):
            back *= 2
            continue
        for row in rows:
            if str(row["experiment_id"]) not in seen_ids:
                seen_ids.add(str(row["experiment_id"]))
                yield row
        offset, back = start + len(rows), 1
        if not rows or not following:
            return


def _check_ids(session: TrackingSession, rows: Sequence[Json]) -> None:
    if any("experiment_id" not in row for row in rows):
        raise ServerError(f"{session.uri} lists an experiment without experiment_id; is it an MLflow server?")


def by_tokens(
    session: TrackingSession, name: str, body: Json, id_of: Callable[[Json], str], *, careful: bool = False
) -> Iterator[list[Json]]:
    """Yield the rows of a search page by page, each once, following the server's own tokens.

    Raises ServerError where a token leads to nothing new: what lies behind it cannot be had.
    """
    seen_ids: set[str] = set()
    token: str | None = None
    while True:
        rows, following = search(session, name, {**body, "page_token": token}, careful=careful)
        fresh = {id_of(row): row for row in rows if id_of(row) not in seen_ids}
        seen_ids.update(fresh)
        if fresh:
            yield list(fresh.values())
        if not following:
            return
        if not fresh:
            raise ServerError(f"{session.uri} gives the same {name} again for the page that should follow")
        token = following


def search(session: TrackingSession, name: str, body: Json, *, careful: bool = False) -> tuple[list[Json], str | None]:
    """Search for ``experiments`` or ``runs``; return the rows and the token of the page that follows, if one does.

    Fields of ``body`` that are None are left out. ``careful`` says that a refusal is expected and is not waited for.
    Raises ServerError, also for an answer of another shape.
    """
    set_fields = {field: value for field, value in body.items() if value is not None}
    answer: Any = session.post(f"/api/2.0/mlflow/{name}/search", set_fields, refusals_are_final=careful)
    rows = answer.get(name, []) if isinstance(answer, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ServerError(f"{session.uri} answers a search of {name} in an unexpected shape; is it an MLflow server?")
    return rows, answer.get("next_page_token") or None
