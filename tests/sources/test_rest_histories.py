"""Histories of metrics from a server that cuts its answers, and whose rows change between two pages.

The server here is in memory; it sorts, cuts and pages as MLflow's store does.
"""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan, nan
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlflow_archive.http.session import TrackingSession
from mlflow_archive.sources.reading.unknown_fields import UnknownFields
from mlflow_archive.sources.rest.runs import histories
from mlflow_archive.sources.rest.runs.histories import Histories
from mlflow_archive.sources.rest.runs.records import LatestPoint, RestRun

LIMIT = 6
Point = tuple[int, int, float]
"""Time, step and value."""
Points = dict[str, list[Point]]


class _Server(TrackingSession):
    """The histories of one metric of some runs. ``changes`` says for each page of a run what goes before it is read."""

    def __init__(self, points: Points, changes: Sequence[Sequence[Point]] = (), *, bulk: bool = True) -> None:
        self.points = {run_id: list(dict.fromkeys(some)) for run_id, some in points.items()}
        self.changes = list(changes)
        self.bulk = bulk
        self.chance = random.Random(1)  # noqa: S311 - values that repeat
        self.pages = 0

    def get(self, path: str, params: Any = None, **_: Any) -> Any:
        if path.endswith("bulk"):
            values = list(params)
            run_ids = sorted(value for name, value in values if name == "run_id")
            rows = [{"run_id": run_id, **row} for run_id in run_ids for row in self.rows(run_id)]
            return {"metrics": rows[: int(dict(values)["max_results"])]} if self.bulk else {}
        self.pages += 1
        run_id, size, token = params["run_id"], int(params["max_results"]), params["page_token"]
        for point in self.changes.pop(0) if self.changes else ():
            self.points[run_id].remove(point) if point in self.points[run_id] else self.points[run_id].append(point)
        offset = json.loads(base64.b64decode(token))["offset"] if token else 0
        rows = self.rows(run_id)
        answer: dict[str, Any] = {"metrics": rows[offset : offset + size]}
        if offset + size < len(rows):
            answer["next_page_token"] = base64.b64encode(json.dumps({"offset": offset + size}).encode()).decode()
        return answer

    def rows(self, run_id: str) -> list[dict[str, Any]]:
        """Return rows in the order of the store, which keeps NaN as 0 and leaves open which of the two is first."""
        points = self.chance.sample(self.points[run_id], len(self.points[run_id]))
        points.sort(key=lambda point: (*point[:2], 0.0 if isnan(point[2]) else point[2]))
        return [{"timestamp": time, "step": step, "value": value} for time, step, value in points]


@dataclass(frozen=True)
class Scope:
    """What asks the server."""

    session: TrackingSession
    unknown: UnknownFields = field(default_factory=UnknownFields)


def read(server: _Server, latest: Mapping[str, Point] | None = None) -> dict[str, list[Point]]:
    """Read all histories of a server; return the points of each run as they came."""
    points: dict[str, list[Point]] = {run_id: [] for run_id in server.points}
    newest = {**{run_id: newest_of(some) for run_id, some in server.points.items() if some}, **(latest or {})}
    records = [_record(run_id, point) for run_id, point in newest.items()]
    parts = list(Histories(Scope(server)).read(records))
    assert [record.run_id for part in parts for record in part.complete] == list(newest)
    assert not [gap for part in parts for gap in part.gaps]
    for part in parts:
        for row in part.points.set_column(3, "timestamp", part.points["timestamp"].cast(pa.int64())).to_pylist():
            points[row["run_id"]].append((row["timestamp"], row["step"], row["value"]))
    return points


def newest_of(points: Sequence[Point]) -> Point:
    """Return the latest point of a run as MLflow has it."""
    return max(points, key=lambda point: (point[1], point[0], 0.0 if isnan(point[2]) else point[2]))


def _record(run_id: str, point: Point) -> RestRun:
    latest = LatestPoint(step=point[1], time_ms=point[0], value=point[2])
    return RestRun(run_id=run_id, info={}, params={}, tags={}, latest={"m": latest}, tables={})


def same(points: Sequence[Point]) -> list[str]:
    """Return points so that they can be compared: NaN is not equal to itself."""
    return sorted(map(repr, points))


@pytest.fixture(autouse=True)
def _small_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(histories, "_BULK_POINTS", LIMIT)


@pytest.mark.parametrize("bulk", [True, False])
@pytest.mark.parametrize("points", range(LIMIT - 1, 2 * LIMIT + 2))
def test_a_full_answer_is_taken_for_cut_also_where_it_has_the_latest_point(points: int, bulk: bool) -> None:
    """Steps count down while time goes on: what comes first has the greatest step."""
    history = [(time, 100 - time, 0.5) for time in range(points)]
    for before in range(LIMIT + 1):
        given_points = {"a": [(time, time, 1.0) for time in range(before)], "b": history}
        assert read(_Server(given_points, bulk=bulk)) == given_points


HISTORIES = st.lists(st.tuples(st.integers(0, 4), st.integers(-2, 2), st.sampled_from([nan, 0.0, 1.0])), max_size=20)


@settings(max_examples=60, deadline=None)
@given(points=st.dictionaries(st.sampled_from("abcd"), HISTORIES, max_size=4), bulk=st.booleans())
def test_every_point_is_read_once(points: Points, bulk: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(histories, "_BULK_POINTS", LIMIT)
        server = _Server(points, bulk=bulk)
        for run_id, read_points in read(server).items():
            assert same(read_points) == same(server.points[run_id])


@pytest.mark.parametrize("gone", range(1, 3 * LIMIT))
@pytest.mark.parametrize("page", [1, 2, 3])
def test_no_point_is_skipped_where_others_go_between_two_pages(page: int, gone: int) -> None:
    history = [(time, time, 0.5) for time in range(4 * LIMIT)]
    removed = history[:gone]
    server = _Server({"a": history}, [()] * page + [removed], bulk=False)
    points = read(server)["a"]
    assert len(points) == len(set(points))
    assert set(points) >= set(history[gone:])


@pytest.mark.parametrize("new", range(1, 4 * LIMIT, 3))
@pytest.mark.parametrize("page", [1, 2])
def test_no_point_is_read_twice_where_others_come_before_it(page: int, new: int) -> None:
    history = [(time, time, 0.5) for time in range(4 * LIMIT)]
    earlier = [(-time, -1, 2.0) for time in range(1, new + 1)]
    points = read(_Server({"a": history}, [()] * page + [earlier], bulk=False))["a"]
    assert len(points) == len(set(points))
    assert set(points) >= set(history)


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    history=st.lists(
        st.tuples(st.integers(0, 30), st.integers(0, 2), st.sampled_from([nan, 0.0, 1.0])), min_size=LIMIT, max_size=30
    ),
)
def test_points_that_stay_are_read_once_whatever_goes_and_comes_meanwhile(
    data: st.DataObject, history: list[Point]
) -> None:
    history = list(dict.fromkeys(history))
    newest = newest_of(history)
    rest = [point for point in history if point is not newest]
    new = st.tuples(st.integers(0, 40), st.just(-1), st.just(2.0))
    changes = data.draw(
        st.lists(st.lists(st.sampled_from(rest) | new if rest else new, max_size=8, unique=True), max_size=6)
    )
    touched = {repr(point) for some in changes for point in some}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(histories, "_BULK_POINTS", LIMIT)
        points = read(_Server({"a": history}, changes, bulk=False), {"a": newest})["a"]
    assert len(set(map(repr, points))) == len(points)
    assert set(map(repr, points)) >= {repr(point) for point in history} - touched
