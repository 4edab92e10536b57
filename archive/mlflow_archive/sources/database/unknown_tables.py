"""Unknown tables of a database that a user wants carried all the same, whole and as they are."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
from sqlalchemy import select, table

from mlflow_archive.errors import SelectionError, StoreError
from mlflow_archive.flow.chunk import Chunk, Gap, gap_table
from mlflow_archive.format.gaps import SOURCE, UNKNOWN_FIELD, UNKNOWN_ROWS
from mlflow_archive.format.unknown_tables import is_withheld
from mlflow_archive.mlflow_database.known_schema import ACCOUNT_REVISIONS
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.database.columns import plain_values
from mlflow_archive.sources.database.snapshot import Snapshot, column_of

LARGEST_BYTES: Final = 256 * 1024 * 1024
"""The most that such a table may take in memory, where it is until the export ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownTable:
    """Payload of a shard."""

    name: str


def check_whole(selection: Selection) -> None:
    """Raise SelectionError unless everything is selected: nobody knows whose the rows of an unknown table are."""
    if not (selection.everything and selection.whole_registry and selection.deleted) or selection.kinds:
        raise SelectionError("--unknown-tables carries tables of a whole database; leave out what selects a part of it")


def may_be_carried(snapshot: Snapshot, names: Sequence[str]) -> list[str]:
    """Return those of some unknown tables that are carried: none where the database holds accounts of a log-in, too."""
    schema = snapshot.schema
    if ACCOUNT_REVISIONS in schema.columns:
        return []
    return [name for name in names if name not in schema.unreadable and not all(map(is_withheld, schema.columns[name]))]


def read_unknown(snapshot: Snapshot, name: str) -> Iterator[Chunk]:
    """Yield a chunk with a table, and with gaps for its columns that are withheld; or a gap for the table."""
    columns = sorted(snapshot.schema.columns[name])
    own, carried = table(name), [column for column in columns if not is_withheld(column)]
    gaps = [
        Gap(owner_kind=SOURCE, owner_id=name, path=column, code=UNKNOWN_FIELD, reason="its name is that of a secret")
        for column in columns
        if is_withheld(column)
    ]
    query = select(*(column_of(own, column).label(f"c{at}") for at, column in enumerate(carried))).select_from(own)
    try:
        rows = _table(carried, [list(map(plain_values, batch.values())) for batch in snapshot.fetch(query)])
    except (StoreError, ValueError, pa.ArrowException) as error:
        gap = Gap(owner_kind=SOURCE, owner_id=name, path="", code=UNKNOWN_ROWS, reason=f"it cannot be carried: {error}")
        yield Chunk(tables={"gaps": gap_table([gap])})
        return
    yield Chunk(tables={"gaps": gap_table(gaps)} if gaps else {}, unknown_tables={name: rows})


def _table(columns: Sequence[str], batches: Sequence[Sequence[Sequence[Any]]]) -> pa.Table:
    """Return rows of batches, a list of values a column. Raises ValueError where that is too much or of mixed types."""
    arrays = [_column([value for batch in batches for value in batch[at]]) for at in range(len(columns))]
    rows = pa.table(arrays, names=list(columns))
    if rows.nbytes > LARGEST_BYTES:
        raise ValueError(f"it takes {rows.nbytes} bytes, more than {LARGEST_BYTES}")
    return rows


def _column(values: Sequence[Any]) -> pa.Array:
    """Return values as the one type that they have; times, dates and JSON are text."""
    kinds = {type(value) for value in values if value is not None}
    for kind, arrow in ((bool, pa.bool_()), (int, pa.int64()), (float, pa.float64()), (bytes, pa.binary())):
        if kinds == {kind}:
            return pa.array(values, arrow)
    if kinds == {int, float}:
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    if bytes in kinds:
        raise ValueError("a column holds bytes and others")
    return pa.array([_text(value) for value in values], pa.string())


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value) if isinstance(value, dict | list) else str(value)
