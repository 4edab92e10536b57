"""Rows of an archive as plain values for people and JSON: times as :class:`Moment`, the rest as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import pyarrow as pa

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Moment(int):
    """A time in milliseconds since the epoch that knows how to be written; any integer is allowed."""

    def iso(self) -> str:
        """Return ISO 8601 in UTC with milliseconds, or ``N ms`` for a time beyond the years 1 to 9999.

        >>> Moment(1655007278844).iso()
        '2022-06-12T04:14:38.844Z'
        """
        text = self._text("T", "milliseconds")
        return text if text.endswith("ms") else text + "Z"

    def plain(self) -> str:
        """Return the time for a person: ``2022-06-12 04:14:38``, UTC."""
        return self._text(" ", "seconds")

    def _text(self, separator: str, unit: str) -> str:
        try:
            return (_EPOCH + timedelta(milliseconds=self)).replace(tzinfo=None).isoformat(separator, unit)
        except OverflowError:  # a time outside of the years 1 to 9999, which MLflow does not refuse
            return f"{int(self)} ms"

    def date(self) -> datetime | Self:
        """Return the time as a ``datetime`` in UTC; one beyond the years 1 to 9999 stays as it is."""
        try:
            return _EPOCH + timedelta(milliseconds=self)
        except OverflowError:
            return self

    @classmethod
    def of(cls, value: int | None) -> Self | None:
        """Return a value as a Moment, None as None."""
        return None if value is None else cls(value)


def worded(value: Any) -> Any:
    """Return a value with a text for each Moment in it, as :meth:`Moment.plain` gives it.

    >>> worded({"start_time": Moment(1655007278844), "steps": [1]})
    {'start_time': '2022-06-12 04:14:38', 'steps': [1]}
    """
    return _with_moments(value, Moment.plain)


def dated(value: Any) -> Any:
    """Return a value with a ``datetime`` for each Moment in it, as :meth:`Moment.date` gives it.

    >>> dated({"start_time": Moment(1655007278844), "metrics": [0.5]})
    {'start_time': datetime.datetime(2022, 6, 12, 4, 14, 38, 844000, tzinfo=datetime.timezone.utc), 'metrics': [0.5]}
    """
    return _with_moments(value, Moment.date)


def _with_moments(value: Any, turn: Callable[[Moment], Any]) -> Any:
    if isinstance(value, Moment):
        return turn(value)
    if isinstance(value, Mapping):
        return {name: _with_moments(inner, turn) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_with_moments(inner, turn) for inner in value]
    return value


def plain_rows(table: pa.Table) -> list[dict[str, Any]]:
    """Return the rows of a table as dicts, times as Moment."""
    columns = [plain_values(column) for column in table.columns]
    return [dict(zip(table.column_names, values, strict=True)) for values in zip(*columns, strict=True)]


def plain_values(column: pa.ChunkedArray) -> list[Any]:
    """Return the values of a column, times as Moment."""
    if pa.types.is_timestamp(column.type):
        return [Moment.of(value) for value in column.cast(pa.int64()).to_pylist()]
    values: list[Any] = column.to_pylist()
    return values


def in_milliseconds(rows: pa.Table) -> pa.Table:
    """Return rows with all times in the unit of the archive; DuckDB computes with microseconds."""
    for index, field in enumerate(rows.schema):
        if pa.types.is_timestamp(field.type):
            values = rows[field.name].cast(pa.timestamp("ms", field.type.tz), safe=False)
            rows = rows.set_column(index, field.name, values)
    return rows
