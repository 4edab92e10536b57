"""An archive as it was: after which of its exports, said by number or by time.

>>> parse_at("2"), parse_at("2024-05-01").isoformat()
(2, '2024-05-01T23:59:59.999999+00:00')
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from typing import Final

from mlflow_archive.errors import SelectionError
from mlflow_archive.format.delta import joined
from mlflow_archive.format.manifest import Export, Manifest

At = int | datetime
"""After which export an archive is read: its number, or the newest that was made at this time or before."""

AskedAt = int | str | date
"""The same as callers say it: a number, ISO 8601, a date (the end of that day, UTC) or a time (without zone: UTC)."""

_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]{1,4}", re.ASCII)
_LISTED: Final = 10


def parse_at(at: AskedAt) -> At:
    """Read what a caller says. Raises SelectionError for what is neither a number nor ISO 8601."""
    if isinstance(at, int) and not isinstance(at, bool):
        return at
    if isinstance(at, datetime):
        return _with_zone(at)
    if isinstance(at, date):
        return datetime.combine(at, time.max, UTC)
    text = str(at).strip()
    if _NUMBER.fullmatch(text):
        return int(text)
    try:
        if _DAY.fullmatch(text):
            return datetime.combine(date.fromisoformat(text), time.max, UTC)
        return _with_zone(datetime.fromisoformat(text))
    except ValueError:
        raise SelectionError(
            f"{text!r} is neither the number of an export nor an ISO 8601 time such as 2024-05-01 or "
            "2024-05-01T12:30:00Z"
        ) from None


def _with_zone(when: datetime) -> datetime:
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def export_at(exports: Sequence[Export], at: At) -> Export:
    """Return the export after which an archive is asked for. Raises SelectionError, which names those there are."""
    if isinstance(at, datetime):
        until = at.timestamp() * 1000
        export = next((past for past in reversed(exports) if past.created_ms <= until), None)
        description = f"no export of {at.isoformat(timespec='seconds')} or before"
    else:
        export = next((numbered for numbered in exports if numbered.number == at), None)
        description = f"no export {at}"
    if export is None:
        raise SelectionError(f"the archive has {description}; it has {_named(exports)}")
    return export


def _named(exports: Sequence[Export]) -> str:
    """Name the exports of an archive with their times, of many the first and the last ones."""
    names = [f"{export.number} ({_shown(export.created_ms)})" for export in exports]
    if len(names) > _LISTED:
        names = [*names[: _LISTED // 2], "…", *names[-_LISTED // 2 :]]
    return ", ".join(names)


def _shown(created_ms: int) -> str:
    try:
        return datetime.fromtimestamp(created_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return f"{created_ms} ms"


def changed_since(earlier: Manifest, newest: Manifest) -> tuple[str, str] | None:
    """Say what of an earlier manifest the newest one does not hold any more, and how; None where it holds all.

    An export that adds to an archive changes nothing that is there; a repair that salvages, forgery and damage do.
    """
    listed = {member.path: (member.size, member.sha256) for member in joined(newest).members}
    for member in joined(earlier).members:
        size_and_hash = listed.get(member.path)
        if size_and_hash != (member.size, member.sha256):
            return member.path, "gone" if size_and_hash is None else "another one now"
    if newest.exports[: len(earlier.exports)] != earlier.exports:
        return "what the archive states of its exports", "another now"
    return None
