"""How the map between archive and database is written down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Constant = str | int | float | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """An inner join to the row of ``table`` in which each column of ``on`` (joined column: own column) is equal.

    The own column may be ``othertable.column`` of an earlier join.
    """

    table: str
    on: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableMap:
    """Where the rows of the archive table ``table`` lie: in ``stored_in``, one database row each.

    A row is restored by inverting this: joined columns are looked up in the rows they come from.

    ``kind`` is the entity the rows belong to, and ``owner`` the column of ``stored_in`` with the owner's id, which
    is ``root_id`` of ``root`` (see ROOTS). ``fields`` maps archive columns to columns of ``stored_in``, or to
    ``table.column`` of a join; archive columns that are absent have no place in a database (null when read).
    ``where`` holds the values that tell these rows from others in ``stored_in``, and that a restored row gets.
    ``defaults`` are values for rows of schema revisions that lack a column, and for columns a restore has no value
    for. ``nan_flag`` names the boolean column that makes ``value`` NaN (MLflow stores 0 there).
    ``codes`` names the numbers of a column (database column: number to text); a number without a name is its decimal
    text. ``not_carried`` lists columns of the newest schema that are deliberately left out, with the reason.
    ``blanked`` gives values for columns that are never archived and that a restored row must have all the same.
    """

    table: str
    stored_in: str
    kind: str
    owner: str
    fields: Mapping[str, str]
    joins: tuple[Join, ...] = ()
    where: Mapping[str, Constant] = field(default_factory=dict)
    defaults: Mapping[str, Constant] = field(default_factory=dict)
    nan_flag: str | None = None
    codes: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    blanked: Mapping[str, Constant | bytes] = field(default_factory=dict)
    not_carried: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """The table whose rows are the entities of a kind; a row elsewhere whose owner is not in it is an orphan.

    ``root_id`` is the column that names the entity (one of two, where it is named within a workspace); ``parent``
    names the column and root table of the entity this one lies in, such as a run's experiment.
    """

    kind: str
    stored_in: str
    root_id: str
    parent: tuple[str, str] | None = None


def mapped(
    table: str, kind: str, owner: str, columns: str, *, stored_in: str | None = None, **options: Any
) -> TableMap:
    """Return a map from a line of columns: ``name``, or ``archive_name=database_name`` where these differ."""
    pairs = (column.partition("=") for column in columns.split())
    fields = {name: stored or name for name, _, stored in pairs}
    return TableMap(table=table, stored_in=stored_in or table, kind=kind, owner=owner, fields=fields, **options)
