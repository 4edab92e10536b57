"""Rows that the target must hold against rows that it holds: what differs, and what is named by a rule."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from typing import Any, Final

from mlflow_archive.api.differences import FieldChange
from mlflow_archive.api.proof.naming import Notes
from mlflow_archive.api.proof.rules import COLUMNS, JSON_COLUMNS, KEYS, NULLS_LEFT_OUT, Rule, may_be_left_out
from mlflow_archive.format.json_text import parse_json
from mlflow_archive.format.nul_characters import NUL, SHOWN
from mlflow_archive.format.source_tags import OWN_PREFIX
from mlflow_archive.kinds import DEFAULT_WORKSPACE, TIMESTAMP, Table, owner_id
from mlflow_archive.reader.inspection.rows import Moment
from mlflow_archive.sinks.replay.logged_models.planned_model import MODEL_VERSIONS
from mlflow_archive.sinks.replay.places.experiments import INCOMPLETE, STATE
from mlflow_archive.sinks.replay.traces.trace_info import ARTIFACT_LOCATION, FINALIZED, SPANS_LOCATION
from mlflow_archive.sinks.replay.writing.rows import Row

_LARGEST: Final = 1.7976931348623157e308

_ADDITIONS: Final = {
    "trace_tags": (Rule.LOCATION, (ARTIFACT_LOCATION, SPANS_LOCATION)),
    "trace_metadata": (Rule.MADE_UP, (FINALIZED, "mlflow.trace.sizeBytes", "mlflow.trace.sizeStats")),
}
"""Keys that MLflow adds to traces by itself."""

_NOTHING_IN: Final[Mapping[str, tuple[object, ...]]] = {
    "end_time": (None, 0),
    "workspace": (None, "", DEFAULT_WORKSPACE),
}
_NOTHING_IN_JSON: Final = (None, "", "null", "[]", "{}")
"""What is one with no value at all for MLflow's API."""

Change = tuple[str, FieldChange]
"""(owner id in the target, what differs)"""


@dataclass(frozen=True, slots=True)
class Excused:
    """A cell that is not compared, by a rule that depends on the object; ``column`` says that of the whole column."""

    rule: Rule


@dataclass(frozen=True, slots=True)
class Cut:
    """A text of which the target's API shows only so many characters."""

    text: str
    length: int


@dataclass(frozen=True, slots=True)
class Expected:
    """A row that the target must hold, with its ids. ``origin`` is the row of the archive, with ids of the target.

    It is None for what the import adds. ``rule`` says why cells differ from it, ``unseen`` why none may show.
    """

    row: Row
    origin: Row | None
    rule: Rule = Rule.FITTED
    unseen: Rule | None = None


class RowComparison:
    """Compares the rows of one table, and names what it does not count."""

    def __init__(self, table: Table, notes: Notes) -> None:
        self._table = table
        self._notes = notes
        self._key = KEYS.get(table.name, table.key)
        self._columns = [name for name in table.column_names if name not in self._key]
        self._times = {column.name for column in table.columns if column.type == TIMESTAMP}

    def changes(
        self, expected: Sequence[Expected], originals: Sequence[Row], target: Sequence[Row]
    ) -> Iterator[Change]:
        """Yield what differs; ``originals`` are all rows of the archive, those that are left out, too."""
        yield from self._left_out(expected, originals)
        by_key: dict[tuple[Any, ...], tuple[list[Expected], list[Row]]] = {}
        for planned_row in expected:
            by_key.setdefault(self._key_of(planned_row.row), ([], []))[0].append(planned_row)
        for row in target:
            by_key.setdefault(self._key_of(row), ([], []))[1].append(row)
        for key in sorted(by_key, key=repr):
            for expected_row, target_row in zip_longest(*by_key[key]):
                yield from self._row(expected_row, target_row)

    def _left_out(self, expected: Sequence[Expected], originals: Sequence[Row]) -> Iterator[Change]:
        origins = {id(planned_row.origin) for planned_row in expected}
        for row in originals:
            if id(row) in origins:
                continue
            if may_be_left_out(self._table.name, row):
                self._notes.add(Rule.LEFT_OUT, self._table.name, self._owner(row), self._shown(row), None)
            else:
                yield self._change(row, "", self._shown(row), None)

    def _row(self, planned_row: Expected | None, target: Row | None) -> Iterator[Change]:
        if planned_row is None and target is not None:
            if rule := _rule_of_addition(self._table, target):
                self._notes.add(rule, self._table.name, self._owner(target), None, self._shown(target))
            else:
                yield self._change(target, "", None, self._shown(target))
        elif planned_row is not None and target is None:
            if planned_row.unseen is not None:
                owner, cells = self._owner(planned_row.row), self._shown(planned_row.row)
                self._notes.add(planned_row.unseen, self._table.name, owner, cells, None)
            else:
                yield self._change(planned_row.row, "", self._shown(planned_row.row), None)
        elif planned_row is not None and target is not None:
            if planned_row.origin is None:
                is_mark = str(target.get("key", "")).startswith(OWN_PREFIX)
                rule = Rule.IMPORT_MARK if is_mark else Rule.SOURCE_TAG
                self._notes.add(rule, self._table.name, self._owner(target), None, self._shown(target))
            for column in self._columns:
                yield from self._cell(column, planned_row, target)

    def _cell(self, column: str, planned_row: Expected, target: Row) -> Iterator[Change]:
        place = f"{self._table.name}.{column}"
        value, after = planned_row.row.get(column), target[column]
        original = value if planned_row.origin is None else planned_row.origin.get(column)
        rule = value.rule if isinstance(value, Excused) else COLUMNS.get(place)
        cells = (self._plain(column, original), self._plain(column, after))
        name = partial(self._notes.add, place=place, owner=self._owner(target), before=cells[0], after=cells[1])
        if rule is not None:
            if original != after:
                name(rule)
            return
        equal = is_same(place, value, after)
        if equal is None:
            yield self._change(target, column, value, after)
        elif not _identical(original, after):
            name(planned_row.rule if equal is Rule.FITTED else equal)

    def _key_of(self, row: Row) -> tuple[Any, ...]:
        return tuple(_canonical(f"{self._table.name}.{name}", row[name]) for name in self._key)

    def _owner(self, row: Row) -> str:
        return owner_id(self._table, row)

    def _shown(self, row: Row) -> dict[str, Any]:
        values = {name: self._plain(name, row.get(name)) for name in self._columns}
        return {name: value for name, value in values.items() if value is not None}

    def _plain(self, column: str, value: Any) -> Any:
        """Return a value as a person reads it."""
        if isinstance(value, Cut):
            return value.text
        if isinstance(value, Excused):
            return None
        return Moment.of(value) if column in self._times and isinstance(value, int) else value

    def _change(self, row: Row, field: str, before: object, after: object) -> Change:
        key = {name: row[name] for name in self._key if name not in (*self._table.owner, "owner_kind")}
        cells = (self._plain(field, before), self._plain(field, after))
        change = FieldChange(table=self._table.name, key=key, field=field, before=cells[0], after=cells[1])
        return self._owner(row), change


def _rule_of_addition(table: Table, row: Row) -> Rule | None:
    """Return by which rule a row of the target, that the archive has not, is the import's own or the target's."""
    if table.name in _ADDITIONS:
        rule, keys = _ADDITIONS[table.name]
        return rule if row["key"] in keys else None
    if not table.name.endswith("tags"):
        return None
    key = str(row["key"])
    if key.startswith(OWN_PREFIX) and (key != STATE or row["value"] != INCOMPLETE):
        return Rule.IMPORT_MARK
    return Rule.REFERENCE if key == MODEL_VERSIONS and table.name == "logged_model_tags" else None


def is_same(place: str, value: object, after: object) -> Rule | None:
    """Return None where two values differ, FITTED where they are equal, or the rule by which they are one."""
    if isinstance(value, Cut):
        return Rule.NOT_SHOWN if after == value.text[: value.length] else None
    if _identical(value, after) or _is_held(value, after):
        return Rule.FITTED
    blanks = _NOTHING_IN.get(place.rpartition(".")[2], _NOTHING_IN_JSON if place in JSON_COLUMNS else (None, ""))
    if value in blanks and after in blanks:
        return Rule.EMPTY
    if place in JSON_COLUMNS and _canonical(place, value) == _canonical(place, after):
        return Rule.JSON
    return None


def _is_held(value: object, after: object) -> bool:
    """Return whether a value is another one as a database holds it."""
    if isinstance(value, float) and isinstance(after, float):
        return held(value) == held(after)
    return isinstance(value, str) and NUL in value and value.replace(NUL, SHOWN) == after


def held(value: float) -> float:
    """Return what a SQL database holds of a number: infinities are the largest, and 0 has no sign."""
    return value if math.isnan(value) else max(-_LARGEST, min(_LARGEST, value)) + 0.0


def _identical(value: object, after: object) -> bool:
    if isinstance(value, float) and isinstance(after, float):
        return (value != value and after != after) or (repr(value) == repr(after))  # noqa: PLR0124 - NaN
    return value == after


def _canonical(place: str, value: object) -> object:
    if place not in JSON_COLUMNS or not isinstance(value, str):
        return value
    try:
        parsed = parse_json(value)
        return json.dumps(_without_nulls(parsed) if place in NULLS_LEFT_OUT else parsed, sort_keys=True)
    except ValueError:
        return value


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(inner) for name, inner in value.items() if inner is not None}
    return value
