"""The Catalog of a database: ids, parents and links, read column by column."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import pyarrow as pa

from mlflow_archive.kinds import EXPERIMENT, TABLES
from mlflow_archive.mlflow_database.mapping import MAPS
from mlflow_archive.selecting.catalog import Where, dependencies_in, related_in, rows_of
from mlflow_archive.selecting.chosen_versions import ChosenVersions
from mlflow_archive.selecting.model_versions import ModelDependencies
from mlflow_archive.sources.database.columns import Columns


class DatabaseCatalog:
    """The Catalog of a database; ``place`` is what messages call it. Rows come by id, unless some are asked for."""

    def __init__(self, columns: Columns, place: str) -> None:
        self._columns = columns
        self.place: object = place

    def rows(self, table: str, columns: Sequence[str], where: Where | None = None) -> Iterator[pa.Table]:
        table_map = MAPS[table]
        if not self._columns.has(table_map.stored_in):
            return
        fields = [table_map.fields[column] for column in columns]
        condition = None if where is None else (table_map.fields[where[0]], _stored(table, *where))
        order = table_map.fields[TABLES[table].key[0]] if where is None else None
        for values in self._columns.batches(
            table_map.stored_in, fields, order_by=order, where=condition, equal=table_map.where
        ):
            defaults = [table_map.defaults.get(column) for column in columns]
            filled = (
                [default if value is None else value for value in column]
                for column, default in zip(values, defaults, strict=True)
            )
            yield rows_of(table, dict(zip(columns, filled, strict=True)))

    def dependencies(self, names: Sequence[str], versions: ChosenVersions) -> ModelDependencies:
        return dependencies_in(self, names, versions)

    def related(self, runs: Collection[str], *, children: bool) -> Collection[str]:
        return related_in(self, runs, children=children)

    def unreadable(self, kind: str, ids: Collection[str]) -> Collection[str]:
        return ()


def _stored(table: str, column: str, values: Collection[str]) -> Collection[str | int]:
    """Return values as the database has them: the ids of experiments are numbers in their own table."""
    numbers = TABLES[table].entity == EXPERIMENT and column == "experiment_id"
    return [int(value) for value in values] if numbers else values
