"""Which exports stay, in the words of restic's `forget`: the last, one a day, a week, a month, a year, within a time.

>>> Keep(within="2y6m3d").period
Period(years=2, months=6, days=3, hours=0)
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from mlflow_archive.errors import SelectionError
from mlflow_archive.format.manifest import Export

_PERIOD: Final = re.compile(
    r"(?=[0-9])(?:([0-9]{1,4})y)?(?:([0-9]{1,5})m)?(?:([0-9]{1,6})d)?(?:([0-9]{1,7})h)?", re.ASCII
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)

Interval = Callable[[datetime], object]
"""What two times of one day, week, month or year have in common."""

_INTERVALS: Final[dict[str, Interval]] = {
    "daily": lambda when: when.date(),
    "weekly": lambda when: when.isocalendar()[:2],
    "monthly": lambda when: (when.year, when.month),
    "yearly": lambda when: when.year,
}


@dataclass(frozen=True, slots=True)
class Period:
    """A time back from another, by the calendar."""

    years: int
    months: int
    days: int
    hours: int

    def before(self, when: datetime) -> datetime:
        """Return the time so long before another; of a month that is too short the last day."""
        months = when.year * 12 + when.month - 1 - self.years * 12 - self.months
        year, month = months // 12, months % 12 + 1
        if year < 1:
            return _FIRST
        day = min(when.day, monthrange(year, month)[1])
        try:
            return when.replace(year=year, month=month, day=day) - timedelta(days=self.days, hours=self.hours)
        except OverflowError:
            return _FIRST


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """Which exports stay: the ``last`` so many, the last of each of so many days, weeks (ISO), months and years that
    have one (UTC), and those ``within`` a time before the newest, such as ``2y6m3d``. The newest always stays.

    Raises SelectionError for a number below 1, and for a time of another form.
    """

    last: int | None = None
    daily: int | None = None
    weekly: int | None = None
    monthly: int | None = None
    yearly: int | None = None
    within: str | None = None

    def __post_init__(self) -> None:
        for name in ("last", *_INTERVALS):
            number = getattr(self, name)
            if number is not None and (isinstance(number, bool) or not isinstance(number, int) or number < 1):
                raise SelectionError(f"to keep {number!r} of {name} makes no sense: expected a number from 1 on")
        _ = self.period

    @property
    def period(self) -> Period | None:
        """What ``within`` says."""
        if self.within is None:
            return None
        match = _PERIOD.fullmatch(self.within.strip())
        if match is None:
            raise SelectionError(f"{self.within!r} is no time such as 2y6m3d: years, months, days and hours (h)")
        return Period(*(int(number or 0) for number in match.groups()))

    @property
    def is_empty(self) -> bool:
        """Whether nothing is said."""
        return self == Keep()

    def numbers(self, exports: Sequence[Export]) -> list[int]:
        """Return the numbers of the exports that stay, ascending. Raises SelectionError where nothing is said."""
        if self.is_empty:
            raise SelectionError(
                "say which exports stay, as all others go: --keep-last 1 keeps the newest alone; there are "
                "--keep-daily, --keep-weekly, --keep-monthly, --keep-yearly and --keep-within, too"
            )
        staying = {exports[-1].number, *(export.number for export in exports[::-1][: self.last or 0])}
        for name, interval in _INTERVALS.items():
            staying |= _one_of_each(exports, interval, getattr(self, name) or 0)
        if (period := self.period) is not None:
            since = period.before(max(map(_made, exports)))
            staying |= {export.number for export in exports if _made(export) > since}
        return sorted(staying)


def _one_of_each(exports: Sequence[Export], interval: Interval, count: int) -> set[int]:
    """Return the last export of each of the newest intervals.

    While some are left to count the oldest export stays, too, as in restic: so they reach back as far as they can.
    """
    staying: set[int] = set()
    before: object = None
    for export in reversed(exports):
        if len(staying) == count:
            break
        current = interval(_made(export))
        if current != before or export is exports[0]:
            staying.add(export.number)
            before = current
    return staying


def _made(export: Export) -> datetime:
    """Return when an export was made; what no calendar has is its first or last day."""
    try:
        return min(max(_EPOCH + timedelta(milliseconds=export.created_ms), _FIRST), _LAST)
    except OverflowError:
        return _LAST
