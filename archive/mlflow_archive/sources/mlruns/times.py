"""Times and durations as the JSON form of Protocol Buffers writes them, in milliseconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")
_DURATION: Final = re.compile(r"(-?\d{1,12}(?:\.\d{1,9})?)s")


def time_ms(text: str) -> int:
    """Return the time in a text such as ``2026-01-20T12:51:36.189Z``, or a number of milliseconds.

    Raises ValueError.
    """
    if re.fullmatch(r"-?\d{1,18}", text):
        return int(text)
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no time such as 2026-01-20T12:51:36.189Z")
    day, clock, fraction, zone = match.groups()
    moment = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if zone == 'Z' else zone}")
    seconds = (moment - _EPOCH) // timedelta(seconds=1)
    return seconds * 1000 + int((fraction or "").ljust(9, "0")) // 1_000_000


def duration_ms(text: str) -> int:
    """Return the duration in a text such as ``1.5s``, or a number of milliseconds.

    Raises ValueError.
    """
    if re.fullmatch(r"-?\d{1,18}", text):
        return int(text)
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no duration such as 1.5s")
    return int(Decimal(match[1]) * 1000)
