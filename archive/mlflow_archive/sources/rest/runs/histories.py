"""Full metric histories, many runs at a time where the server can.

``get-history-bulk`` answers one metric of up to 100 runs and cuts the answer silently at 25,000 points, so an answer
of that length is taken for cut. Its rows come run after run: all but the last run are whole, the others are asked
for again. Each history must contain the latest point that the run itself shows, else it is read again on its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from mlflow_archive.errors import ServerError
from mlflow_archive.flow.chunk import Gap
from mlflow_archive.format.gaps import METRIC_UNREADABLE
from mlflow_archive.http.refusals import check_answered
from mlflow_archive.kinds import RUN, TABLES, TIMESTAMP
from mlflow_archive.sources.reading.fields import NOTHING, printable
from mlflow_archive.sources.rest.answers import NEXT, Asker, note_unread
from mlflow_archive.sources.rest.cells import UNREADABLE_ROW
from mlflow_archive.sources.rest.runs.point_pages import Point, point_pages
from mlflow_archive.sources.rest.runs.records import POINT, LatestPoint, RestRun
from mlflow_archive.sources.rest.scope import gap_of

MOST_POINTS: Final = 500_000
"""How many points one part holds at most, but for the last answer in it."""

_BULK = "/ajax-api/2.0/mlflow/metrics/get-history-bulk"
_SINGLE = "/api/2.0/mlflow/metrics/get-history"
_BULK_RUNS = 100
_BULK_POINTS = 25_000
_LIKELY_STEPS = 1_000
_WITHOUT_LATEST = "its history lacks the latest point, which is kept"
_SCHEMA = TABLES["metrics"].schema


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryPart:
    """Points of some runs. ``complete`` are the runs that end in this part; empty where one run goes on."""

    complete: Sequence[RestRun]
    points: pa.Table
    gaps: Sequence[Gap] = field(default_factory=list)


class Histories:
    """Reads histories from one server; used by several threads."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker
        self._has_bulk = True
        self._unread: dict[str, set[tuple[str, str]]] = {}

    def read(self, records: Sequence[RestRun]) -> Iterator[HistoryPart]:
        """Yield all points of the runs, in parts of about MOST_POINTS; each run ends in exactly one part.

        Only a run whose own history is larger is spread over several parts, which follow each other.
        """
        queue = deque(_batches(records))
        most_runs = len(records)
        while queue:
            batch = queue.popleft()
            if len(batch) > most_runs:
                queue.appendleft(batch[most_runs:])
                batch = batch[:most_runs]
            for part in self._read_batch(batch, queue.appendleft):
                yield part
                if part.complete and part.points.num_rows:
                    # What these runs really had is the best guess at what the next ones have.
                    most_runs = max(1, int(0.8 * MOST_POINTS * len(part.complete) / part.points.num_rows))

    def take_unread(self, run_id: str) -> list[str]:
        """Return the unknown fields of points of a run that was read to its end, each once a metric."""
        return [f"metrics/{printable(name)}" for _, name in self._unread.pop(run_id, ())]

    def _note_unread(self, key: str, points: Sequence[Point]) -> None:
        names = set[str]().union(*points) - POINT
        for point in points if names else ():
            fields = {name for name in names if point.get(name) not in NOTHING}
            if fields:
                self._unread.setdefault(str(point.get("run_id")), set()).update((key, name) for name in fields)

    def _read_batch(self, batch: list[RestRun], put_back: Callable[[list[RestRun]], None]) -> Iterator[HistoryPart]:
        pieces: list[pa.Table] = []
        gaps: list[Gap] = []
        whole_batch = len(batch)
        for key in sorted({key for record in batch for key in record.latest}):
            for piece in self._metric(key, [record for record in batch if key in record.latest], gaps):
                pieces.append(piece if len(batch) == whole_batch else _only(piece, batch))
                if sum(map(len, pieces)) <= MOST_POINTS:
                    continue
                if len(batch) == 1:
                    yield HistoryPart(complete=(), points=pa.concat_tables(pieces))
                    pieces = []
                else:
                    middle = len(batch) // 2
                    put_back(batch[middle:])
                    batch = batch[:middle]
                    pieces = [_only(piece, batch) for piece in pieces]
        points = _only(pa.concat_tables([*pieces, _SCHEMA.empty_table()]), batch)
        run_ids = {record.run_id for record in batch}
        yield HistoryPart(complete=batch, points=points, gaps=[gap for gap in gaps if gap.owner_id in run_ids])

    def _metric(self, key: str, records: Sequence[RestRun], gaps: list[Gap]) -> Iterator[pa.Table]:
        """Yield tables that together hold the whole history of one metric of each of the runs."""
        pending = {record.run_id: record for record in records}
        while pending:
            batch_ids = list(pending)[:_BULK_RUNS]
            answered, alone = self._bulk(key, [pending[run_id] for run_id in batch_ids])
            if answered is not None:
                points, whole = answered
                yield points
                for run_id in whole:
                    del pending[run_id]
            for run_id in alone:
                yield from self._single(key, pending.pop(run_id), gaps)

    def _bulk(self, key: str, records: Sequence[RestRun]) -> tuple[tuple[pa.Table, set[str]] | None, Sequence[str]]:
        """Return the whole histories the server gives for many runs at once, and the runs to ask for alone.

        Runs in neither are to be asked for again: the answer was full before it came to them.
        """
        latest = {record.run_id: record.latest[key] for record in records}
        points = self._ask_bulk(key, list(latest)) if self._has_bulk else None
        if points is None:
            return None, list(latest)
        try:
            cut = len(points) >= _BULK_POINTS
            if cut:
                last = points[-1]["run_id"]
                points = points[: next(n for n, point in enumerate(points) if point["run_id"] == last)]
                if not points:
                    return None, [last]
            whole = _histories_with_latest(points, latest)
            answered_ids = {point["run_id"] for point in points}
            if len(whole) < len(answered_ids):
                points = [point for point in points if point["run_id"] in whole]
            table = _table_of(key, points)
            self._note_unread(key, points)
        except UNREADABLE_ROW:
            return None, list(latest)  # alone, each says what is wrong with it
        return (table, whole), [
            run_id for run_id in latest if run_id not in whole and (not cut or run_id in answered_ids)
        ]

    def _ask_bulk(self, key: str, run_ids: Sequence[str]) -> list[Point] | None:
        """Return the points in the server's order, or None where it cannot answer."""
        params = [*(("run_id", run_id) for run_id in run_ids), ("metric_key", key), ("max_results", str(_BULK_POINTS))]
        try:
            answer = self._asker.session.get(_BULK, params)
        except ServerError as exc:
            check_answered(exc)
            if exc.status in (404, 405) and exc.error_code is None:
                self._has_bulk = False
            return None
        points = answer.get("metrics", []) if isinstance(answer, dict) else None
        if not isinstance(points, list):
            return None
        note_unread(self._asker, RUN, _BULK, answer, "metrics")
        return points

    def _single(self, key: str, record: RestRun, gaps: list[Gap]) -> Iterator[pa.Table]:
        """Yield the history of one metric of one run; add a gap where that fails or lacks the latest point."""
        latest = record.latest[key]
        has_latest, has_points = False, False
        failure = ""
        try:
            for points in self._pages(key, record.run_id):
                own_points = [{**point, "run_id": record.run_id} for point in points]
                table = _table_of(key, own_points)
                self._note_unread(key, own_points)
                has_latest = has_latest or any(_is_point(point, latest) for point in points)
                yield table
                has_points = has_points or bool(points)
        except ServerError as exc:
            check_answered(exc)
            failure = f"the latest point could be read: {exc}"
        except UNREADABLE_ROW as exc:
            failure = f"the latest point could be read, points are malformed: {exc!r}"
        if failure or not has_latest:
            reason = f"only {'a part and ' if has_points else ''}{failure}" if failure else _WITHOUT_LATEST
            gaps.append(gap_of(RUN, record.run_id, key, reason, code=METRIC_UNREADABLE))
        if not has_latest:
            point = {"step": latest.step, "timestamp": latest.time_ms, "value": latest.value}
            yield _table_of(key, [{**point, "run_id": record.run_id}])

    def _pages(self, key: str, run_id: str) -> Iterator[list[Point]]:
        def ask(token: str | None) -> Any:
            params = {"run_id": run_id, "metric_key": key, "max_results": _BULK_POINTS, "page_token": token}
            answer = self._asker.session.get(_SINGLE, params)
            note_unread(self._asker, RUN, _SINGLE, answer, "metrics", NEXT)
            return answer

        return point_pages(ask)


def expected_points(latest_steps: Iterable[int]) -> int:
    """Guess the points of a run from its latest steps; a step may be anything, so it counts up to a bound."""
    return sum(min(_LIKELY_STEPS, max(0, step) + 1) for step in latest_steps)


def _batches(records: Sequence[RestRun]) -> Iterator[list[RestRun]]:
    """Cut into batches that probably stay below MOST_POINTS."""
    batch: list[RestRun] = []
    total = 0
    for record in records:
        expected = expected_points(latest.step for latest in record.latest.values())
        if batch and total + expected > MOST_POINTS:
            yield batch
            batch, total = [], 0
        batch.append(record)
        total += expected
    if batch:
        yield batch


def _histories_with_latest(points: Sequence[Point], latest: Mapping[str, LatestPoint]) -> set[str]:
    """Return the runs whose points contain the latest one."""
    by_run = groupby(reversed(points), key=lambda point: point["run_id"])
    return {run_id for run_id, group in by_run if any(_is_point(point, latest[run_id]) for point in group)}


def _is_point(point: Point, latest: LatestPoint) -> bool:
    if int(point.get("step", 0)) != latest.step or int(point["timestamp"]) != latest.time_ms:
        return False
    value = float(point["value"])
    return value == latest.value or (value != value and latest.value != latest.value)  # noqa: PLR0124 - NaN


def _table_of(key: str, points: Sequence[Point]) -> pa.Table:
    """Build ``metrics`` rows; raise one of UNREADABLE_ROW where a point is malformed."""
    size = len(points)
    steps = _column([point.get("step", 0) for point in points], pa.int64(), _whole)
    times = _column([point["timestamp"] for point in points], pa.int64(), _whole)
    columns = {
        "run_id": pa.array([point["run_id"] for point in points], pa.string()),
        "key": pa.repeat(pa.scalar(key, pa.string()), size),
        "step": steps,
        "timestamp": times.cast(TIMESTAMP),
        "value": _column([point["value"] for point in points], pa.float64(), float),
        "dataset_name": _labels(points, "dataset_name"),
        "dataset_digest": _labels(points, "dataset_digest"),
    }
    return pa.Table.from_arrays([columns[name] for name in _SCHEMA.names], schema=_SCHEMA)


def _column(values: list[Any], kind: pa.DataType, convert: Callable[[Any], Any]) -> pa.Array:
    """Numbers become a column at once; int64 and NaN may come as text, then each is converted."""
    if convert is _whole and float in set(map(type, values)):
        return pa.array([convert(value) for value in values], kind)  # else Arrow would cut fractions off
    try:
        column = pa.array(values, kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([convert(value) for value in values], kind)
    if column.null_count:
        message = "a point has no step, time or value"
        raise ValueError(message)
    return column


def _whole(value: Any) -> int:
    number = int(value)
    if isinstance(value, float) and number != value:
        message = f"{value!r} is no whole number"
        raise ValueError(message)
    return number


def _labels(points: Sequence[Point], name: str) -> pa.Array:
    if points and name in points[0]:
        return pa.array([point.get(name) or None for point in points], pa.string())
    return pa.nulls(len(points), pa.string())


def _only(table: pa.Table, records: Sequence[RestRun]) -> pa.Table:
    run_ids = pa.array([record.run_id for record in records], pa.string())
    return table.filter(pc.is_in(table["run_id"], value_set=run_ids))
