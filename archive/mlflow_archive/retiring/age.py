"""Ages as people say them: ``90d``, ``18mo``, ``10y``."""

from __future__ import annotations

import calendar
import re
from datetime import datetime, timedelta
from typing import Final

from mlflow_archive.errors import SelectionError
from mlflow_archive.retiring.judging import milliseconds

_AGE: Final = re.compile(r"([0-9]{1,6})\s*(h|d|w|mo|y)", re.ASCII)
_HOURS: Final = {"h": 1, "d": 24, "w": 7 * 24}
_MONTHS: Final = {"mo": 1, "y": 12}


def before_ms(age: str, now: datetime) -> int:
    """Return the moment that lies an age before another, in milliseconds since the epoch. Raises SelectionError.

    Months and years are those of the calendar; where a month is too short for the day, it is its last one.

    >>> from datetime import UTC
    >>> datetime.fromtimestamp(before_ms("18mo", datetime(2026, 8, 31, tzinfo=UTC)) / 1000, UTC).date().isoformat()
    '2025-02-28'
    """
    match = _AGE.fullmatch(age.strip())
    if match is None:
        raise SelectionError(f"{age!r} is no age such as 12h, 90d, 6w, 18mo or 10y")
    number, unit = int(match[1]), match[2]
    try:
        moment = _months_before(now, number * _MONTHS[unit]) if unit in _MONTHS else now - _span(number, unit)
    except (OverflowError, ValueError) as error:
        raise SelectionError(f"{age!r} lies before the calendar") from error
    return milliseconds(moment)


def _span(number: int, unit: str) -> timedelta:
    return timedelta(hours=number * _HOURS[unit])


def _months_before(now: datetime, months: int) -> datetime:
    year, month = divmod(now.year * 12 + now.month - 1 - months, 12)
    day = min(now.day, calendar.monthrange(year, month + 1)[1])
    return now.replace(year=year, month=month + 1, day=day)
