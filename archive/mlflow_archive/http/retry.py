"""When to try a request again, and how long to wait first. Pure: no clock, no network."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

TRANSIENT_STATUS: Final = frozenset({408, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How patient a session is; delays in seconds.

    ``attempts`` counts the first try; with these delays all waits together are half a minute. A 500 in which MLflow
    names the error is often the same each time, so it gets ``attempts_on_500``; a host that has never answered as
    MLflow's server does gets ``attempts_unreached``, so that a mistyped URI fails in seconds. Of a refusal that the
    caller expects (``refusals_are_final``) only what is no answer of MLflow's own is tried again, as often as there.
    After ``failures_in_a_row`` requests that failed for good, the server is asked whether it answers at all.
    """

    attempts: int = 8
    attempts_on_500: int = 3
    attempts_unreached: int = 3
    failures_in_a_row: int = 3
    first_delay: float = 0.25
    longest_delay: float = 30.0
    longest_retry_after: float = 300.0

    def delay(self, attempt: int, retry_after: float | None) -> float:
        """Return the wait after try number ``attempt`` (from 1): doubling, jittered, at least ``retry_after``."""
        backoff: float = min(self.longest_delay, self.first_delay * 2.0 ** (attempt - 1))
        jittered = backoff * random.uniform(0.75, 1.25)  # noqa: S311 - spreads clients out, guards nothing
        return jittered if retry_after is None else max(jittered, min(retry_after, self.longest_retry_after))


DEFAULT: Final = RetryPolicy()


def parse_retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Return the seconds a Retry-After header asks for, or None where it is absent or senseless."""
    if value is None:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - (now or datetime.now(UTC))).total_seconds())
