"""What a database holds that this program does not know: a later MLflow, or somebody else, added it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from sqlalchemy import func, select, table

from mlflow_archive.errors import StoreError
from mlflow_archive.flow.chunk import Gap
from mlflow_archive.format.gaps import SOURCE, UNKNOWN_FIELD, UNKNOWN_ROWS
from mlflow_archive.mlflow_database.known_schema import KNOWN_COLUMNS, REVISIONS, is_known_table
from mlflow_archive.mlflow_database.mapping import MAPS
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.database.columns import plain_values
from mlflow_archive.sources.database.snapshot import Snapshot, column_of

_INTERNAL = "sqlite_"
"""How the names of tables begin that SQLite keeps for itself."""


def is_newer(revision: str | None) -> bool | None:
    """Return True for a revision of the schema that is not among those known, else None."""
    return True if revision is not None and not REVISIONS.issuperset(revision.split(",")) else None


def unknown_contents(
    snapshot: Snapshot,
    selection: Selection,
    revision: str | None,
    tell: Callable[[str], None],
    carried: Collection[str] = (),
) -> Iterator[Gap]:
    """Yield a gap for each unknown table with rows, and for each unknown column of a known one with values.

    With kinds selected only columns of their tables count: an unknown table is of none of them. Where the revision of
    the schema is a known one, no MLflow made an unknown table: another program did, and ``tell`` gets a sentence.
    Tables that are ``carried`` as they are give no gap.
    """
    gaps = [gap for gap in _unknown(snapshot, selection) if gap.code != UNKNOWN_ROWS or gap.owner_id not in carried]
    foreign = [gap.owner_id for gap in gaps if gap.code == UNKNOWN_ROWS] if _is_known(revision) else []
    if foreign:
        tell(f"not MLflow's, and left out: {len(foreign)} tables of another program ({', '.join(foreign)})")
    yield from (gap for gap in gaps if gap.owner_id not in foreign)


def unknown_tables(snapshot: Snapshot) -> list[str]:
    """Return the tables that this version does not know and that have rows, sorted."""
    return [gap.owner_id for gap in _unknown(snapshot, Selection()) if gap.code == UNKNOWN_ROWS]


def _is_known(revision: str | None) -> bool:
    return revision is not None and is_newer(revision) is None


def _unknown(snapshot: Snapshot, selection: Selection) -> Iterator[Gap]:
    columns = snapshot.schema.columns
    wanted_tables = {table_map.stored_in for table_map in MAPS.values() if selection.wants_kind(table_map.kind)}
    for name in sorted(columns if not selection.kinds else wanted_tables & columns.keys()):
        if name in KNOWN_COLUMNS:
            yield from _unknown_columns(snapshot, name, sorted(columns[name] - KNOWN_COLUMNS[name]))
        elif not is_known_table(name, frozenset(columns)) and not name.startswith(_INTERNAL):
            yield from _unknown_table(snapshot, name)


def _unknown_table(snapshot: Snapshot, name: str) -> Iterator[Gap]:
    reason = "this version knows no such table, and may not read it"
    if name not in snapshot.schema.unreadable:
        try:
            rows = _counts(snapshot, name, ())[0]
        except StoreError as error:
            reason = f"this version knows no such table, and its rows could not be counted: {error}"
        else:
            if not rows:
                return
            reason = f"this version knows no such table; this export met {rows} rows"
    yield Gap(owner_kind=SOURCE, owner_id=name, path="", code=UNKNOWN_ROWS, reason=reason)


def _unknown_columns(snapshot: Snapshot, name: str, columns: Sequence[str]) -> Iterator[Gap]:
    if not columns:
        return
    for column, values in zip(columns, _counts(snapshot, name, columns)[1:], strict=True):
        if values:
            reason = f"this version knows no such column; this export met a value in {values} rows of {name}"
            yield Gap(owner_kind=SOURCE, owner_id=name, path=column, code=UNKNOWN_FIELD, reason=reason)


def _counts(snapshot: Snapshot, name: str, columns: Sequence[str]) -> list[int]:
    """Return the number of rows, and of those with a value in each column."""
    own = table(name)
    numbers: list[Any] = [func.count().label("rows")]
    numbers += [func.count(column_of(own, column)).label(f"n{at}") for at, column in enumerate(columns)]
    [batch] = snapshot.fetch(select(*numbers).select_from(own))
    return [int(plain_values(values)[0]) for values in batch.values()]
