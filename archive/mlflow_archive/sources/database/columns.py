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
        """Return whether this revision of the schema has a table."""
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

        ``where`` names a column and values, one of which it must have; with it, the order is that of the database.
        """
        own = table(name)
        stored = [column for column in columns if column in self._snapshot.schema.columns[name]]
        query = select(*(column_of(own, column).label(column) for column in stored)).select_from(own)
        if where is not None:
            queries = [query.where(column_of(own, where[0]).in_(part)) for part in slices(sorted(where[1]))]
        else:
            queries = [query if order_by is None else query.order_by(column_of(own, order_by))]
        for each_query in queries:
            for batch in self._snapshot.fetch(each_query):
                length = len(next(iter(batch.values())))
                values = [plain_values(batch[column]) if column in batch else [None] * length for column in columns]
                yield from zip(*values, strict=True)

    def linked(self, name: str, column: str, by: str, among: Collection[str]) -> set[str]:
        """Return the values of a column of an archive table whose column ``by`` is one of ``among``."""
        return {value for value, _ in self.links(name, column, by, among)}

    def links(self, name: str, column: str, by: str, among: Collection[str]) -> set[tuple[str, str]]:
        """Return the pairs of a column that is not null and of the column ``by``, where this is one of ``among``."""
        table_map = MAPS[name]
        if not self.has(table_map.stored_in):
            return set()
        pairs: set[tuple[str, str]] = set()
        own = table(table_map.stored_in)
        fields = {"id": column_of(own, table_map.fields[column]), "by": column_of(own, table_map.fields[by])}
        for part in slices(sorted(among)):
            query = select(*(field.label(label) for label, field in fields.items())).select_from(own)
            query = query.where(fields["by"].in_(part))
            for place, value in table_map.where.items():
                query = query.where(column_of(own, place) == value)
            for batch in self._snapshot.fetch(query):
                values = zip(plain_values(batch["id"]), plain_values(batch["by"]), strict=True)
                pairs.update((str(value), str(owner)) for value, owner in values if value is not None)
        return pairs


def slices(values: Sequence[Any], size: int = _ASKED_AT_ONCE) -> Iterator[Sequence[Any]]:
    """Cut ids into pieces that one query names."""
    for at in range(0, len(values), size):
        yield values[at : at + size]


def plain_values(values: Any) -> list[Any]:
    """Return a column of either form as Python objects."""
    return values if isinstance(values, list) else values.to_pylist()
