"""Which exports stay by the words of a policy."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from mlflow_archive.errors import SelectionError
from mlflow_archive.format.manifest import Export
from mlflow_archive.format.redaction import Redaction
from mlflow_archive.writer.compacting.policy import Keep, Period
from mlflow_archive.writer.compacting.survey import groups_of, redaction_of, settled_of

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


def test_what_an_export_states_for_those_that_it_takes_up() -> None:
    rules = [Redaction(rules=mark * 64, names=()) for mark in "ab"]
    first, second, third, fourth = exports(*TIMES[:4])
    chain = [
        replace(first, redaction=rules[0], settled=(("trace", ""),)),
        replace(second, redaction=rules[1], settled=(("scorer", ""),)),
        replace(third, settled=(("scorer", ""), ("run", ""))),
        fourth,
    ]
    groups = groups_of([1, 3, 4])
    assert [(group.number, group.first, group.last) for group in groups] == [(1, 1, 1), (2, 2, 3), (3, 4, 4)]
    assert [redaction_of(group, chain) for group in groups] == [*rules, None]
    assert [settled_of(group, chain) for group in groups] == [None, (("run", ""), ("scorer", "")), None]


def test_where_nothing_is_said_all_the_words_are_told() -> None:
    assert (Keep().is_empty, Keep(last=1).is_empty, Keep(within="1d").is_empty) == (True, False, False)
    with pytest.raises(SelectionError) as refused:
        Keep().numbers(exports(*TIMES))
    assert str(refused.value) == (
        "say which exports stay, as all others go: --keep-last 1 keeps the newest alone; there are --keep-daily, "
        "--keep-weekly, --keep-monthly, --keep-yearly and --keep-within, too"
    )


def test_times_by_the_calendar() -> None:
    for within, period in (
        ("2y6m3d", Period(2, 6, 3, 0)),
        (" 9999y99999m999999d9999999h ", Period(9999, 99999, 999999, 9999999)),
        ("5h", Period(0, 0, 0, 5)),
    ):
        assert Keep(within=within).period == period
    when = datetime(2024, 3, 31, 12, tzinfo=UTC)
    for period, before in (
        (Period(0, 1, 0, 0), datetime(2024, 2, 29, 12, tzinfo=UTC)),
        (Period(1, 1, 0, 0), datetime(2023, 2, 28, 12, tzinfo=UTC)),
        (Period(0, 3, 0, 0), datetime(2023, 12, 31, 12, tzinfo=UTC)),
        (Period(0, 2, 1, 13), datetime(2024, 1, 29, 23, tzinfo=UTC)),
        (Period(2023, 0, 0, 0), datetime(1, 3, 31, 12, tzinfo=UTC)),
        (Period(2023, 2, 30, 13), datetime(1, 1, 2, tzinfo=UTC)),
        (Period(2024, 0, 0, 0), datetime(1, 1, 2, tzinfo=UTC)),
    ):
        assert period.before(when) == before, period


@pytest.mark.parametrize("within", ["", "3", "2w", "d", "-1d", "1d2m", "1.5d", "٣d"])
def test_a_time_of_another_form_is_refused(within: str) -> None:
    with pytest.raises(SelectionError) as refused:
        Keep(within=within)
    assert str(refused.value) == f"{within!r} is no time such as 2y6m3d: years, months, days and hours (h)"


@pytest.mark.parametrize("number", [0, -1, True, "3"])
def test_a_number_that_makes_no_sense_is_refused(number: int) -> None:
    for name in ("last", "daily", "weekly", "monthly", "yearly"):
        with pytest.raises(SelectionError) as refused:
            Keep(**{name: number})  # type: ignore[arg-type]
        assert str(refused.value) == f"to keep {number!r} of {name} makes no sense: expected a number from 1 on"


def test_times_beyond_the_calendar_do_not_matter() -> None:
    first, second = exports("2024-01-01", "2024-01-02")
    far = [replace(first, created_ms=0), replace(second, created_ms=2**63 - 1)]
    assert Keep(yearly=9, within="1y").numbers(far) == [1, 2]
