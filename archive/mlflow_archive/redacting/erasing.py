"""What goes with whole runs, experiments and users: what belongs to them, and what names them.

With an experiment goes all that lies in it; with a user the runs, logged models and traces that are theirs; with a run
the logged models that it made or gave and the traces that were made in it. In what stays, a tag, link or input that
names one of these by its id is left out, a reference becomes null, and an id inside of a longer text is replaced.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from mlflow_archive.kinds import (
    EXPERIMENT,
    IDENTITIES,
    LOGGED_MODEL,
    RUN,
    TABLES,
    TRACE,
    Table,
    is_identity,
)
from mlflow_archive.reader.archive import Archive, owner_ids
from mlflow_archive.redacting.places import is_keyed, is_text
from mlflow_archive.redacting.rules import STAND_IN, RedactionRules

_USER_KEYS: Final = ("mlflow.user", "mlflow.trace.user")
_SHORTEST_NAME: Final = 12
"""An id with fewer letters may be any number: it counts only where an experiment is named."""
_AT_ONCE: Final = 500
_OF_EXPERIMENTS: Final = re.compile(r"experiment_?ids?$", re.IGNORECASE)


@dataclass(slots=True, kw_only=True)
class Erased:
    """The objects that go, by kind as ``owner_id`` calls them; ``users`` go with them. ``absent`` were not there."""

    owners: dict[str, set[str]] = field(default_factory=dict)
    users: frozenset[str] = frozenset()
    absent: tuple[str, ...] = ()

    @property
    def experiments(self) -> Collection[str]:
        """The ids of the experiments."""
        return self.owners.get(EXPERIMENT, ())

    def is_erased(self, kind: str, owner: str) -> bool:
        return owner in self.owners.get(kind, ())


class Eraser:
    """Leaves out what is erased of rows and texts."""

    def __init__(self, erased: Erased) -> None:
        self.erased = erased

    @cached_property
    def _names(self) -> list[str]:
        """The ids that are looked for in all texts."""
        return sorted({name for ids in self.erased.owners.values() for name in ids if len(name) >= _SHORTEST_NAME})

    @cached_property
    def _signs(self) -> list[str]:
        names = iter(self._names)
        return ["|".join(map(re.escape, group)) for group in iter(lambda: list(islice(names, _AT_ONCE)), [])]

    @cached_property
    def _expressions(self) -> list[re.Pattern[str]]:
        return [re.compile(sign) for sign in self._signs]

    def text(self, text: str) -> str:
        """Return a text without the ids of what is erased."""
        for expression in self._expressions:
            text = expression.sub(STAND_IN, text)
        return text

    def rows(self, table: Table, rows: pa.Table) -> pa.Table:
        """Return the rows of a table that stay, without the names of what does not."""
        owners = self.erased.owners.get(table.entity or "")
        if owners and rows.num_rows:
            rows = rows.filter(pc.invert(pc.is_in(owner_ids(rows, table), pa.array(sorted(owners), pa.string()))))
        for column in table.column_names:
            if is_text(table, column) and rows.num_rows:
                rows = self._without_experiments(table, column, rows)
                rows = self._without_users(table, column, rows)
                rows = self._without_names(table, column, rows)
        return rows

    def _without_users(self, table: Table, column: str, rows: pa.Table) -> pa.Table:
        """Leave out rows that are nothing but the link of something to a user; elsewhere a rule takes the name out."""
        if not self.erased.users or column not in table.key[len(table.owner) :] or column == "key":
            return rows
        return rows.filter(pc.invert(pc.is_in(rows[column], pa.array(sorted(self.erased.users), pa.string()))))

    def _without_experiments(self, table: Table, column: str, rows: pa.Table) -> pa.Table:
        ids = pa.array(sorted(self.erased.experiments), pa.string())
        if not len(ids) or (table.entity == EXPERIMENT and column in table.owner):
            return rows
        if is_keyed(table) and column == "value":
            return self._without_listed(rows)
        if not column.endswith("experiment_id"):
            return rows
        return self._without_references(table, column, rows, pc.is_in(rows[column], value_set=ids))

    def _without_listed(self, rows: pa.Table) -> pa.Table:
        """Take ids out of tags that list experiments: ``,1,2,``; one of nothing else goes."""
        values = rows["value"].to_pylist()
        keys = rows["key"].to_pylist()
        stay: list[bool] = []
        for at, (key, value) in enumerate(zip(keys, values, strict=True)):
            listed = (value or "").split(",") if _OF_EXPERIMENTS.search(key) else []
            remaining = [part for part in listed if part.strip() not in self.erased.experiments]
            stay.append(remaining == listed or any(map(str.strip, remaining)))
            if remaining != listed:
                values[at] = ",".join(remaining)
        at = rows.column_names.index("value")
        return rows.set_column(at, rows.schema.field("value"), pa.array(values, pa.string())).filter(
            pa.array(stay, pa.bool_())
        )

    def _without_names(self, table: Table, column: str, rows: pa.Table) -> pa.Table:
        for sign in self._signs:
            naming = pc.fill_null(pc.match_substring_regex(rows[column], sign), False)
            if not pc.any(naming).as_py():
                continue
            if column in table.owner:
                rows = self._replaced(column, rows)
            elif column in table.key or (is_keyed(table) and column == "value"):
                rows = rows.filter(pc.invert(naming))
            else:
                known = next(known for known in table.columns if known.name == column)
                whole = pc.match_substring_regex(rows[column], f"^(?:{sign})$")
                of_reference = pc.fill_null(naming if known.location else whole, False)
                rows = self._replaced(column, self._without_references(table, column, rows, of_reference))
        return rows

    def _without_references(self, table: Table, column: str, rows: pa.Table, hit: pa.ChunkedArray) -> pa.Table:
        """Return rows with null in place of some values, or without these rows where there is no null."""
        known = next(known for known in table.columns if known.name == column)
        hit = pc.fill_null(hit, False)
        if not known.nullable:  # of an object that stays the id is replaced, as in a longer text
            return rows if is_identity(table) else rows.filter(pc.invert(hit))
        empty = pc.if_else(hit, pa.scalar(None, known.type), rows[column])
        return rows.set_column(rows.column_names.index(column), rows.schema.field(column), empty)

    def _replaced(self, column: str, rows: pa.Table) -> pa.Table:
        texts = [None if text is None else self.text(text) for text in rows[column].to_pylist()]
        return rows.set_column(
            rows.column_names.index(column), rows.schema.field(column), pa.array(texts, rows[column].type)
        )


def find_erased(archive: Archive, rules: RedactionRules) -> Erased:
    """Find in an archive what goes with what the rules erase."""
    owners: dict[str, set[str]] = {kind: set() for kind in IDENTITIES}
    if not (rules.runs or rules.experiments or rules.users):
        return Erased()
    users = frozenset(rules.users)
    owners[EXPERIMENT] |= set(rules.experiments)
    owners[RUN] |= set(rules.runs)
    for kind, table in IDENTITIES.items():
        if kind != EXPERIMENT and "experiment_id" in table.column_names:
            owners[kind] |= _ids(archive, table, "experiment_id", rules.experiments)
    owners[RUN] |= _ids(archive, TABLES["runs"], "user_id", users) | set(_tagged(archive, "tags", _USER_KEYS, users))
    runs = owners[RUN]
    owners[LOGGED_MODEL] |= _ids(archive, TABLES["logged_models"], "source_run_id", runs)
    owners[LOGGED_MODEL] |= set(_tagged(archive, "logged_model_tags", _USER_KEYS, users))
    owners[LOGGED_MODEL] |= _column(archive, "model_outputs", "model_id", "run_id", runs)
    owners[TRACE] |= _column(archive, "trace_links", "trace_id", "destination_id", runs)
    for name in ("trace_metadata", "trace_tags"):
        owners[TRACE] |= set(_tagged(archive, name, _USER_KEYS, users))
        owners[TRACE] |= set(_tagged(archive, name, ("mlflow.sourceRun",), runs))
        owners[TRACE] |= set(_tagged(archive, name, ("mlflow.modelId",), owners[LOGGED_MODEL]))
    by_id = {EXPERIMENT: rules.experiments, RUN: rules.runs}
    absent = [f"{kind} {name}" for kind, ids in by_id.items() for name in sorted(set(ids) - _all(archive, kind))]
    return Erased(owners={kind: ids for kind, ids in owners.items() if ids}, users=users, absent=tuple(absent))


def _all(archive: Archive, kind: str) -> set[str]:
    table = IDENTITIES[kind]
    return {
        name for rows in archive.batches(table.name, columns=table.owner) for name in owner_ids(rows, table).to_pylist()
    }


def _ids(archive: Archive, table: Table, column: str, values: Collection[str]) -> set[str]:
    """Return the objects whose row has one of some values in a column."""
    if not values:
        return set()
    among = pa.array(sorted(values), pa.string())
    columns = [*dict.fromkeys((*table.owner, column))]
    tables = (
        rows.filter(pc.is_in(rows[column], value_set=among)) for rows in archive.batches(table.name, columns=columns)
    )
    return {name for rows in tables for name in owner_ids(rows, table).to_pylist()}


def _column(archive: Archive, name: str, column: str, by: str, values: Collection[str]) -> set[str]:
    """Return a column of the rows that have one of some values in another."""
    if not values:
        return set()
    among = pa.array(sorted(values), pa.string())
    batches = archive.batches(name, columns=[column, by])
    return {value for rows in batches for value in rows.filter(pc.is_in(rows[by], value_set=among))[column].to_pylist()}


def _tagged(archive: Archive, name: str, keys: Collection[str], values: Collection[str]) -> Iterator[str]:
    """Yield the objects that have one of some values in a tag with one of some keys."""
    if not values:
        return
    owner = TABLES[name].owner[0]
    among = pa.array(sorted(values), pa.string())
    for key in keys:
        for rows in archive.keyed(name, "key", key, columns=[owner, "value"]):
            yield from rows.filter(pc.is_in(rows["value"], value_set=among))[owner].to_pylist()
