"""The database that is restored into: one transaction, bulk inserts; each kind of database has its own fast way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

import pyarrow as pa

from mlflow_archive.errors import TargetError

BULK = ("metrics", "latest_metrics", "params", "tags", "spans")
"""Tables of many rows: their indexes are made after them, where they were empty."""


class CommitUncertainError(TargetError):
    """The database did not answer to COMMIT: it may have taken the transaction, or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetColumn:
    """A column of the target. ``kind`` is integer, bigint, text, real, boolean or binary; ``length`` in characters.

    ``most_bytes`` is what MySQL's TEXT holds.
    """

    name: str
    kind: str
    nullable: bool
    length: int | None = None
    most_bytes: int | None = None


TargetSchema = Mapping[str, Mapping[str, TargetColumn]]
"""Table, then column."""


class RestoreDatabase(Protocol):
    """A database to restore into. All methods raise TargetError; used by one thread at a time."""

    dialect: str
    address: str
    """Its URI without user and password, for messages."""

    @property
    def schema(self) -> TargetSchema:
        """The tables, once ``open`` was called."""

    @property
    def others(self) -> TargetSchema:
        """The tables that no archive table is stored in, once ``open`` was called."""

    @property
    def fresh(self) -> bool:
        """Whether it holds nothing but what MLflow itself puts into a new database."""

    def open(self) -> None:
        """Connect; make MLflow's schema where there is no table. Raises ServerError if it cannot be reached."""

    def rows(self, table: str, columns: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
        """Yield some columns of all rows of a table."""

    def begin(self) -> None:
        """Begin the transaction; make bulk inserts fast where that leaves no trace."""

    def run(self, statement: str, values: tuple[Any, ...] = ()) -> None:
        """Run one statement with ``?`` for values."""

    def prepared(self, rows: pa.Table) -> Any:
        """Return rows in the form that ``insert`` takes; may be called by several threads, also during an insert."""

    def insert(self, table: str, prepared: Any) -> None:
        """Add rows whose columns are of the table, integers as int64."""

    def insert_new(self, table: str, prepared: Any) -> int:
        """Add the rows whose keys are new, more slowly; return how many. No row breaks another rule."""

    def commit(self) -> None:
        """Finish what ``begin`` began; from here on everything is in the database."""

    def rollback(self) -> None:
        """Leave the database as it was before ``open``; a second call does nothing."""


def holds_nothing(database: RestoreDatabase) -> bool:
    """Return whether a database has no row but the untouched default experiment and the default workspace."""
    for name in database.schema:
        if name not in ("experiments", "workspaces", "latest_metrics"):
            column = next(iter(database.schema[name]))
            if next(database.rows(name, (column,)), None) is not None:
                return False
    experiments = list(islice(database.rows("experiments", ("experiment_id", "name")), 2))
    workspaces = list(islice(database.rows("workspaces", ("name",)), 2))
    return experiments in ([], [(0, "Default")]) and workspaces in ([], [("default",)])
