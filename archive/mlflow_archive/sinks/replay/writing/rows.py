"""From the Arrow tables of a chunk to plain rows. Times are ms since the epoch, UTC."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from mlflow_archive.errors import ItemError
from mlflow_archive.flow.chunk import Chunk
from mlflow_archive.format.json_text import parse_json

Row = Mapping[str, Any]
_SHOWN = 200


def rows_of(chunk: Chunk, name: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table of the chunk as dicts."""
    table = chunk.tables.get(name)
    if table is None or not table.num_rows:
        return
    columns = [values_of(column) for column in table.columns]
    for values in zip(*columns, strict=True):
        yield dict(zip(table.column_names, values, strict=True))


def json_of(row: Row, column: str, parse_constant: Callable[[str], Any] | None = None) -> Any:
    """Return a column that holds JSON decoded, None for null. Raises ItemError where the text is not JSON.

    ``parse_constant`` is called for NaN and infinities, which are not JSON but which Python reads.
    """
    text = row[column]
    if text is None:
        return None
    try:
        return parse_json(text, parse_constant)
    except ValueError as exc:
        raise ItemError(f"its {column} is not JSON: {text[:_SHOWN]!r}") from exc


def values_of(column: pa.ChunkedArray) -> Sequence[Any]:
    """Return the values of a column, times as numbers."""
    values: list[Any] = (column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column).to_pylist()
    return values
