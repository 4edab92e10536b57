"""What a target holds already: the ids of its objects, in a few bytes each, as there may be millions."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from mlflow_archive.kinds import TABLES, is_identity, owner_id
from mlflow_archive.mlflow_database.mapping import MAPS
from mlflow_archive.reader.archive import owner_ids
from mlflow_archive.sinks.restore.database import RestoreDatabase

_AT_ONCE: Final = 50_000


class TextsById:
    """Texts by id, such as where objects lie, in sorted arrays. Read by several threads."""

    def __init__(self, pairs: Iterable[tuple[str, str | None]] = ()) -> None:
        rows = pa.concat_tables([_EMPTY, *_tables(iter(pairs))]).sort_by("id")
        self._ids, self._values = (_array(rows[name]) for name in ("id", "value"))

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, owner: object) -> bool:
        return isinstance(owner, str) and self._place(owner) is not None

    def get(self, owner: str) -> str | None:
        """Return the text of an id, None where there is none."""
        at = self._place(owner)
        return None if at is None else self._values[at].as_py()

    def _place(self, owner: str) -> int | None:
        at = bisect_left(self._ids, owner, key=lambda value: value.as_py())
        return at if at < len(self._ids) and self._ids[at].as_py() == owner else None


Existing = Mapping[str, TextsById]
"""By kind, the owner ids of the entities that the target holds."""


def existing_ids(database: RestoreDatabase) -> dict[str, TextsById]:
    """Return by kind the ids that a database holds, in the form of ``owner_ids``."""
    existing = {}
    for name, table in TABLES.items():
        stored = MAPS.get(name)
        if table.entity and is_identity(table) and stored is not None and stored.stored_in in database.schema:
            columns = tuple(stored.fields[part] for part in table.owner)
            rows = database.rows(stored.stored_in, columns)
            named = (dict(zip(table.owner, row, strict=True)) for row in rows)
            existing[table.entity] = TextsById((owner_id(table, row), None) for row in named)
    return existing


def without_existing(rows: pa.Table, name: str, existing: Existing) -> pa.Table:
    """Leave out the rows of entities that the target holds."""
    table = TABLES[name]
    ids = existing.get(table.entity or "")
    if not ids or not rows.num_rows:
        return rows
    owners = owner_ids(rows, table)
    skipped = [owner for owner in pc.unique(owners).to_pylist() if owner in ids]
    return rows.filter(pc.invert(pc.is_in(owners, value_set=pa.array(skipped, pa.string())))) if skipped else rows


def _array(values: pa.ChunkedArray) -> pa.StringArray:
    return pa.concat_arrays([pa.array([], pa.string()), *values.chunks])


def _tables(pairs: Iterator[tuple[str, str | None]]) -> Iterator[pa.Table]:
    while batch := list(islice(pairs, _AT_ONCE)):
        yield pa.table([pa.array(column, pa.string()) for column in zip(*batch, strict=True)], schema=_EMPTY.schema)


_EMPTY: Final = pa.schema([("id", pa.string()), ("value", pa.string())]).empty_table()
NOTHING: Final = TextsById()
