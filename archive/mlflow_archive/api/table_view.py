"""One table of an archive as a lazy thing: columns and filters are pushed down to row groups before anything is read.

Like a pyarrow Dataset, but of each entity only the rows of its newest export come out, and every page is checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from mlflow_archive.api.answer import arrow_html
from mlflow_archive.api.objects import Run, StoredObject
from mlflow_archive.api.registry import stored_object
from mlflow_archive.format.notebook import MOST_ROWS
from mlflow_archive.kinds import IDENTITIES, RUN, TABLES
from mlflow_archive.optional import needing
from mlflow_archive.reader.archive import Archive
from mlflow_archive.reader.inspection.details import find_run
from mlflow_archive.reader.inspection.objects import find_object
from mlflow_archive.selecting.selection import refuse_text

if TYPE_CHECKING:
    import pandas as pd


class TableView:
    """The rows of a table. ``filter`` arguments are pyarrow expressions: ``pc.field("status") == "FAILED"``."""

    def __init__(self, archive: Archive, name: str) -> None:
        self._archive = archive
        self.name = name

    @property
    def schema(self) -> pa.Schema:
        """Columns and their types (spec/tables.md)."""
        return TABLES[self.name].schema

    def to_batches(
        self,
        columns: Sequence[str] | None = None,
        filter: pa.compute.Expression | None = None,  # noqa: A002 - pyarrow's word
    ) -> Iterator[pa.Table]:
        """Yield rows, a row group at a time, sorted within each part.

        Row groups whose statistics exclude the filter are not read. Raises KeyError for a column that does not exist,
        DamagedError at a row group that is damaged.
        """
        names = self._names(columns)
        if filter is None:
            yield from self._archive.batches(self.name, columns=names)
            return
        for rows in self._archive.batches_where(self.name, filter):
            matches = rows.filter(filter)
            if matches.num_rows:
                yield matches if names is None else matches.select(names)

    def to_table(
        self,
        columns: Sequence[str] | None = None,
        filter: pa.compute.Expression | None = None,  # noqa: A002
    ) -> pa.Table:
        """Read rows into memory; see :meth:`to_batches`."""
        batches = list(self.to_batches(columns, filter))
        if batches:
            return pa.concat_tables(batches)
        empty = self.schema.empty_table()
        names = self._names(columns)
        return empty if names is None else empty.select(names)

    def to_pandas(
        self,
        columns: Sequence[str] | None = None,
        filter: pa.compute.Expression | None = None,  # noqa: A002
    ) -> pd.DataFrame:
        """Read rows as a pandas data frame; times have the dtype ``datetime64[ms, UTC]``."""
        with needing("pandas", "a data frame"):
            return self.to_table(columns, filter).to_pandas()

    def count_rows(self, filter: pa.compute.Expression | None = None) -> int:  # noqa: A002
        """Return how many rows there are."""
        if filter is None:
            return sum(rows.num_rows for rows in self._archive.batches(self.name, columns=[self.schema.names[0]]))
        return sum(rows.num_rows for rows in self.to_batches(filter=filter))

    def head(self, rows: int = 5) -> pa.Table:
        """Return the first rows."""
        batches: list[pa.Table] = []
        for batch in self.to_batches():
            batches.append(batch.slice(0, rows - sum(earlier.num_rows for earlier in batches)))
            if sum(batch.num_rows for batch in batches) >= rows:
                break
        return pa.concat_tables(batches) if batches else self.schema.empty_table()

    def _names(self, columns: Sequence[str] | None) -> list[str] | None:
        if columns is None:
            return None
        refuse_text("columns", columns)
        if unknown := [name for name in columns if name not in self.schema.names]:
            raise KeyError(f"{self.name} has no column {unknown[0]!r}; there are {', '.join(self.schema.names)}")
        return list(columns)

    def __getitem__(self, name: str) -> Run | StoredObject:
        """Return the object of a row by its id, the start of it, or its name: ``a.traces["tr-4b1f"]``.

        Raises SelectionError for none, or several; TypeError for a table whose rows are no objects of their own.
        """
        kind = next((kind for kind, table in IDENTITIES.items() if table.name == self.name), None)
        if kind is None:
            raise TypeError(f"the rows of {self.name} have no names; to_table(), to_pandas() and head() have them")
        if kind == RUN:
            return Run(self._archive, find_run(self._archive, name))
        return stored_object(self._archive, *find_object(self._archive, name, kind))

    __iter__ = None  # else Python would ask for the objects 0, 1, 2, …

    def __len__(self) -> int:
        return self.count_rows()

    def __repr__(self) -> str:
        return f"<table {self.name} of {self._archive.path}: {', '.join(self.schema.names)}>"

    def _repr_html_(self) -> str:
        return arrow_html(self.name, self.head(MOST_ROWS), self.count_rows())
