"""Some columns of some rows of a database: what planning needs, without whole archive tables."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

from sqlalchemy import select, table

from mlflow_archive.mlflow_database.mapping import MAPS
from mlflow_archive.sources.database.snapshot import Snapshot, column_of

_ASKED_AT_ONCE: Final = 500


class Columns:
    """Reads columns of a snapshot; from any thread."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def has(self, name: str) -> bool:
        """Say whether this revision of the schema has a table."""
        return name in self._snapshot.schema.columns

    def rows(
        self,
        name: str,
        columns: Sequence[str],
        *,
        order_by: str | None = None,
        where: tuple[str, Collection[Any]] | None = None,
    ) -> Iterator[tuple[Any, ...]]:
        """Yield some columns of a table; a column that this revision lacks is None.

        ``where`` is a column and the values of which it has one; with it, the order is that of the database.
        """
        own = table(name)
        there = [each for each in columns if each in self._snapshot.schema.columns[name]]
        query = select(*(column_of(own, each).label(each) for each in there)).select_from(own)
        if where is not None:
            queries = [query.where(column_of(own, where[0]).in_(some)) for some in slices(sorted(where[1]))]
        else:
            queries = [query if order_by is None else query.order_by(column_of(own, order_by))]
        for each_query in queries:
            for batch in self._snapshot.fetch(each_query):
                length = len(next(iter(batch.values())))
                values = [plain_values(batch[each]) if each in batch else [None] * length for each in columns]
                yield from zip(*values, strict=True)

    def linked(self, name: str, wanted: str, by: str, among: Collection[str]) -> set[str]:
        """Return the values of a column of an archive table whose column ``by`` is one of ``among``."""
        each = MAPS[name]
        if not self.has(each.stored_in):
            return set()
        found: set[str] = set()
        own = table(each.stored_in)
        for some in slices(sorted(among)):
            query = select(column_of(own, each.fields[wanted]).label("id")).select_from(own)
            query = query.where(column_of(own, each.fields[by]).in_(some))
            for place, value in each.where.items():
                query = query.where(column_of(own, place) == value)
            for batch in self._snapshot.fetch(query):
                found.update(str(value) for value in plain_values(batch["id"]) if value is not None)
        return found


def slices(values: Sequence[Any], size: int = _ASKED_AT_ONCE) -> Iterator[Sequence[Any]]:
    """Cut ids into what is asked for at once."""
    for at in range(0, len(values), size):
        yield values[at : at + size]


def plain_values(values: Any) -> list[Any]:
    """Return a column of either form as Python objects."""
    return values if isinstance(values, list) else values.to_pylist()
