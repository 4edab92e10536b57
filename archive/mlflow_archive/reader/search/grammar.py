"""The filter syntax of MLflow's search (docs "Search Runs", mlflow.utils.search_utils), read without MLflow.

    metrics.loss < 0.1 AND params.lr = '0.01' AND tags.`mlflow.user` ILIKE 'a%' AND attributes.status IN ('FINISHED')

Conditions are joined by AND. A name without a group is an attribute; keys with odd characters stand in backquotes or
double quotes. Which groups and attributes a kind of object has is in ``searchable``.

>>> from mlflow_archive.reader.search.searchable import SEARCHABLE
>>> parse_filter("metrics.loss < 0.1", SEARCHABLE["run"])
(Condition(field=Field(group='metrics', name='loss'), operator='<', value=0.1),)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from mlflow_archive.errors import SelectionError
from mlflow_archive.reader.search.searchable import ATTRIBUTES, SearchableKind

Value = float | int | str | tuple[str, ...] | None

_KEY: Final = r"""(?:`[^`]*`|"[^"]*"|[^\s=!<>(),'"`]+)"""
_TOKEN: Final = re.compile(
    rf"""\s*(?:
      (?P<operator><=|>=|!=|<>|==|=|<|>)
    | (?P<name>(?:[A-Za-z_]\w*|`[^`]*`)(?:\.{_KEY})?)
    | (?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*")
    | (?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)
    | (?P<mark>[(),])
    )""",
    re.VERBOSE,
)
_NUMBERS: Final = frozenset({"=", "!=", "<", "<=", ">", ">="})
_TEXTS: Final = frozenset({"=", "!=", "LIKE", "ILIKE", "RLIKE", "IN", "NOT IN", "IS NULL", "IS NOT NULL"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """What is compared: ``group`` is ``attributes`` or a group of the kind, ``name`` a column or a key in it."""

    group: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One comparison; ``operator`` is in upper case, ``value`` a number, a text, some texts, or None for IS NULL."""

    field: Field
    operator: str
    value: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One column to order by."""

    field: Field
    descending: bool


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


class _Reader:
    """The tokens of a filter, one after another."""

    def __init__(self, filter_string: str) -> None:
        self._whole = filter_string
        self._tokens = list(_tokens(filter_string))
        self._next = 0

    def peek(self, kind: str = "", word: str = "") -> bool:
        """Return whether the next token is of a kind, or a word in any case."""
        if self._next >= len(self._tokens):
            return not kind and not word
        token = self._tokens[self._next]
        return (not kind or token.kind == kind) and (not word or token.text.upper() == word) and bool(kind or word)

    def take(self, kind: str, expected: str) -> str:
        """Return the text of the next token of a kind and go on. Raises SelectionError, which names ``expected``."""
        if not self.peek(kind):
            raise self.error(expected)
        token = self._tokens[self._next]
        self._next += 1
        return token.text

    def error(self, expected: str) -> SelectionError:
        """Return the error for the place where the reader stands."""
        rest = self._whole[self._tokens[self._next].at :] if self._next < len(self._tokens) else "its end"
        return SelectionError(
            f"the filter {self._whole!r} is not in MLflow's syntax: expected {expected}, found {rest}"
        )


def _tokens(text: str) -> list[_Token]:
    tokens, at = [], 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            rest = text[at:].strip()
            raise SelectionError(
                f"the filter {text!r} is not in MLflow's syntax: {rest!r} is no name, value or operator"
            )
        tokens.append(_Token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
        at = match.end()
    return tokens


def parse_filter(filter_string: str | None, searchable: SearchableKind) -> tuple[Condition, ...]:
    """Return the conditions of a filter, none for an empty one.

    Raises SelectionError, saying what was expected where, for a filter that is not in MLflow's syntax, names an
    attribute that the kind does not have, or compares it in a way that makes no sense.
    """
    if not filter_string or not filter_string.strip():
        return ()
    reader = _Reader(filter_string)
    conditions = [_condition(reader, searchable)]
    while not reader.peek():
        if not reader.peek("name", "AND"):
            raise reader.error("AND")
        reader.take("name", "AND")
        conditions.append(_condition(reader, searchable))
    return tuple(conditions)


def parse_order(text: str, searchable: SearchableKind) -> Order:
    """Return what ``metrics.loss DESC`` orders by. Raises SelectionError."""
    name, _, direction = text.strip().rpartition(" ")
    if not name or direction.upper() not in ("ASC", "DESC"):
        name, direction = text.strip(), "ASC"
    return Order(field=_field(name, searchable), descending=direction.upper() == "DESC")


def _condition(reader: _Reader, searchable: SearchableKind) -> Condition:
    field = _field(reader.take("name", "a name such as metrics.loss"), searchable)
    operator = _operator(reader)
    allowed = _NUMBERS if searchable.is_number(field.group, field.name) else _TEXTS
    if searchable.is_either(field.group):
        allowed = _NUMBERS | _TEXTS
    if operator not in allowed:
        raise reader.error(f"one of {', '.join(sorted(allowed))} behind {field.group}.{field.name}, not {operator}")
    return Condition(field=field, operator=operator, value=_value(reader, operator, field, searchable))


def _operator(reader: _Reader) -> str:
    if reader.peek("operator"):
        return {"==": "=", "<>": "!="}.get(text := reader.take("operator", ""), text)
    word = reader.take("name", "an operator such as = or LIKE").upper()
    if word == "NOT":
        word = f"NOT {reader.take('name', 'IN').upper()}"
    elif word == "IS":
        word = f"IS {reader.take('name', 'NULL').upper()}"
        if word == "IS NOT":
            word = f"IS NOT {reader.take('name', 'NULL').upper()}"
    if word not in _TEXTS:
        raise reader.error(f"an operator, not {word}")
    return word


def _value(reader: _Reader, operator: str, field: Field, searchable: SearchableKind) -> Value:
    if operator.startswith("IS "):
        return None
    if operator.endswith("IN"):
        reader.take("mark", "(")
        texts = [_unquoted(reader.take("text", "a quoted text"))]
        while reader.peek("mark", ","):
            reader.take("mark", ",")
            texts.append(_unquoted(reader.take("text", "a quoted text")))
        if reader.take("mark", ")") != ")":
            raise reader.error(")")
        return tuple(texts)
    either = operator in _NUMBERS and searchable.is_either(field.group)
    if searchable.is_number(field.group, field.name) or (either and reader.peek("number")):
        text = reader.take("number", f"a number for {field.group}.{field.name}")
        return float(text) if re.search(r"[.eE]", text) else int(text)
    return _unquoted(reader.take("text", f"a quoted text for {field.group}.{field.name}"))


def _field(name: str, searchable: SearchableKind) -> Field:
    group, dot, key = _split(name)
    if not dot:
        group, key = ATTRIBUTES, group
    group = searchable.group(group)
    return Field(group=group, name=searchable.name_in(group, _unquoted(key)))


def _split(name: str) -> tuple[str, str, str]:
    if name.startswith("`"):
        inner, _, rest = name[1:].partition("`")
        return inner, rest[:1], rest[1:]
    return name.partition(".")


def _unquoted(text: str) -> str:
    for mark in "'\"`":
        if len(text) >= 2 and text[0] == text[-1] == mark:
            return text[1:-1].replace(mark * 2, mark) if mark != "`" else text[1:-1]
    return text
