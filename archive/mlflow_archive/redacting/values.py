"""Rows and texts without what the rules take out.

Each text that occurs in a column is looked at once for each chunk. What two different keys would become one is refused:
a row of the two would be lost without a word.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc

from mlflow_archive.errors import SelectionError
from mlflow_archive.kinds import Table
from mlflow_archive.redacting.places import is_keyed, is_text, matches, places_of
from mlflow_archive.redacting.rules import DROP, PSEUDONYM, REPLACE, RedactionRules, ValueRule, check_key
from mlflow_archive.redacting.spellings import spelled, whole_words

PSEUDONYM_MARK: Final = "p-"
_DIGITS: Final = 32
_SHORTEST: Final = 2
_LONG: Final = 4

_APART: Final = MappingProxyType(
    {
        "experiments": ("workspace", "name"),
        "metrics": ("run_id", "key"),
        "logged_model_metrics": ("model_id", "key"),
    }
)
"""What is no key of a table and must not become one either: an import makes one experiment of two with one name."""

Change = Callable[[str], str]
"""What a text becomes."""


class Redactor:
    """Applies rules. ``key`` is that of pseudonyms; ``texts_of`` are texts of an archive's manifest.

    Of these it is remembered which hold a value that a rule for some place took out: such a text must not stay.
    ``effective`` are the places of the rules that have changed something in a table.
    """

    def __init__(self, rules: RedactionRules, key: bytes | None, texts_of_manifest: Sequence[str] = ()) -> None:
        check_key(rules, key)
        self._rules, self._key = rules, key
        self._texts = {text: (text, unquote(text)) for text in texts_of_manifest}
        self.holding: set[str] = set()
        self.effective: set[str] = set()
        users = [ValueRule(place="erase.users", action=REPLACE, match=spelled(rules.users))] if rules.users else []
        self._everywhere = [rule for rule in (*rules.values, *users) if rule.table is None and rule.column is None]
        self._placed = [rule for rule in rules.values if rule not in self._everywhere]

    @cached_property
    def _changes(self) -> Mapping[str, Change]:
        return {rule.place: lru_cache(1 << 16)(self._change(rule)) for rule in (*self._everywhere, *self._placed)}

    def pseudonym(self, value: str) -> str:
        """Return the name that stands for a value: the same for the same value and key, and telling nothing of it."""
        return PSEUDONYM_MARK + hmac.new(self._key or b"", value.encode(), hashlib.sha256).hexdigest()[:_DIGITS]

    def text(self, text: str) -> str:
        """Return a text of no table after the rules that are for every place."""
        for rule in self._everywhere:
            text = self._changes[rule.place](text)
        return text

    def rows(self, table: Table, rows: pa.Table) -> pa.Table:
        """Return the rows of a table. Raises SelectionError where two keys would be one, or an object lose its name."""
        if not rows.num_rows:
            return rows
        before = rows
        for column in sorted(table.column_names, key=lambda name: name in table.key):  # rules know keys as they were
            for rule, keyed in self._rules_for(table, column, rows):
                rows, before = self._apply(rule, keyed, table, column, rows, before)
        self._check_keys(table, before, rows)
        return rows

    def _rules_for(self, table: Table, column: str, rows: pa.Table) -> list[tuple[ValueRule, frozenset[str] | None]]:
        """Return the rules for a column, those for places first, each with the keys of its rows, None for all rows."""
        rules: list[tuple[ValueRule, frozenset[str] | None]] = []
        of_keys = is_keyed(table) and column == "value"
        keys: list[Any] = rows["key"].unique().to_pylist() if of_keys else [None]
        for rule in self._placed:
            hit = frozenset(key for key in keys if _is_for(rule, table, column, key))
            rules += [(rule, hit if of_keys else None)] if hit else []
        if is_text(table, column):
            rules += [(rule, None) for rule in self._everywhere]
        return rules

    def _apply(
        self,
        rule: ValueRule,
        keys: frozenset[str] | None,
        table: Table,
        column: str,
        rows: pa.Table,
        before: pa.Table,
    ) -> tuple[pa.Table, pa.Table]:
        among = pa.repeat(True, rows.num_rows) if keys is None else pc.is_in(rows["key"], pa.array(sorted(keys)))
        if rule.action == DROP and rule.match is None:
            hit = pc.and_(among, pc.is_valid(rows[column]))
            if not pc.any(hit).as_py():
                return rows, before
            self.effective.add(rule.place)
            for value in rows[column].filter(hit).unique().to_pylist():
                self._remember(rule, value)
            if self._drops_rows(table, column):
                stay = pc.invert(hit)
                return rows.filter(stay), before.filter(stay)
            field = rows.schema.field(column)
            empty = pc.if_else(hit, pa.scalar(None, field.type), rows[column])
            return rows.set_column(rows.column_names.index(column), field, empty), before
        texts = rows[column]
        changed = self._changed(rule, texts, among)
        if changed is not texts:
            self._check_owner(rule, table, column, texts, changed)
            rows = rows.set_column(rows.column_names.index(column), rows.schema.field(column), changed)
        return rows, before

    def _changed(self, rule: ValueRule, texts: pa.ChunkedArray, among: pa.Array) -> pa.ChunkedArray:
        encoded = texts.combine_chunks().dictionary_encode()
        if isinstance(encoded, pa.ChunkedArray):
            encoded = encoded.combine_chunks()
        indices = pc.if_else(among, encoded.indices, pa.scalar(None, encoded.indices.type))
        positions = set(indices.unique().to_pylist()) - {None}
        values = encoded.dictionary.to_pylist()
        change = self._changes[rule.place]
        after = [change(value) if at in positions else value for at, value in enumerate(values)]
        different = [at for at in positions if after[at] != values[at]]
        if not different:
            return texts
        self.effective.add(rule.place)
        new = pa.array(after, texts.type).take(indices)
        return pa.chunked_array([pc.if_else(among, new, texts.combine_chunks())], texts.type)

    def _remember(self, rule: ValueRule, value: Any) -> None:
        """Look whether a text of the manifest holds what was taken out at one place: a short one as a word."""
        if rule in self._placed and isinstance(value, str) and len(value) >= _SHORTEST:
            word = None if len(value) >= _LONG else whole_words(re.escape(value))
            for text, forms in self._texts.items():
                if any(value in form if word is None else word.search(form) for form in forms):
                    self.holding.add(text)

    def _drops_rows(self, table: Table, column: str) -> bool:
        nullable = next(known.nullable for known in table.columns if known.name == column)
        return not nullable or (is_keyed(table) and column == "value")

    def _check_owner(
        self, rule: ValueRule, table: Table, column: str, old: pa.ChunkedArray, new: pa.ChunkedArray
    ) -> None:
        if column not in table.owner or rule.action == PSEUDONYM:
            return
        at = pc.index(pc.not_equal(old, new), True).as_py()
        raise SelectionError(
            f"{rule.place} would change the name of an object of the kind {table.entity} ({_hint(old[at].as_py())}) in "
            f"{table.name}.{column}, and two could become one: use the action {PSEUDONYM}, which keeps them apart, or "
            "erase the object"
        )

    def _check_keys(self, table: Table, before: pa.Table, rows: pa.Table) -> None:
        if rows is before:
            return
        keys = [table.key] if table.unique else []
        for names in (*keys, *([_APART[table.name]] if table.name in _APART else [])):
            if _distinct(rows, names) < _distinct(before, names):
                raise SelectionError(
                    f"the rules make two keys of one object one in the table {table.name} ({', '.join(names)}), and a "
                    f"row would be lost: use the action {PSEUDONYM}, which keeps them apart"
                )

    def _change(self, rule: ValueRule) -> Change:
        def stand_in(value: str) -> str:
            self._remember(rule, value)
            if rule.action == PSEUDONYM:
                return self.pseudonym(value)
            return "" if rule.action == DROP else rule.stand_in

        def in_match(match: re.Match[str]) -> str:
            begin, end = (edge - match.start() for edge in match.span(rule.group))
            if begin < 0 or begin == end:  # the group took no part
                return match[0]
            return match[0][:begin] + stand_in(match[rule.group]) + match[0][end:]

        pattern = rule.match
        return stand_in if pattern is None else lambda text: pattern.sub(in_match, text)


def _is_for(rule: ValueRule, table: Table, column: str, key: str | None) -> bool:
    """Return whether a rule for some places is for a cell, by its own place or by one whose value it repeats."""
    if rule.table is None:
        of_text = is_text(table, column) or (rule.action == DROP and rule.match is None)
        repeated = (at_key for _, _, at_key in places_of(table.name, column, key) if at_key is not None)
        return of_text and any(matches(rule.key, at_key) for at_key in repeated)
    return any(
        rule.table == at_table and rule.column == at_column and matches(rule.key, at_key)
        for at_table, at_column, at_key in places_of(table.name, column, key)
    )


def _hint(value: str) -> str:
    return f"{value[:1]}…, {len(value)} characters"


def _distinct(rows: pa.Table, names: Sequence[str]) -> int:
    return int(rows.select(names).group_by(list(names)).aggregate([]).num_rows)
