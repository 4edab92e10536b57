"""The runs of a server page by page, although it is being written to, and around what it cannot answer.

As ``rest.paging`` says, pages are in an ascending immutable order and start with the last row already seen. Runs have
a key to filter by as well, the start time, which keeps offsets small.

One run that the server cannot convert makes it refuse every page that holds it, and also the page just before, as
MLflow reads one row ahead. A refused page is therefore not approached row by row, but cut: into spans of start times
down to one millisecond, then by the first digits of run ids, until the bad run is alone and all others have come.

Some servers that speak this API take a list of experiments and search in the first. Where no answer has shown runs of
two experiments, each that none was shown of is asked for again, alone, with one request for one run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Final

from mlflow_archive.errors import ServerError
from mlflow_archive.flow.chunk import Gap
from mlflow_archive.format.gaps import RUN_UNREADABLE
from mlflow_archive.kinds import EXPERIMENT
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.rest.answers import Asker
from mlflow_archive.sources.rest.cells import Json
from mlflow_archive.sources.rest.lookups import run_id_of, start_time_of
from mlflow_archive.sources.rest.paging import PageWalk, by_tokens, names_order, page_token, search
from mlflow_archive.sources.rest.scope import gap_of

PAGE_RUNS: Final = 100

_BEYOND_ALL = 10**9
_ID_DIGITS = "0123456789abcdef"
_SHOWN_DIGITS = 8
"""How many digits of an id a gap shows at least; with the start time they mean one run. Each costs some requests."""
_LONGEST_ID = 32
_EARLIEST_MS = -(1 << 62)
_DISTANT_MS = 1 << 42
"""Start times are cut between 0 and this, in the year 2109; what lies outside is cut by run ids only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPage:
    """Runs as the server's JSON, and what could not be read where they were looked for."""

    runs: list[Json]
    gaps: list[Gap] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Span:
    """Which runs: ``since_ms`` is inclusive, ``until_ms`` exclusive, ``prefix`` what their ids begin with."""

    since_ms: int | None = None
    until_ms: int | None = None
    prefix: str = ""

    def can_begin(self, start_ms: int) -> bool:
        """Return whether a span that begins at a start time is a smaller one."""
        return self.since_ms is None or start_ms > self.since_ms

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
        """Cut by the next digit of run ids; empty behind the last one."""
        if len(self.prefix) == _LONGEST_ID:
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
        """Return where in time it is, as words of a message."""
        since, until = self.since_ms, self.until_ms
        if since is not None and until == since + 1:
            return f"with start time {since} ms"
        if since is None:
            return "without start time" if until is None else f"with a start time before {until} ms"
        return f"with a start time from {since} ms"


class RunPager:
    """All selected runs of some experiments, each once, in the order of their start.

    A run that the server cannot answer becomes a gap of its experiment that names its start and how its id begins.
    """

    def __init__(self, asker: Asker, selection: Selection, experiment_ids: Sequence[str]) -> None:
        self._asker = asker
        self._selection = selection
        self._ids = list(experiment_ids)
        self._span = _Span(since_ms=selection.since_ms, until_ms=selection.until_ms)
        self._counts: Counter[str] = Counter()
        self._last: set[str] = set()
        self._saw_all = False

    def check(self) -> None:
        """Ask for one run, so that a filter the server refuses is known at once; raise its ServerError."""
        try:
            self._search(self._span, PageWalk(), 1)
        except ServerError as exc:
            if not names_order(exc):
                raise
            search(self._asker, "runs", self._body(self._span, 1, self._ids))

    def pages(self) -> Iterator[RunPage]:
        """Yield pages with at least one run or gap."""
        try:
            yield from self._in_order()
        except ServerError as exc:
            if not names_order(exc):
                raise
            body = self._body(self._span, PAGE_RUNS, self._ids)
            for rows in by_tokens(self._asker, "runs", body, run_id_of):
                self._count(rows)
                yield RunPage(runs=rows)

    def unanswered(self) -> list[str]:
        """Return, when all pages have come, the experiments of which none shows a run."""
        return [experiment_id for experiment_id in self._ids if not self._counts[experiment_id]]

    def answered_for_several(self) -> bool:
        """Return whether the pages show runs of more than one experiment."""
        return len(+self._counts) > 1

    def holds_run(self, experiment_id: str) -> bool:
        """Return whether the server shows a run, or refuses one, of an experiment that is asked for alone."""
        body = self._body(self._span, 1, [experiment_id])
        try:
            return bool(search(self._asker, "runs", body, careful=True)[0])
        except ServerError as exc:
            if not _refuses_page(exc):
                raise
            return True

    def _in_order(self) -> Iterator[RunPage]:
        yield from self._follow(self._ids, self._span, set())
        if self._span == _Span() and not self._saw_all:
            yield from self._without_start(self._ids)

    def _follow(self, ids: list[str], span: _Span, known: set[str], *, careful: bool = False) -> Iterator[RunPage]:
        """Yield the runs of a span by their start; ``known`` are those at its very beginning that came already.

        ``careful`` says that the span is cut from a refused one: a refusal is then expected and is not waited for.
        """
        walk = PageWalk()
        while True:
            try:
                rows, following = self._search(span, walk, PAGE_RUNS, ids=ids, careful=careful)
            except ServerError as exc:
                if not _refuses_page(exc):
                    raise
                yield from self._cut(ids, span, known, exc, careful=careful)
                return
            run_ids = list(map(run_id_of, rows))
            if walk.looks_back(seen=bool(rows) and run_ids[0] in known):
                continue
            fresh = [row for row in rows if run_id_of(row) not in known]
            self._count(fresh)
            self._saw_all |= span == _Span() and ids == self._ids and not following
            if fresh:
                yield RunPage(runs=fresh)
            last = start_time_of(rows[-1]) if rows else None
            goes_on = walk.goes_on(run_ids, following, fresh=bool(fresh))
            if last is not None and walk.token is None and span.can_begin(last):
                # From now on offsets count only runs that start when the last one did.
                span = replace(span, since_ms=last)
                known = {run_id_of(row) for row in rows if start_time_of(row) == last}
                walk = PageWalk(len(known), back=1)
            else:
                known = known | {run_id_of(row) for row in fresh}
            if not goes_on:
                self._last |= known
                return

    def _cut(
        self, ids: list[str], span: _Span, known: set[str], exc: ServerError, *, careful: bool
    ) -> Iterator[RunPage]:
        """Yield the runs of a span the server refuses to answer as a whole."""
        if not careful:
            self._search(span, PageWalk(_BEYOND_ALL), 1, ids=ids)  # raises where the server answers nothing at all
        if len(ids) > 1:
            for experiment_id in ids:
                yield from self._follow([experiment_id], span, known, careful=True)
        elif halves := span.halves():
            for half in halves:
                yield from self._follow(ids, half, known, careful=True)
        else:
            yield from self._scan(ids[0], span, known, exc)

    def _scan(
        self, experiment_id: str, span: _Span, known: set[str], exc: ServerError, *, only_without_start: bool = False
    ) -> Iterator[RunPage]:
        """Yield the runs of a refused span of one experiment by the digits of their ids."""
        try:
            count = yield from self._by_digits(experiment_id, span, known, only_without_start=only_without_start)
        except ServerError as again:
            if again.status != HTTPStatus.BAD_REQUEST:
                raise
            count = 0  # no search by id there
        if self._holds_more(experiment_id, span, count):
            # Ids that are not of MLflow's making, or of runs made just now: a gap too many is better than a lost run.
            place = f"runs, some perhaps readable, {span.when()}"
            yield RunPage(runs=[], gaps=[_gap(experiment_id, place, exc)])

    def _by_digits(
        self, experiment_id: str, span: _Span, known: set[str], *, only_without_start: bool
    ) -> Generator[RunPage, None, int]:
        """Yield the runs of a refused span and return how many there are, those left out included."""
        if not self._holds_more(experiment_id, span, 1):
            yield from self._alone(experiment_id, span, known, only_without_start=only_without_start)
            return 1
        count = 0
        for part in span.by_digit():
            try:
                rows = self._all_of(experiment_id, part)
            except ServerError as again:
                if not _refuses_page(again):
                    raise
                count += yield from self._by_digits(experiment_id, part, known, only_without_start=only_without_start)
            else:
                count += len(rows)
                yield from self._page_of(rows, known, only_without_start=only_without_start)
        return count

    def _page_of(self, rows: list[Json], known: set[str], *, only_without_start: bool) -> Iterator[RunPage]:
        fresh = [row for row in rows if run_id_of(row) not in known]
        if only_without_start:
            fresh = [row for row in fresh if start_time_of(row) is None]
        if fresh:
            self._count(fresh)
            yield RunPage(runs=fresh)

    def _all_of(self, experiment_id: str, span: _Span) -> list[Json]:
        """Return the runs of a small span; raise the server's refusal."""
        runs: dict[str, Json] = {}
        walk = PageWalk()
        while True:
            rows, following = self._search(span, walk, PAGE_RUNS, ids=[experiment_id], careful=True)
            run_ids = list(map(run_id_of, rows))
            if walk.looks_back(seen=bool(rows) and run_ids[0] in runs):
                continue
            count = len(runs)
            runs.update(zip(run_ids, rows, strict=True))
            if not walk.goes_on(run_ids, following, fresh=len(runs) > count):
                return list(runs.values())

    def _holds_more(self, experiment_id: str, span: _Span, count: int) -> bool:
        """Return whether there are more than ``count`` runs, readable or not. Raises where nothing is answered."""
        try:
            rows, _ = self._search(span, PageWalk(count), 1, ids=[experiment_id], careful=True)
        except ServerError as exc:
            if not _refuses_page(exc):
                raise
            self._search(span, PageWalk(_BEYOND_ALL), 1, ids=[experiment_id])
            return True
        return bool(rows)

    def _alone(
        self, experiment_id: str, span: _Span, known: set[str], *, only_without_start: bool
    ) -> Iterator[RunPage]:
        """Yield the only run of a refused span after all, or else its gap."""
        try:
            rows, _ = self._search(span, PageWalk(), 1, ids=[experiment_id])
        except ServerError as exc:
            if not _refuses_page(exc):
                raise
            if only_without_start and self._refused(experiment_id, replace(span, since_ms=_EARLIEST_MS)):
                return  # it has a start time, so it has its gap already
            self._counts[experiment_id] += 1
            place = f"the run whose id begins with {self._spell(experiment_id, span)} {span.when()}"
            yield RunPage(runs=[], gaps=[_gap(experiment_id, place, exc)])
        else:
            yield from self._page_of(rows, known, only_without_start=only_without_start)  # the refusal has passed

    def _spell(self, experiment_id: str, span: _Span) -> str:
        """Return enough digits of the id of the only run of a refused span for a person to find it."""
        while len(span.prefix) < _SHOWN_DIGITS:
            refused = next((part for part in span.by_digit() if self._refused(experiment_id, part)), None)
            if refused is None:
                break
            span = refused
        return span.prefix or "an unusual character"

    def _refused(self, experiment_id: str, span: _Span) -> bool:
        try:
            self._search(span, PageWalk(), 1, ids=[experiment_id], careful=True)
        except ServerError as exc:
            if exc.status is None:
                raise
            return _refuses_page(exc)
        return False

    def _without_start(self, ids: list[str]) -> Iterator[RunPage]:
        """Look behind the last run for runs without a start time, which no filter on it finds."""
        walk = PageWalk(sum(self._counts[experiment_id] for experiment_id in ids), back=1)
        known = set(self._last)
        while True:
            try:
                rows, following = self._search(_Span(), walk, PAGE_RUNS, ids=ids, careful=True)
            except ServerError as exc:
                if not _refuses_page(exc):
                    raise
                if len(ids) == 1:
                    yield from self._scan(ids[0], _Span(), known, exc, only_without_start=True)
                else:
                    for experiment_id in ids:
                        yield from self._without_start([experiment_id])
                return
            run_ids = list(map(run_id_of, rows))
            if walk.looks_back(seen=bool(rows) and run_ids[0] in known):
                continue
            late = [row for row in rows if start_time_of(row) is None and run_id_of(row) not in known]
            known.update(run_ids)
            if late:
                self._last.update(run_id_of(row) for row in late)
                yield RunPage(runs=late)
            if not rows or not walk.goes_on(run_ids, following, fresh=bool(late)):
                return

    def _count(self, rows: list[Json]) -> None:
        self._counts.update(str(row["info"].get("experiment_id")) for row in rows)

    def _search(
        self, span: _Span, walk: PageWalk, size: int, *, ids: list[str] | None = None, careful: bool = False
    ) -> tuple[list[Json], str | None]:
        body = {
            **self._body(span, size, self._ids if ids is None else ids),
            "order_by": ["attributes.start_time ASC"],
            "page_token": walk.token or page_token(walk.start),
        }
        rows, following = search(self._asker, "runs", body, careful=careful)
        for row in rows:
            info = row.get("info")
            if not isinstance(info, dict) or not (info.get("run_id") or info.get("run_uuid")):
                raise ServerError(f"{self._asker.session.uri} lists a run without run_id; is it an MLflow server?")
        return rows, following

    def _body(self, span: _Span, size: int, ids: list[str]) -> Json:
        conditions = [self._selection.filter_string, *span.conditions()]
        return {
            "experiment_ids": ids,
            "filter": " AND ".join(condition for condition in conditions if condition),
            "run_view_type": "ALL" if self._selection.deleted else "ACTIVE_ONLY",
            "max_results": size,
        }


def _gap(experiment_id: str, place: str, exc: ServerError) -> Gap:
    reason = f"the server cannot answer {place}: {exc}"
    return gap_of(EXPERIMENT, experiment_id, place, reason, code=RUN_UNREADABLE)


def _refuses_page(exc: ServerError) -> bool:
    """Return whether fewer runs at a time may help: the server answered, but could not."""
    return exc.status is not None and exc.status >= 500
