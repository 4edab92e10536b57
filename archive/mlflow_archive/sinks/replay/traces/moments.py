"""Times as Protocol Buffers' JSON has them, from milliseconds since the epoch."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from mlflow_archive.errors import ItemError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_MS, _LAST_MS = -62_135_596_800_000, 253_402_300_799_999


def timestamp(time_ms: int) -> str:
    """Return a google.protobuf.Timestamp. Raises ItemError for a time outside of the years 1 to 9999.

    >>> timestamp(1655007278844)
    '2022-06-12T04:14:38.844Z'
    >>> timestamp(-1000)
    '1969-12-31T23:59:59Z'
    """
    try:
        moment = _EPOCH + timedelta(milliseconds=time_ms)
    except OverflowError as exc:
        message = f"{time_ms} ms cannot be stated as a time of MLflow's API: it lies outside of the years 1 to 9999"
        raise ItemError(message) from exc
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds" if time_ms % 1000 else "seconds") + "Z"


def nearest(time_ms: int) -> int:
    """Return the time that can be stated and is nearest to one.

    >>> nearest(1655007278844), nearest(10**18)
    (1655007278844, 253402300799999)
    """
    return max(_FIRST_MS, min(time_ms, _LAST_MS))


def duration(time_ms: int) -> str:
    """Return a google.protobuf.Duration.

    >>> duration(-1259), duration(2000)
    ('-1.259s', '2s')
    """
    seconds, milliseconds = divmod(abs(time_ms), 1000)
    return f"{'-' if time_ms < 0 else ''}{seconds}" + (f".{milliseconds:03d}s" if milliseconds else "s")
