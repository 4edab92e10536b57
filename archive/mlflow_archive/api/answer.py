"""The answer of a SQL query: an Arrow table that shows itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mlflow_archive.format.notebook import MOST_ROWS, counted, table_html
from mlflow_archive.optional import needing
from mlflow_archive.reader.inspection.rows import in_milliseconds, plain_values, worded

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Answer:
    """What a query gave. Whatever takes Arrow takes it: ``pyarrow.table(answer)``, ``polars.DataFrame(answer)``."""

    table: pa.Table

    def to_pylist(self) -> list[dict[str, Any]]:
        """Return the rows as dicts, times as ``datetime``."""
        rows: list[dict[str, Any]] = self.table.to_pylist()
        return rows

    def to_pandas(self) -> pd.DataFrame:
        """Return the rows as a pandas data frame."""
        with needing("pandas", "a data frame"):
            return self.table.to_pandas()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __repr__(self) -> str:
        return f"<answer of {len(self):,} rows: {', '.join(self.table.column_names)}>"

    def _repr_html_(self) -> str:
        return arrow_html("answer", self.table)


def arrow_html(title: str, table: pa.Table, total: int | None = None) -> str:
    """Return the first rows of a table under a heading that says how many there are, ``total`` if not only these."""
    columns = [worded(plain_values(column)) for column in in_milliseconds(table.slice(0, MOST_ROWS)).columns]
    title = counted(title, table.num_rows if total is None else total)
    return table_html(title, table.column_names, zip(*columns, strict=True))
