"""The experiments of a server page by page, and what all pages have in common.

MLflow pages by OFFSET, so a row that is inserted or hard-deleted meanwhile shifts everything after it: rows would be
repeated, or skipped without a word. Two things prevent that, here and in ``lists`` and ``runs.paging``. The order is
ascending and immutable, and each page starts with the last row already seen: if that row is not where it was, rows
before it have gone, and the walk looks further back.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any, Final

from mlflow_archive.errors import ServerError
from mlflow_archive.http.session import TrackingSession
from mlflow_archive.sources.rest.cells import Json

PAGE_EXPERIMENTS: Final = 1000


def page_token(offset: int) -> str | None:
    """Return the token with which MLflow goes on after ``offset`` rows."""
    return base64.b64encode(json.dumps({"offset": offset}).encode()).decode("ascii") if offset else None


def all_experiments(session: TrackingSession, *, deleted: bool) -> Iterator[Json]:
    """Yield each experiment once, in the order in which they were made; each has an ``experiment_id``."""
    seen_ids: set[str] = set()
    offset, back = 0, 0
    while True:
        start = max(0, offset - back)
        body = {
            "max_results": PAGE_EXPERIMENTS,
            "view_type": "ALL" if deleted else "ACTIVE_ONLY",
            "order_by": ["experiment_id ASC"],
            "page_token": page_token(start),
        }
        rows, has_more = search(session, "experiments", body)
        if any("experiment_id" not in row for row in rows):
            raise ServerError(f"{session.uri} lists an experiment without experiment_id; is it an MLflow server?")
        if start and not (rows and str(rows[0]["experiment_id"]) in seen_ids):
            back *= 2
            continue
        for row in rows:
            if str(row["experiment_id"]) not in seen_ids:
                seen_ids.add(str(row["experiment_id"]))
                yield row
        offset, back = start + len(rows), 1
        if not rows or not has_more:
            return


def search(session: TrackingSession, name: str, body: Json, *, careful: bool = False) -> tuple[list[Json], bool]:
    """Search for ``experiments`` or ``runs``; return the rows and whether more follow.

    Fields of ``body`` that are None are left out. ``careful`` says that a refusal is expected and is not waited for.
    Raises ServerError, also for an answer of another shape.
    """
    set_fields = {field: value for field, value in body.items() if value is not None}
    answer: Any = session.post(f"/api/2.0/mlflow/{name}/search", set_fields, refusals_are_final=careful)
    rows = answer.get(name, []) if isinstance(answer, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ServerError(f"{session.uri} answers a search of {name} in an unexpected shape; is it an MLflow server?")
    return rows, bool(answer.get("next_page_token"))
