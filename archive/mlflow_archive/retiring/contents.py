"""What objects hold, as sums of digests over their rows by table: equal sums are equal rows, in whatever order.

Memory is a number for each table of each object, however many rows there are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final

import pyarrow as pa

from mlflow_archive.kinds import BY_ROW, TABLES, Table

_MODULUS: Final = 1 << 256

Sums = Mapping[str, tuple[int, int]]
"""By table: the number of rows, and the sum of their digests."""

ALIKE: Final[Mapping[str, frozenset[str]]] = {
    "runs": frozenset({"lifecycle_stage", "deleted_time"}),
    "logged_models": frozenset({"lifecycle_stage", "last_updated_timestamp"}),
}
"""Columns that a soft delete changes: what differs in them alone is alike."""

_OF_NO_CONTENT: Final = ("fingerprints", "gaps")


def tables_of(kind: str) -> list[Table]:
    """Return the tables whose rows objects of a kind own, but for those that say how they were read."""
    return [table for table in TABLES.values() if table.entity in (kind, BY_ROW) and table.name not in _OF_NO_CONTENT]


class RowSums:
    """The sums of objects of one kind, by id. ``hidden`` are columns (``table.column``) that do not count."""

    def __init__(self, kind: str, hidden: Collection[str] = ()) -> None:
        self._columns = {
            table.name: [
                name
                for name in table.column_names
                if f"{table.name}.{name}" not in hidden and name not in ALIKE.get(table.name, ())
            ]
            for table in tables_of(kind)
        }
        self._sums: dict[str, dict[str, tuple[int, int]]] = {}

    def add(self, name: str, rows: pa.Table) -> None:
        """Add rows of a table; those of tables that do not count are passed over."""
        if name in self._columns:
            columns = self._columns[name]
            owners = rows[TABLES[name].owner[0]].to_pylist()
            self._add(name, zip(owners, zip(*(_plain(rows[column]) for column in columns), strict=True), strict=True))

    def add_file(self, owner_kind: str, owner_id: str, path: str, size: int, digest: str) -> None:
        """Add an artifact that was read."""
        row = {"owner_kind": owner_kind, "owner_id": owner_id, "path": path, "size": size, "digest": digest}
        self._add("artifacts", [(owner_id, tuple(row[name] for name in self._columns["artifacts"]))])

    def of(self, owner_id: str) -> Sums:
        """Return the sums of an object."""
        return self._sums.get(owner_id, {})

    def _add(self, name: str, rows: Iterable[tuple[str, tuple[Any, ...]]]) -> None:
        for owner_id, row in rows:
            sums = self._sums.setdefault(owner_id, {})
            number, total = sums.get(name, (0, 0))
            digest = hashlib.sha256(repr(row).encode("utf-8")).digest()
            sums[name] = (number + 1, (total + int.from_bytes(digest, "big")) % _MODULUS)


def different(before: Sums, after: Sums) -> list[str]:
    """Return the tables in which two objects differ.

    >>> different({"tags": (1, 5)}, {"tags": (1, 5), "params": (1, 7)})
    ['params']
    """
    return [name for name in TABLES if before.get(name) != after.get(name)]


def _plain(column: pa.ChunkedArray) -> Iterator[Any]:
    """Yield values whose ``repr`` is one text for one value; times are milliseconds."""
    kind = column.type
    yield from (column.cast(pa.int64()) if pa.types.is_timestamp(kind) else column).to_pylist()
