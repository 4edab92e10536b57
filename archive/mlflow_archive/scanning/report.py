"""What a scan found, where, and the rules that take it out; never with a whole value."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mlflow_archive.kinds import BY_ROW, TABLES
from mlflow_archive.redacting.places import names_objects
from mlflow_archive.scanning.patterns import Pattern

MAX_LISTED: Final = 100_000
_SHOWN: Final = 2
_LONG: Final = 8

Rule = Mapping[str, str | int]
"""Keys and values of one rule of a file for ``redact``."""


def masked(value: str) -> str:
    """Return what may be shown of a value: its length, and of a long one how it begins.

    >>> masked("AKIAIOSFODNN7EXAMPLE"), masked("hunter2")
    ('AK… (20 characters)', '… (7 characters)')
    """
    return f"{value[:_SHOWN] if len(value) >= _LONG else ''}… ({len(value)} characters)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Find:
    """Something that was found: its ``kind``, the ``name`` of what it is, and its value, masked.

    In a table: with the column, the object that owns the row, and what names the row among its own. In an artifact: of
    which object, at what path, in which line. In ``manifest.json``: none of these.
    """

    kind: str
    name: str
    value: str
    table: str | None = None
    column: str | None = None
    owner_kind: str | None = None
    owner_id: str | None = None
    key: str | None = None
    path: str | None = None
    line: int | None = None

    @property
    def place(self) -> str:
        """The part of the archive, without owner: ``params.value``, ``artifact``, ``manifest``."""
        if self.table is not None:
            return f"{self.table}.{self.column}"
        return "manifest" if self.path is None else "artifact"

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__ if getattr(self, name) is not None}


@dataclass(slots=True, kw_only=True)
class ScanReport:
    """What a scan found. ``finds`` are the first MAX_LISTED of them, ``counts`` all, by kind.

    ``looked`` says how much was looked into, ``not_looked`` how many artifacts, and columns of tables that no version
    knows, were not, by the reason.
    """

    archive_id: str
    finds: list[Find] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    places: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    looked: Counter[str] = field(default_factory=Counter)
    not_looked: Counter[str] = field(default_factory=Counter)
    _rules: dict[Rule | str, Rule] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        """Whether nothing was found in what was looked into."""
        return not self.counts

    def add(self, find: Find, rule: Rule) -> None:
        """Take note of something, and of the rule that takes it out."""
        self.counts[find.kind] += 1
        self.places[find.place, find.kind, find.name] += 1
        self._rules.setdefault(json.dumps(rule), rule)
        if len(self.finds) < MAX_LISTED:
            self.finds.append(find)

    def to_json(self) -> dict[str, Any]:
        return {
            "archive_id": self.archive_id,
            "found": dict(sorted(self.counts.items())),
            "looked_into": dict(self.looked),
            "not_looked_into": dict(sorted(self.not_looked.items())),
            "finds": [find.to_json() for find in self.finds],
        }

    def rules(self) -> str:
        """Return a file of rules for ``redact`` that takes out all that was found, each place once."""
        title = (
            f"# Made by a scan of the archive {self.archive_id}.\n"
            "# Read it before it is used: a rule takes a value out wherever it stands at that place, of all objects.\n"
        )
        return title + "".join(_toml(rule) for rule in self._rules.values())


def value_rule(table: str, column: str, key: str | None, pattern: Pattern) -> Rule:
    """Return the rule for what was found in a column: the whole value of a param or tag, of others what matches.

    ``key`` is a glob for that of a param or tag, None elsewhere. What
    names an object stands at other places, too, so the rule is for all of them, and gives it one name everywhere.
    """
    if key is not None and column == "value":
        return {"table": table, "column": column, "key": key, "action": "replace"}
    known = TABLES[table]
    if known.entity == BY_ROW or column in known.key or names_objects(table, column):
        return everywhere_rule(pattern)
    return {"table": table, "column": column, "action": "replace", **_matching(pattern)}


def everywhere_rule(pattern: Pattern) -> Rule:
    """Return the rule for what matches at any place."""
    return {"action": "pseudonym", **_matching(pattern)}


def artifact_rule(path: str) -> Rule:
    """Return the rule that drops artifacts by a glob, of every object that has one at such a path."""
    return {"path": path}


def glob(text: str) -> str:
    """Return the glob that matches this text alone.

    >>> glob("a[1]*")
    'a[[]1][*]'
    """
    return re.sub(r"([*?\[])", r"[\1]", text)


def _matching(pattern: Pattern) -> Rule:
    return {"match": _expression(pattern), **({"group": pattern.value} if pattern.value else {})}


def _expression(pattern: Pattern) -> str:
    letters = {re.IGNORECASE: "i", re.VERBOSE: "x", re.ASCII: "a"}
    flags = "".join(letter for flag, letter in letters.items() if pattern.regex.flags & flag)
    return f"(?{flags}){pattern.regex.pattern}" if flags else pattern.regex.pattern


def _toml(rule: Rule) -> str:
    lines = (f"{name} = {_toml_value(value)}" for name, value in rule.items())
    return "\n".join(["", "[[artifacts]]" if "path" in rule else "[[values]]", *lines, ""])


def _toml_value(value: str | int) -> str:
    """Return a value as TOML: a basic string escapes as JSON does, but for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
