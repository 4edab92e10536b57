"""Pages over a server that is being written to.

MLflow pages by OFFSET, so a row that is inserted or hard-deleted meanwhile shifts everything after it: rows would be
repeated, or skipped without a word. Two things prevent that. The order is ascending and immutable, and each page
starts with the last row already seen: if that row is not where it was, rows before it have gone, and one looks
further back. Runs have a key to filter by as well, the start time, which keeps offsets small.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from mlflow_archive.errors import ServerError
from mlflow_archive.format import gaps
from mlflow_archive.format.tables import EXPERIMENT
from mlflow_archive.pipeline import Gap, Selection
from mlflow_archive.tracking.session import TrackingSession

Json = dict[str, Any]

PAGE_RUNS: Final = 100
PAGE_EXPERIMENTS: Final = 1000

_MOST_BAD_IN_A_ROW = 20
_BEYOND_ALL = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPage:
    """Runs as the server's JSON, and what could not be read where they were looked for."""

    runs: list[Json]
    gaps: list[Gap] = field(default_factory=list)


def page_token(offset: int) -> str | None:
    """Return the token with which MLflow goes on after ``offset`` rows."""
    return base64.b64encode(json.dumps({"offset": offset}).encode()).decode("ascii") if offset else None


def run_id_of(run: Json) -> str:
    """Return the id of a run in a search answer; servers before MLflow 0.9 call it run_uuid."""
    info = run["info"]
    return str(info.get("run_id") or info["run_uuid"])


def start_time_of(run: Json) -> int | None:
    """Return the start in milliseconds; int64 comes as a number or as text."""
    value = run["info"].get("start_time")
    return None if value is None else int(value)


def all_experiments(session: TrackingSession, *, deleted: bool) -> Iterator[Json]:
    """Yield each experiment once, in the order in which they were made."""
    seen: set[str] = set()
    offset, back = 0, 0
    while True:
        start = max(0, offset - back)
        body = {
            "max_results": PAGE_EXPERIMENTS,
            "view_type": "ALL" if deleted else "ACTIVE_ONLY",
            "order_by": ["experiment_id ASC"],
            "page_token": page_token(start),
        }
        answer = session.post("/api/2.0/mlflow/experiments/search", _without_none(body))
        rows: list[Json] = answer.get("experiments", [])
        if start and not (rows and str(rows[0]["experiment_id"]) in seen):
            back *= 2
            continue
        for row in rows:
            if str(row["experiment_id"]) not in seen:
                seen.add(str(row["experiment_id"]))
                yield row
        offset, back = start + len(rows), 1
        if not rows or not answer.get("next_page_token"):
            return


class RunPager:
    """All selected runs of some experiments, each once, in the order of their start.

    A page the server refuses is asked for again in smaller pieces, down to the single run that it cannot answer,
    which becomes a gap of its experiment: nobody can say its id.
    """

    def __init__(self, session: TrackingSession, selection: Selection, experiment_ids: Sequence[str]) -> None:
        self._session = session
        self._selection = selection
        self._ids = list(experiment_ids)
        self._anchor = selection.since_ms
        self._known: set[str] = set()
        self._totals: Counter[str] = Counter()

    def check(self) -> None:
        """Ask for one run, so that a filter the server refuses is known at once; raise its ServerError."""
        self._search(self._anchor, 0, 1)

    def pages(self) -> Iterator[RunPage]:
        """Yield pages with at least one run or gap."""
        position = _Position()
        while True:
            try:
                rows, more = self._search(self._anchor, position.start, position.size)
            except ServerError as exc:
                if not _refuses_page(exc):
                    raise
                if len(self._ids) > 1:
                    yield from self._one_by_one()
                    return
                if not position.narrow():
                    yield RunPage(runs=[], gaps=[self._unreadable(exc, position)])
                    if position.bad_in_a_row >= _MOST_BAD_IN_A_ROW:
                        self._search(None, _BEYOND_ALL, 1)  # raises where the server answers nothing at all
                        return
                continue
            if position.back and position.start and not (rows and run_id_of(rows[0]) in self._known):
                position.look_further_back()
                continue
            fresh = [row for row in rows if run_id_of(row) not in self._known]
            self._totals.update(str(row["info"]["experiment_id"]) for row in fresh)
            if fresh:
                yield RunPage(runs=fresh)
            self._move_on(position, rows, fresh)
            if not more:
                break
        yield from self._without_start()

    def _move_on(self, position: _Position, rows: list[Json], fresh: list[Json]) -> None:
        """Make the last start time the new anchor, so that offsets count only runs that share it."""
        last = start_time_of(rows[-1]) if rows else None
        # A bad run may share the start time of the first good one after it; an anchor there would meet it again.
        meets_bad = position.after_bad and bool(fresh) and start_time_of(fresh[0]) == last
        if last is not None and (self._anchor is None or last > self._anchor) and not meets_bad:
            self._anchor = last
            self._known = {run_id_of(row) for row in rows if start_time_of(row) == last}
            position.restart(len(self._known), len(fresh))
        else:
            self._known.update(run_id_of(row) for row in fresh)
            position.advance(len(rows), len(fresh))

    def _one_by_one(self) -> Iterator[RunPage]:
        for pager in self._singly():
            yield from pager.pages()

    def _singly(self) -> Iterator[RunPager]:
        for experiment_id in self._ids:
            pager = RunPager(self._session, self._selection, [experiment_id])
            pager._anchor = self._anchor
            pager._known = set(self._known)
            pager._totals = Counter({experiment_id: self._totals[experiment_id]})
            yield pager

    def _without_start(self) -> Iterator[RunPage]:
        """Look behind the last run for runs without a start time, which no filter on it finds."""
        if self._anchor is None or not (self._selection.since_ms is None and self._selection.until_ms is None):
            return
        total, back = self._totals.total(), 1
        while True:
            start = max(0, total - back)
            try:
                rows, more = self._search(None, start, PAGE_RUNS)
            except ServerError as exc:
                if not _refuses_page(exc):
                    raise
                if len(self._ids) > 1:
                    for pager in self._singly():
                        yield from pager._without_start()
                else:
                    yield RunPage(runs=[], gaps=[self._lost(f"runs without a start time: {exc}")])
                return
            if start and back and not (rows and (run_id_of(rows[0]) in self._known)):
                back *= 2
                continue
            if late := [row for row in rows if start_time_of(row) is None and run_id_of(row) not in self._known]:
                self._known.update(run_id_of(row) for row in late)
                yield RunPage(runs=late)
            if not more or not rows:
                return
            total, back = start + len(rows), 0

    def _search(self, since_ms: int | None, offset: int, size: int) -> tuple[list[Json], bool]:
        until_ms = self._selection.until_ms
        conditions = [
            self._selection.filter_string,
            None if since_ms is None else f"attributes.start_time >= {since_ms}",
            None if until_ms is None else f"attributes.start_time < {until_ms}",
        ]
        body = {
            "experiment_ids": self._ids,
            "filter": " AND ".join(condition for condition in conditions if condition),
            "run_view_type": "ALL" if self._selection.deleted else "ACTIVE_ONLY",
            "max_results": size,
            "order_by": ["attributes.start_time ASC"],
            "page_token": page_token(offset),
        }
        answer = self._session.post("/api/2.0/mlflow/runs/search", _without_none(body))
        return answer.get("runs", []), bool(answer.get("next_page_token"))

    def _unreadable(self, exc: ServerError, position: _Position) -> Gap:
        self._totals[self._ids[0]] += 1
        after = "from the beginning" if self._anchor is None else f"from start time {self._anchor} ms"
        place = f"run number {position.skip_bad()} {after}"
        if position.bad_in_a_row >= _MOST_BAD_IN_A_ROW:
            place += " and all runs after it"
        return self._lost(f"{place}: {exc}", path=place)

    def _lost(self, reason: str, path: str = "runs") -> Gap:
        return Gap(owner_kind=EXPERIMENT, owner_id=self._ids[0], path=path, code=gaps.RUN_UNREADABLE, reason=reason)


@dataclass(slots=True)
class _Position:
    """Where the next page starts, counted in rows from the anchor, and how large it is.

    ``back`` known rows are asked for again, to see that they are where they were. ``narrow_left`` rows are still to
    be read in small pages, as a large one with them in it was refused.
    """

    consumed: int = 0
    back: int = 0
    size: int = PAGE_RUNS
    narrow_left: int = 0
    bad_in_a_row: int = 0
    after_bad: bool = False

    @property
    def start(self) -> int:
        return max(0, self.consumed - self.back)

    def look_further_back(self) -> None:
        self.back *= 2

    def narrow(self) -> bool:
        """Ask for fewer runs; say whether that was possible."""
        if self.size == 1 and self.back == 0:
            return False
        self.narrow_left = self.narrow_left or self.size
        self.size = max(1, self.size // 4)
        if self.size == 1:
            self.back = 0  # a single row must be a new one
        return True

    def skip_bad(self) -> int:
        """Step over the one row that cannot be read and return its number."""
        self.consumed += 1
        self.bad_in_a_row += 1
        self.after_bad = True
        self.size, self.narrow_left = PAGE_RUNS, 0
        return self.consumed

    def restart(self, known: int, fresh: int) -> None:
        """Count from a new anchor, at or after which ``known`` rows are known."""
        self.consumed, self.after_bad = known, False
        self._settle(fresh)

    def advance(self, rows: int, fresh: int) -> None:
        """Go on from the same anchor after a page of ``rows``."""
        self.consumed = self.start + rows
        self._settle(fresh)

    def _settle(self, fresh: int) -> None:
        self.bad_in_a_row = 0
        self.narrow_left = max(0, self.narrow_left - fresh)
        if not self.narrow_left:
            self.size = PAGE_RUNS
        self.back = 0 if self.after_bad or self.size == 1 else 1


def _refuses_page(exc: ServerError) -> bool:
    """Say whether fewer runs at a time may help: the server answered, but could not."""
    return exc.status is not None and exc.status >= 500


def _without_none(body: Json) -> Json:
    return {name: value for name, value in body.items() if value is not None}
