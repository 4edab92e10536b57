"""Which exports stay by the words of a policy."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from mlflow_archive.errors import SelectionError
from mlflow_archive.format.manifest import Export
from mlflow_archive.writer.compacting.policy import Keep

TIMES = ("2023-12-31", "2024-01-01", "2024-01-01", "2024-01-07", "2024-01-08", "2024-02-29", "2024-03-31")
"""Of exports 1 to 7: a Sunday, two on a Monday, the Sunday and the Monday after, two ends of months."""


def exports(*times: str) -> list[Export]:
    return [
        Export(
            number=number,
            created_ms=int(datetime.fromisoformat(time).replace(tzinfo=UTC).timestamp() * 1000),
            tool="t",
            source={},
            selection={},
            counts={},
            gaps=0,
        )
        for number, time in enumerate(times, 1)
    ]


@pytest.mark.parametrize(
    ("keep", "numbers"),
    [
        (Keep(last=1), [7]),
        (Keep(last=3), [5, 6, 7]),
        (Keep(last=99), [1, 2, 3, 4, 5, 6, 7]),
        (Keep(daily=4), [4, 5, 6, 7]),
        (Keep(daily=5), [3, 4, 5, 6, 7]),
        (Keep(daily=9), [1, 3, 4, 5, 6, 7]),
        (Keep(weekly=3), [5, 6, 7]),
        (Keep(weekly=4), [4, 5, 6, 7]),
        (Keep(weekly=9), [1, 4, 5, 6, 7]),
        (Keep(monthly=3), [5, 6, 7]),
        (Keep(monthly=4), [1, 5, 6, 7]),
        (Keep(yearly=1), [7]),
        (Keep(yearly=2), [1, 7]),
        (Keep(within="1m"), [7]),
        (Keep(within="1m1d"), [6, 7]),
        (Keep(within="31d1h"), [6, 7]),
        (Keep(within="9999y"), [1, 2, 3, 4, 5, 6, 7]),
        (Keep(last=2, yearly=2), [1, 6, 7]),
    ],
)
def test_what_stays(keep: Keep, numbers: list[int]) -> None:
    assert keep.numbers(exports(*TIMES)) == numbers


def test_while_some_are_left_to_count_the_oldest_stays() -> None:
    assert Keep(yearly=2).numbers(exports("2024-01-01", "2024-01-02", "2024-01-03")) == [1, 3]
    assert Keep(yearly=1).numbers(exports("2024-01-01", "2024-01-02", "2024-01-03")) == [3]


@pytest.mark.parametrize("within", ["", "3", "2w", "d", "-1d", "1d2m", "1.5d", "٣d"])
def test_a_time_of_another_form_is_refused(within: str) -> None:
    with pytest.raises(SelectionError, match="is no time such as 2y6m3d"):
        Keep(within=within)


@pytest.mark.parametrize("number", [0, -1, True, "3"])
def test_a_number_that_makes_no_sense_is_refused(number: int) -> None:
    with pytest.raises(SelectionError, match="expected a number from 1 on"):
        Keep(weekly=number)


def test_times_beyond_the_calendar_do_not_matter() -> None:
    first, second = exports("2024-01-01", "2024-01-02")
    far = [replace(first, created_ms=0), replace(second, created_ms=2**63 - 1)]
    assert Keep(yearly=9, within="1y").numbers(far) == [1, 2]
