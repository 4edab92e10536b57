"""Histories of metrics on their way into a database: where pieces may repeat points, and which point is the newest."""

from __future__ import annotations

from itertools import product
from math import inf, nan
from typing import Any

import pyarrow as pa
import pytest

from mlflow_archive.sinks.restore.histories import RestoredHistories
from tests.support.chunks import table

A, B = "a" * 32, "b" * 32
Point = tuple[str, str, int, int]


def stored(*points: Point) -> pa.Table:
    """Return points as the database holds them."""
    columns = list(zip(*points, strict=True)) or [()] * 4
    return pa.table(dict(zip(("run_uuid", "key", "step", "timestamp"), map(list, columns), strict=True)))


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        ((A, "m", 1, 5), True),
        ((A, "m", 2, 5), True),
        ((A, "m", 2, 6), False),
        ((A, "m", 2, 4), True),
        ((A, "m", 3, 0), False),
        ((A, "l", 9, 9), True),
        ((A, "n", 0, 0), False),
    ],
)
def test_a_piece_that_begins_at_or_before_the_last_point_of_an_earlier_one_overlaps(
    second: Point, expected: bool
) -> None:
    histories = RestoredHistories()
    assert not histories.overlaps(stored((A, "m", 1, 5), (A, "m", 2, 5)), complete=False)
    assert histories.overlaps(stored(second), complete=False) is expected
    assert histories.overlaps(stored(second), complete=False)


def test_the_greatest_point_of_all_pieces_is_remembered() -> None:
    histories = RestoredHistories()
    histories.overlaps(stored((A, "m", 5, 0)), complete=False)
    histories.overlaps(stored((A, "m", 1, 0)), complete=False)
    assert not histories.overlaps(None, complete=False)
    assert not histories.overlaps(stored(), complete=False)
    assert histories.overlaps(stored((A, "m", 5, 0), (A, "m", 6, 0)), complete=False)


@pytest.mark.parametrize("last", [None, stored(), stored((A, "m", 1, 0))])
def test_what_follows_a_complete_history_overlaps_nothing(last: pa.Table | None) -> None:
    histories = RestoredHistories()
    histories.overlaps(stored((A, "m", 5, 0)), complete=False)
    histories.overlaps(last, complete=True)
    assert not histories.overlaps(stored((A, "m", 1, 0)), complete=False)


def rows(*points: tuple[str, str, int, int, float]) -> pa.Table:
    names = ("run_id", "key", "step", "timestamp", "value")
    return table("metrics", [dict(zip(names, point, strict=True)) for point in points])


def newest(latest: pa.Table | None) -> list[dict[str, Any]]:
    assert latest is not None
    latest_rows: list[dict[str, Any]] = latest.to_pylist()
    return latest_rows


def row(key: str, step: int, time: int, value: float, *, is_nan: bool = False) -> dict[str, Any]:
    return {"run_uuid": A, "key": key, "step": step, "timestamp": time, "value": value, "is_nan": is_nan}


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([(1, 9, 9.0), (2, 0, 0.0)], row("m", 2, 0, 0.0)),
        ([(2, 0, 9.0), (2, 1, 0.0)], row("m", 2, 1, 0.0)),
        ([(2, 1, 3.0), (2, 1, -3.0)], row("m", 2, 1, 3.0)),
        ([(2, 1, nan), (2, 1, -3.0)], row("m", 2, 1, 0.0, is_nan=True)),
        ([(2, 1, nan), (2, 1, 3.0)], row("m", 2, 1, 3.0)),
        ([(2, 1, inf), (2, 1, 3.0)], row("m", 2, 1, 1.7976931348623157e308)),
        ([(-2, 1, 5.0), (-1, 1, -inf)], row("m", -1, 1, -1.7976931348623157e308)),
    ],
)
def test_the_newest_point_has_the_greatest_step_then_time_then_value(
    points: list[tuple[int, int, float]], expected: dict[str, Any]
) -> None:
    for order, pieces in product((1, -1), (1, 2)):
        histories = RestoredHistories()
        in_order = [(A, "m", *point) for point in points[::order]]
        if pieces == 2:
            assert histories.latest(rows(in_order[0]), complete=False) is None
        assert newest(histories.latest(rows(*in_order[pieces - 1 :]), complete=True)) == [expected]


def test_each_metric_of_a_run_has_a_newest_point_of_its_own_and_a_complete_history_is_forgotten() -> None:
    histories = RestoredHistories()
    assert histories.latest(rows((A, "m", 7, 0, 1.0)), complete=False) is None
    points = rows((A, "k", 1, 0, 2.0), (A, "m", 3, 0, 4.0))
    assert newest(histories.latest(points, complete=True)) == [row("k", 1, 0, 2.0), row("m", 7, 0, 1.0)]
    assert newest(histories.latest(rows((A, "m", 3, 0, 4.0)), complete=True)) == [row("m", 3, 0, 4.0)]
