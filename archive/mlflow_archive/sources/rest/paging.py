"""Pages over a server that is being written to, and around what it cannot answer.

MLflow pages by OFFSET, so a row that is inserted or hard-deleted meanwhile shifts everything after it: rows would be
repeated, or skipped without a word. Two things prevent that. The order is ascending and immutable, and each page
starts with the last row already seen: if that row is not where it was, rows before it have gone, and one looks
further back. Runs have a key to filter by as well, the start time, which keeps offsets small.

One run that the server cannot convert makes it refuse every page that holds it, and also the page just before, as
MLflow reads one row ahead. A refused page is therefore not approached row by row, but cut: into spans of start times
down to one millisecond, then by the first digits of run ids, until the bad run is alone and all others have come.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any, Final

from mlflow_archive.errors import ServerError
from mlflow_archive.format import gaps
from mlflow_archive.format.tables import EXPERIMENT
from mlflow_archive.pipeline import Gap, Selection
from mlflow_archive.tracking.session import TrackingSession

Json = dict[str, Any]

PAGE_RUNS: Final = 100
PAGE_EXPERIMENTS: Final = 1000

_BEYOND_ALL = 10**9
_ID_DIGITS = "0123456789abcdef"
_ENOUGH_DIGITS = 8
"""Ids are random: two of one experiment that start in one millisecond and share so many digits do not happen."""
_DISTANT_MS = 1 << 42
"""Start times are cut between 0 and this, in the year 2109; what lies outside is cut by run ids only."""


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
    """Return the start in milliseconds, None where it is missing or malformed; int64 may come as text."""
    try:
        return int(run["info"]["start_time"])
    except (KeyError, TypeError, ValueError):
        return None


def all_experiments(session: TrackingSession, *, deleted: bool) -> Iterator[Json]:
    """Yield each experiment once, in the order in which they were made; each has an ``experiment_id``."""
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
        rows, more = _rows(session, answer, "experiments")
        if any("experiment_id" not in row for row in rows):
            raise ServerError(f"{session.uri} lists an experiment without experiment_id; is it an MLflow server?")
        if start and not (rows and str(rows[0]["experiment_id"]) in seen):
            back *= 2
            continue
        for row in rows:
            if str(row["experiment_id"]) not in seen:
                seen.add(str(row["experiment_id"]))
                yield row
        offset, back = start + len(rows), 1
        if not rows or not more:
            return


@dataclass(frozen=True, slots=True, kw_only=True)
class _Span:
    """Which runs: ``since_ms`` is inclusive, ``until_ms`` exclusive, ``prefix`` what their ids begin with."""

    since_ms: int | None = None
    until_ms: int | None = None
    prefix: str = ""

    def halves(self) -> tuple[_Span, ...]:
        """Cut the span of start times in two or three; empty where it cannot be cut."""
        since, until = self.since_ms, self.until_ms
        if since is None:
            return (replace(self, until_ms=0), replace(self, since_ms=0)) if until is None or until > 0 else ()
        if until is None:
            cut = _DISTANT_MS
            return (replace(self, until_ms=cut), replace(self, since_ms=cut)) if since < cut else ()
        middle = (since + until) // 2
        return (replace(self, until_ms=middle), replace(self, since_ms=middle)) if since < middle < until else ()

    def by_digit(self) -> tuple[_Span, ...]:
        """Cut by the next digit of run ids; empty where so many digits mean one run."""
        if len(self.prefix) == _ENOUGH_DIGITS:
            return ()
        return tuple(replace(self, prefix=self.prefix + digit) for digit in _ID_DIGITS)

    def conditions(self) -> list[str]:
        """Return it in MLflow's search syntax."""
        return [
            *([] if self.since_ms is None else [f"attributes.start_time >= {self.since_ms}"]),
            *([] if self.until_ms is None else [f"attributes.start_time < {self.until_ms}"]),
            *([f"attributes.run_id LIKE '{self.prefix}%'"] if self.prefix else []),
        ]

    def when(self) -> str:
        """Say where in time it is."""
        since, until = self.since_ms, self.until_ms
        if since is not None and until == since + 1:
            return f"with start time {since} ms"
        if since is None:
            return "without start time" if until is None else f"with a start time before {until} ms"
        return f"with a start time from {since} ms"


class RunPager:
    """All selected runs of some experiments, each once, in the order of their start.

    A run that the server cannot answer becomes a gap of its experiment that tells its start and how its id begins.
    """

    def __init__(self, session: TrackingSession, selection: Selection, experiment_ids: Sequence[str]) -> None:
        self._session = session
        self._selection = selection
        self._ids = list(experiment_ids)
        self._span = _Span(since_ms=selection.since_ms, until_ms=selection.until_ms)
        self._count = 0
        self._last: set[str] = set()
        self._saw_all = False
        self._lost: set[str] = set()

    def check(self) -> None:
        """Ask for one run, so that a filter the server refuses is known at once; raise its ServerError."""
        self._search(self._span, 0, 1)

    def pages(self) -> Iterator[RunPage]:
        """Yield pages with at least one run or gap."""
        yield from self._follow(self._ids, self._span, set())
        if self._span == _Span() and not self._saw_all:
            yield from self._without_start(self._ids)

    def _follow(self, ids: list[str], span: _Span, known: set[str], *, careful: bool = False) -> Iterator[RunPage]:
        """Yield the runs of a span by their start; ``known`` are those at its very beginning seen already.

        ``careful`` says that it is cut from a refused one: a refusal is then expected and not waited for.
        """
        offset, back = 0, 0
        while True:
            start = max(0, offset - back)
            try:
                rows, more = self._search(span, start, PAGE_RUNS, ids=ids, careful=careful)
            except ServerError as exc:
                if not _refuses_page(exc):
                    raise
                yield from self._cut(ids, span, known, careful=careful)
                return
            if back and start and not (rows and run_id_of(rows[0]) in known):
                back *= 2
                continue
            fresh = [row for row in rows if run_id_of(row) not in known]
            self._count += len(fresh)
            self._saw_all = self._saw_all or (span == _Span() and ids == self._ids and not more)
            if fresh:
                yield RunPage(runs=fresh)
            last = start_time_of(rows[-1]) if rows else None
            if last is not None and (span.since_ms is None or last > span.since_ms):
                # From now on offsets count only runs that start when the last one did.
                span = replace(span, since_ms=last)
                known = {run_id_of(row) for row in rows if start_time_of(row) == last}
                offset = len(known)
            else:
                known = known | {run_id_of(row) for row in fresh}
                offset = start + len(rows)
            if not more:
                self._last |= known
                return
            back = 1

    def _cut(self, ids: list[str], span: _Span, known: set[str], *, careful: bool) -> Iterator[RunPage]:
        """Yield the runs of a span the server refuses to answer as a whole."""
        if not careful:
            self._search(span, _BEYOND_ALL, 1, ids=ids)  # raises where the server answers nothing at all
        if len(ids) > 1:
            for experiment_id in ids:
                yield from self._follow([experiment_id], span, known, careful=True)
        elif halves := span.halves():
            for half in halves:
                yield from self._follow(ids, half, known, careful=True)
        else:
            yield from self._by_id(ids[0], span, known)

    def _by_id(
        self, experiment_id: str, span: _Span, known: set[str], *, only_without_start: bool = False
    ) -> Generator[RunPage, None, bool]:
        """Yield the runs of a span of one experiment, where refused by the digits of their ids; return whether it was.

        Where no part of a refused span is refused, the span itself becomes the gap.
        """
        lost: list[Gap] = []
        try:
            rows = self._all_of(experiment_id, span, careful=True)
            refused = False
        except ServerError as exc:
            if span.prefix and exc.status == HTTPStatus.BAD_REQUEST:
                return False  # no search by id there
            if not _refuses_page(exc):
                raise
            refused, some = True, False
            for part in span.by_digit():
                inner = yield from self._by_id(experiment_id, part, known, only_without_start=only_without_start)
                some = some or inner
            rows, lost = ([], []) if some else self._alone(experiment_id, span, exc)
        yield from self._page_of(rows, known, lost, only_without_start=only_without_start)
        return refused

    def _page_of(
        self, rows: list[Json], known: set[str], lost: Sequence[Gap] = (), *, only_without_start: bool
    ) -> Iterator[RunPage]:
        fresh = [row for row in rows if run_id_of(row) not in known]
        if only_without_start:
            fresh = [row for row in fresh if start_time_of(row) is None]
        self._count += len(fresh) + len(lost)
        if fresh or lost:
            yield RunPage(runs=fresh, gaps=list(lost))

    def _all_of(self, experiment_id: str, span: _Span, *, careful: bool) -> list[Json]:
        """Return the runs of a small span; raise the server's refusal."""
        found: dict[str, Json] = {}
        offset, back = 0, 0
        while True:
            start = max(0, offset - back)
            rows, more = self._search(span, start, PAGE_RUNS, ids=[experiment_id], careful=careful)
            if start and not (rows and run_id_of(rows[0]) in found):
                back *= 2
                continue
            found.update((run_id_of(row), row) for row in rows)
            if not more:
                return list(found.values())
            offset, back = start + len(rows), 1

    def _alone(self, experiment_id: str, span: _Span, exc: ServerError) -> tuple[list[Json], list[Gap]]:
        """Return what a refused span holds that cannot be cut further: the runs after all, or the gap."""
        self._search(span, _BEYOND_ALL, 1, ids=[experiment_id])  # raises where the server answers nothing at all
        if span.prefix in self._lost:
            return [], []
        try:
            return self._all_of(experiment_id, span, careful=False), []  # the refusal has passed
        except ServerError as again:
            if not _refuses_page(again):
                raise
            exc = again
        self._lost.add(span.prefix or "all")
        which = f"the run whose id begins with {span.prefix}" if span.prefix else "runs, some perhaps readable,"
        place = f"{which} {span.when()}"
        reason = f"the server cannot answer {place}: {exc}"
        code = gaps.RUN_UNREADABLE
        return [], [Gap(owner_kind=EXPERIMENT, owner_id=experiment_id, path=place, code=code, reason=reason)]

    def _without_start(self, ids: list[str]) -> Iterator[RunPage]:
        """Look behind the last run for runs without a start time, which no filter on it finds."""
        total, back = self._count, 1
        known = set(self._last)
        while True:
            start = max(0, total - back)
            try:
                rows, more = self._search(_Span(), start, PAGE_RUNS, ids=ids)
            except ServerError as exc:
                if not _refuses_page(exc):
                    raise
                for experiment_id in ids:
                    yield from self._by_id(experiment_id, _Span(), known, only_without_start=True)
                return
            if start and back and not (rows and run_id_of(rows[0]) in known):
                back *= 2
                continue
            if late := [row for row in rows if start_time_of(row) is None and run_id_of(row) not in known]:
                known.update(run_id_of(row) for row in late)
                yield RunPage(runs=late)
            if not more or not rows:
                return
            total, back = start + len(rows), 0

    def _search(
        self, span: _Span, offset: int, size: int, *, ids: list[str] | None = None, careful: bool = False
    ) -> tuple[list[Json], bool]:
        conditions = [self._selection.filter_string, *span.conditions()]
        body = {
            "experiment_ids": self._ids if ids is None else ids,
            "filter": " AND ".join(condition for condition in conditions if condition),
            "run_view_type": "ALL" if self._selection.deleted else "ACTIVE_ONLY",
            "max_results": size,
            "order_by": ["attributes.start_time ASC"],
            "page_token": page_token(offset),
        }
        path = "/api/2.0/mlflow/runs/search"
        answer = self._session.post(path, _without_none(body), refusals_are_final=careful)
        rows, more = _rows(self._session, answer, "runs")
        for row in rows:
            info = row.get("info")
            if not isinstance(info, dict) or not (info.get("run_id") or info.get("run_uuid")):
                raise ServerError(f"{self._session.uri} lists a run without run_id; is it an MLflow server?")
        return rows, more


def _rows(session: TrackingSession, answer: Any, name: str) -> tuple[list[Json], bool]:
    """Return the rows of a search answer and whether more follow; raise ServerError for another shape."""
    rows = answer.get(name, []) if isinstance(answer, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ServerError(f"{session.uri} answers a search of {name} in an unexpected shape; is it an MLflow server?")
    return rows, bool(answer.get("next_page_token"))


def _refuses_page(exc: ServerError) -> bool:
    """Say whether fewer runs at a time may help: the server answered, but could not."""
    return exc.status is not None and exc.status >= 500


def _without_none(body: Json) -> Json:
    return {name: value for name, value in body.items() if value is not None}
