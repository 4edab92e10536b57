"""One consistent view of a database, read by several threads."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

import pyarrow as pa
from sqlalchemy import ColumnClause, ColumnElement, Select, TableClause, TextClause, column, literal_column

from mlflow_archive.errors import StoreError

_PLAIN: Final = re.compile(r"[0-9A-Za-z_\n-]+").fullmatch

Values: TypeAlias = "pa.ChunkedArray | list[Any]"
"""A column as the driver gave it: Arrow, or Python objects of any type where a database holds any."""

Batch: TypeAlias = dict[str, Values]
"""Some rows by column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """Tables with their columns, those columns that begin an index, and the tables that one may not read.

    ``required`` are columns that hold no NULL, as far as that is known.
    """

    columns: Mapping[str, frozenset[str]]
    indexed: Mapping[str, frozenset[str]]
    unreadable: frozenset[str] = frozenset()
    required: Mapping[str, frozenset[str]] = field(default_factory=dict)


Query: TypeAlias = Select[Any] | TextClause


class Snapshot(Protocol):
    """A database as it was when this was made; whatever is written later is not seen."""

    @property
    def schema(self) -> Schema:
        """The tables of the database, with their columns."""

    def fetch(self, statement: Query, *, wide: bool = False) -> Iterator[Batch]:
        """Yield the rows of a query in batches; from any thread, several at a time. Raises StoreError.

        ``wide`` rows may be large: few come at a time.
        """

    def fetch_fast(self, statement: Query) -> Iterator[Batch]:
        """As ``fetch``, by the driver's fastest way; raise UnevenColumnError where that may not be exact."""

    @property
    def joins_lists(self) -> bool:
        """Whether rows that belong to a list of ids are found as soon by a join with the list as by a condition."""

    @property
    def has_moment(self) -> bool:
        """Whether another process can open this very moment, while this one is open."""

    def share(self, folder: Path | None = None) -> str | None:
        """Return by what another process opens it; where that is a file it lies in ``folder``, if given."""

    def close(self) -> None:
        """Release it; a second call does nothing."""


def column_of(source: TableClause, name: str) -> ColumnClause[Any]:
    """Return a column of a table, which need not know it yet."""
    if name not in source.c:
        source.append_column(column(name))
    return source.c[name]


def among(source: ColumnClause[Any], values: Sequence[Any]) -> ColumnElement[bool]:
    """Return the condition that a column has one of some values.

    Ids of letters and digits are written into the statement at once: as values of it each costs more than its row.
    """
    if is_plain(values):
        return source.op("IN", is_comparison=True)(literal_column("('" + "', '".join(values) + "')"))
    return source.in_(list(values))


def is_plain(values: Sequence[Any]) -> bool:
    """Return whether these are ids of letters and digits."""
    return bool(values and isinstance(values[0], str) and _PLAIN("\n".join(values)))


def without_first(rows: int, batches: Iterator[Batch], last: Mapping[str, Any] | None = None) -> Iterator[Batch]:
    """Yield batches without their first rows: a snapshot gives the rows of one query in one order.

    ``last`` is the last of these rows, as another driver gave it. Raises StoreError where another row stands there:
    what would be left out is not what came.
    """
    for batch in batches:
        length = len(next(iter(batch.values())))
        if last is not None and 0 < rows <= length:
            _check_same(last, row_of(batch, rows - 1))
        if rows >= length:
            rows -= length
            continue
        yield {name: values[rows:] for name, values in batch.items()} if rows else batch
        rows = 0


def row_of(batch: Batch, position: int) -> dict[str, Any]:
    """Return a row of a batch as Python objects."""
    row = {name: values[position] for name, values in batch.items()}
    return {name: value.as_py() if isinstance(value, pa.Scalar) else value for name, value in row.items()}


def _check_same(row: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    """Compare texts and whole numbers; of other types two drivers may give one value in two ways."""
    for name, value in row.items():
        found = other[name]
        if type(value) is type(found) and isinstance(value, str | int) and value != found:
            message = f"two drivers give the rows of a query in two orders: {name} is {found!r}, expected {value!r}"
            raise StoreError(f"{message}; please report it with the version of the database")


class UnevenColumnError(Exception):
    """A column holds values of different types, which the fast way cannot carry."""


def check_is_mlflow(schema: Schema, uri: str) -> None:
    """Raise StoreError if these are not the tables of an MLflow backend."""
    if not {"experiments", "runs"} <= set(schema.columns):
        tables = ", ".join(sorted(schema.columns)[:5]) or "no table"
        raise StoreError(
            f"{uri} is not the backend database of MLflow: no tables experiments and runs; it has {tables}"
        )
