"""From values of the server's JSON to cells and tables of the archive.

Converters raise one of ``UNREADABLE_ROW`` for a value they cannot take; callers turn that into a gap of the object.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pyarrow as pa

from mlflow_archive.flow.chunk import Gap
from mlflow_archive.format.location import without_password
from mlflow_archive.kinds import TABLES

Json = Mapping[str, Any]
Row = dict[str, Any]

_SCHEMAS: Final = {name: table.schema for name, table in TABLES.items()}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

UNREADABLE_ROW: Final = (KeyError, TypeError, ValueError, AttributeError, OverflowError, pa.ArrowException)
"""What values of an unexpected shape raise while they become rows; each caller turns it into a gap."""


def unexpected_shape(exc: Exception) -> str:
    """Return the reason of the gap that one of UNREADABLE_ROW becomes."""
    return f"it has an unexpected shape: {exc!r}"


def text(value: object) -> str | None:
    """Return a cell of text; None stays None."""
    return None if value is None else str(value)


def filled(value: object) -> str | None:
    """Return a cell of text, null for the empty text with which protobuf says that nothing is set."""
    return str(value) if value not in (None, "") else None


def integer(value: int | str | None) -> int | None:
    """Return a cell of int64, which comes as a JSON number or, as protobuf wants it, as text."""
    return None if value is None else int(value)


def real(value: float | str | None) -> float | None:
    """Return a cell of double: NaN and infinities come as text."""
    return None if value is None else float(value)


def location(value: object) -> str | None:
    """Return where something lies, without user and password."""
    return None if value is None else without_password(str(value))


def milliseconds(value: str) -> int:
    """Return a timestamp as protobuf writes it in JSON as milliseconds since the epoch."""
    return (datetime.fromisoformat(value) - _EPOCH) // timedelta(milliseconds=1)


def json_text(value: object) -> str:
    """Return JSON as MLflow's SQL store writes it."""
    return json.dumps(value)


def table_of(name: str, rows: Sequence[Row]) -> pa.Table:
    """Build a table of that name; columns a row lacks are null."""
    return pa.Table.from_pylist(list(rows), schema=_SCHEMAS[name])


def gap_table(gaps: Iterable[Gap]) -> pa.Table:
    """Build ``gaps``; what is not proper text, such as half a surrogate pair, is written as an escape."""
    return table_of(
        "gaps",
        [
            {
                "owner_id": gap.owner_id,
                "owner_kind": gap.owner_kind,
                "path": gap.path.encode("utf-8", "backslashreplace").decode(),
                "code": gap.code,
                "reason": gap.reason.encode("utf-8", "backslashreplace").decode(),
            }
            for gap in gaps
        ],
    )
