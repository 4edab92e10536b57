"""A file of rules: which values, artifacts and objects are taken out (docs/redaction.md).

    [[values]]                      # of one column, or everywhere
    table = "tags"
    column = "value"
    key = "team.*"                  # glob
    match = 'cust-[0-9]+'           # what of the text; without it, all
    action = "pseudonym"            # drop, replace (with = "…"), pseudonym
    [[artifacts]]
    path = "*.env"
    [erase]
    runs = ["…"]
    experiments = ["…"]
    users = ["…"]

Everything is checked when it is read: a rule that takes out nothing because of a slip would leave in what it was for.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from mlflow_archive.errors import SelectionError
from mlflow_archive.kinds import BY_ROW, IDENTITIES, TABLES
from mlflow_archive.redacting.places import is_keyed, is_text, names_objects

DROP: Final = "drop"
REPLACE: Final = "replace"
PSEUDONYM: Final = "pseudonym"
ACTIONS: Final = (DROP, REPLACE, PSEUDONYM)
STAND_IN: Final = "[redacted]"
SHORTEST_KEY: Final = 16

_TOP: Final = frozenset({"values", "artifacts", "erase"})
_VALUE_KEYS: Final = frozenset({"name", "table", "column", "key", "match", "group", "action", "with"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueRule:
    """What becomes of values: of ``table`` and ``column``, or everywhere; of those, in rows whose key matches ``key``.

    ``match`` is what of a text is meant, or its ``group``; None is all of it. ``place`` is where the rule stands.
    """

    place: str
    action: str
    table: str | None = None
    column: str | None = None
    key: str | None = None
    match: re.Pattern[str] | None = None
    group: int = 0
    stand_in: str = STAND_IN


@dataclass(frozen=True, slots=True, kw_only=True)
class RedactionRules:
    """What is taken out. ``artifacts`` are globs, ``runs`` and ``experiments`` ids. ``data`` is the file."""

    values: tuple[ValueRule, ...] = ()
    artifacts: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    experiments: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    data: bytes = field(default=b"", repr=False)

    def digest(self, key: bytes | None) -> str:
        """Return what stands for these rules in a manifest: with a key nobody can guess them who does not have it."""
        if key is None:
            return hashlib.sha256(self.data).hexdigest()
        return hmac.new(key, self.data, hashlib.sha256).hexdigest()

    def drops_artifact(self, path: str) -> bool:
        """Return whether an artifact at this path is dropped; ``*`` crosses ``/``."""
        return any(fnmatchcase(path, glob) for glob in self.artifacts)


def read_rules(path: Path) -> RedactionRules:
    """Read a file of rules. Raises SelectionError."""
    try:
        return parse_rules(path.read_bytes(), str(path))
    except OSError as error:
        raise SelectionError(f"{path}: the rules cannot be read: {error.strerror}") from error


def read_key(path: Path) -> bytes:
    """Read the key of pseudonyms: the bytes of a file, without white space around them. Raises SelectionError."""
    try:
        key = path.read_bytes().strip()
    except OSError as error:
        raise SelectionError(f"{path}: the key cannot be read: {error.strerror}") from error
    if len(key) < SHORTEST_KEY:
        raise SelectionError(
            f"{path}: a key of {len(key)} bytes can be guessed, expected at least {SHORTEST_KEY}; make one by "
            "`openssl rand -hex 32`"
        )
    return key


def check_key(rules: RedactionRules, key: bytes | None) -> None:
    """Raise SelectionError where a rule needs a key and there is none."""
    if key is None and any(rule.action == PSEUDONYM for rule in rules.values):
        raise SelectionError("a rule makes pseudonyms, and these need a key: give --key-file FILE")


def parse_rules(data: bytes, where: str) -> RedactionRules:
    """Read rules. Raises SelectionError for what is not TOML, and for a key, table or expression that there is not."""
    try:
        document = tomllib.loads(data.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SelectionError(f"{where} is not TOML: {error}") from error
    _only(document, _TOP, where, "")
    values = tuple(_value_rule(item, f"{where}: values[{at}]") for at, item in _tables(document, "values", where))
    artifacts = tuple(
        _artifact(item, f"{where}: artifacts[{at}]") for at, item in _tables(document, "artifacts", where)
    )
    erase = document.get("erase", {})
    if not isinstance(erase, dict):
        raise SelectionError(f"{where}: erase must be a table, as [erase]")
    _only(erase, frozenset({"runs", "experiments", "users"}), where, "erase.")
    rules = RedactionRules(
        values=values,
        artifacts=artifacts,
        **{name: _texts(erase, name, where) for name in ("runs", "experiments", "users")},
        names=tuple(sorted(_names(document))),
        data=data,
    )
    if not (values or artifacts or rules.runs or rules.experiments or rules.users):
        raise SelectionError(f"{where} has no rule: it takes [[values]], [[artifacts]] and [erase]")
    return rules


def _names(document: Mapping[str, Any]) -> set[str]:
    items = (item for name in ("values", "artifacts") for item in document.get(name, ()))
    return {item["name"] for item in items if "name" in item}


def _only(item: Mapping[str, Any], known: frozenset[str], where: str, prefix: str) -> None:
    for key in item:
        if key not in known:
            raise SelectionError(f"{where}: there is no key {prefix}{key}; expected {', '.join(sorted(known))}")


def _tables(document: Mapping[str, Any], name: str, where: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    items = document.get(name, [])
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise SelectionError(f"{where}: {name} must be a list of tables, as [[{name}]]")
    yield from enumerate(items, start=1)


def _texts(item: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    value = item.get(key, [])
    if not isinstance(value, list) or not all(isinstance(text, str) and text for text in value):
        raise SelectionError(f"{where}: erase.{key} must be a list of texts that are not empty")
    return tuple(value)


def _text(item: Mapping[str, Any], key: str, place: str) -> str | None:
    value = item.get(key)
    if value is not None and (not isinstance(value, str) or (not value and key != "with")):
        raise SelectionError(f"{place}.{key} must be a text that is not empty")
    return value


def _artifact(item: Mapping[str, Any], place: str) -> str:
    _only(item, frozenset({"name", "path"}), place, "")
    _text(item, "name", place)
    path = _text(item, "path", place)
    if path is None:
        raise SelectionError(f"{place} has no path")
    return path


def _value_rule(item: Mapping[str, Any], place: str) -> ValueRule:
    _only(item, _VALUE_KEYS, place, "")
    texts = {key: _text(item, key, place) for key in _VALUE_KEYS - {"group"}}
    if texts["action"] not in ACTIONS:
        raise SelectionError(f"{place}.action must be one of {', '.join(ACTIONS)}")
    if texts["with"] is not None and texts["action"] != REPLACE:
        raise SelectionError(f"{place}.with goes with the action {REPLACE} only")
    match, group = _expression(item, texts["match"], place)
    rule = ValueRule(
        place=place,
        action=texts["action"],
        table=texts["table"],
        column="value" if texts["key"] is not None and texts["column"] is None else texts["column"],
        key=texts["key"],
        match=match,
        group=group,
        stand_in=STAND_IN if texts["with"] is None else texts["with"],
    )
    _check_place(rule)
    return rule


def _expression(item: Mapping[str, Any], text: str | None, place: str) -> tuple[re.Pattern[str] | None, int]:
    group = item.get("group", 0)
    if text is None:
        if "group" in item:
            raise SelectionError(f"{place}.group goes with match only")
        return None, 0
    try:
        match = re.compile(text)
    except re.error as error:
        raise SelectionError(f"{place}.match is no regular expression: {error}") from error
    if match.search("") is not None:
        raise SelectionError(f"{place}.match matches the empty text, and so everything")
    if type(group) is not int or not 0 <= group <= match.groups:
        raise SelectionError(f"{place}.group must be a number from 0 to {match.groups}, the groups of match")
    return match, group


def _check_place(rule: ValueRule) -> None:
    """Raise SelectionError for a place that there is not, or where what is asked for cannot be done."""
    if rule.table is None:
        if rule.column is not None and rule.key is None:
            raise SelectionError(f"{rule.place}.column goes with table only")
        if rule.match is None and rule.key is None:
            raise SelectionError(f"{rule.place} would change every value: give table, key or match")
        return
    table = TABLES.get(rule.table)
    if table is None or table.entity in (None, BY_ROW):
        hint = "; artifacts are dropped by [[artifacts]]" if rule.table == "artifacts" else ""
        raise SelectionError(f"{rule.place}.table: there is no table {rule.table!r} of values (spec/tables.md){hint}")
    if rule.key is not None and not is_keyed(table):
        raise SelectionError(f"{rule.place}.key: the table {rule.table} has no keys")
    if rule.column is None:
        raise SelectionError(f"{rule.place} names a table and no column: give column, or no table for all places")
    if rule.column not in table.column_names:
        raise SelectionError(f"{rule.place}.column: the table {rule.table} has no column {rule.column!r}")
    _check_column(rule, rule.table, rule.column)


def _check_column(rule: ValueRule, table_name: str, column: str) -> None:
    table = TABLES[table_name]
    if names_objects(table_name, column):
        raise SelectionError(
            f"{rule.place}.column: {table_name}.{column} says which object is meant, and so do other tables: give "
            "match and the action pseudonym, without table and column, or erase the object"
        )
    nullable = next(known.nullable for known in table.columns if known.name == column)
    if not is_text(table, column) and (rule.action != DROP or rule.match is not None):
        raise SelectionError(f"{rule.place}: {table_name}.{column} holds no texts, and can only be dropped as a whole")
    if rule.action == DROP and rule.match is None and not nullable and table in IDENTITIES.values():
        raise SelectionError(f"{rule.place}: {table_name}.{column} must not be empty: replace it, or erase the object")
