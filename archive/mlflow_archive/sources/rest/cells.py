"""From values of the server's JSON to cells and tables of the archive.

Converters raise one of ``UNREADABLE_ROW`` for a value they cannot take; callers turn that into a gap of the object.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pyarrow as pa

from mlflow_archive.format.location import without_password
from mlflow_archive.kinds import TABLES

Json = Mapping[str, Any]
Row = dict[str, Any]

_SCHEMAS: Final = {name: table.schema for name, table in TABLES.items()}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

UNREADABLE_ROW: Final = (
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    OverflowError,
    RecursionError,
    pa.ArrowException,
)
"""What values of an unexpected shape raise while they become rows; each caller turns it into a gap."""


def unexpected_shape(exc: Exception) -> str:
    """Return the reason of the gap that one of UNREADABLE_ROW becomes."""
    return f"it has an unexpected shape: {exc!r}"


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
