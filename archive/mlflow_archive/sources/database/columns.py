"""Some columns of some rows of a database: what planning needs, without whole archive tables."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import select, table

from mlflow_archive.sources.database.snapshot import Snapshot, column_of

_ASKED_AT_ONCE: Final = 500


class Columns:
    """Reads columns of a snapshot; from any thread."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def has(self, name: str) -> bool:
        """Return whether this revision of the schema has a table."""
        return name in self._snapshot.schema.columns

    def rows(
        self, name: str, columns: Sequence[str], *, where: tuple[str, Collection[Any]] | None = None
    ) -> Iterator[tuple[Any, ...]]:
        """Yield some columns of a table row by row; see :meth:`batches`."""
        for values in self.batches(name, columns, where=where):
            yield from zip(*values, strict=True)

    def batches(
        self,
        name: str,
        columns: Sequence[str],
        *,
        order_by: str | None = None,
        where: tuple[str, Collection[Any]] | None = None,
        equal: Mapping[str, Any] = MappingProxyType({}),
    ) -> Iterator[list[list[Any]]]:
        """Yield some columns of a table, some rows at a time; a column that this revision lacks is None.

        ``where`` names a column and values, one of which it must have; with it, the order is that of the database.
        ``equal`` are values of columns that all rows have.
        """
        own = table(name)
        stored = [column for column in columns if column in self._snapshot.schema.columns[name]]
        query = select(*(column_of(own, column).label(column) for column in dict.fromkeys(stored))).select_from(own)
        for column, value in equal.items():
            query = query.where(column_of(own, column) == value)
        if where is not None:
            queries = [query.where(column_of(own, where[0]).in_(part)) for part in slices(sorted(where[1]))]
        else:
            queries = [query if order_by is None else query.order_by(column_of(own, order_by))]
        for each_query in queries:
            for batch in self._snapshot.fetch(each_query):
                length = len(next(iter(batch.values())))
                yield [plain_values(batch[column]) if column in batch else [None] * length for column in columns]


def slices(values: Sequence[Any], size: int = _ASKED_AT_ONCE) -> Iterator[Sequence[Any]]:
    """Cut ids into pieces that one query names."""
    for at in range(0, len(values), size):
        yield values[at : at + size]


def plain_values(values: Any) -> list[Any]:
    """Return a column of either form as Python objects."""
    return values if isinstance(values, list) else values.to_pylist()
