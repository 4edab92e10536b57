"""Values of one object, as JSON or YAML has them, on their way into columns; what has another form is not guessed.

A source asks for what it knows (``row_of`` for all columns of a table), and whatever an object holds beyond that is
``unread``: a later version of what wrote it may know more than this one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, Final, NoReturn, Self, TypeVar

import pyarrow as pa

from mlflow_archive.format.location import without_password
from mlflow_archive.kinds import TABLES, TIMESTAMP
from mlflow_archive.sources.reading.gaplist import OnBad
from mlflow_archive.sources.reading.rows import INT64

T = TypeVar("T")
Names = Mapping[str, str | tuple[str, ...]]
"""Column -> the field that holds it, or several of which the first that is not null counts."""

_SHOWN = 60
NOTHING: Final[tuple[object, ...]] = (None, "", [], {})
"""Values of which nothing could be lost."""
_PAIR: Final = frozenset({"key", "value"})


class ValueMalformedError(ValueError):
    """A value does not have the form that its column needs; the message says what it is."""


def refuse(name: str, reason: str) -> NoReturn:
    """Raise ValueMalformedError: the ``bad`` of an object of which one such field makes all of it unreadable."""
    raise ValueMalformedError(f"{name}: {reason}" if name else reason)


class Fields:
    """One object. ``place`` is put before the names that are reported to ``bad``, ``path`` before those unread.

    With ``blank_is_null`` a text that is empty is one that is not set, as Protocol Buffers have it.
    """

    __slots__ = ("_bad", "_blank_is_null", "_parts", "_path", "_place", "_read", "_values")

    def __init__(
        self, values: Mapping[str, Any], bad: OnBad, place: str = "", *, path: str = "", blank_is_null: bool = False
    ) -> None:
        self._values, self._bad, self._place, self._path = values, bad, place, path
        self._blank_is_null = blank_is_null
        self._read: set[str] = set()
        self._parts: list[Fields] = []

    def bad(self, name: str, reason: str) -> None:
        """Report that a field cannot be carried."""
        self._bad(_joined(self._place, name), reason)

    def leave_out(self, name: str, reason: str) -> None:
        """Report that for a field, or as a whole where ``name`` is empty, the object cannot be carried at all."""
        self.bad(name, reason)
        self.known(*self._values)
        self._parts.clear()

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def __bool__(self) -> bool:
        return bool(self._values)

    def text(self, *names: str) -> str | None:
        """Return the first of these fields that is not null, as text; numbers as JSON writes them."""
        text = self._first(names, text_of)
        return None if text == "" and self._blank_is_null else text

    def location(self, *names: str) -> str | None:
        """Return where something lies, without user and password."""
        text = self.text(*names)
        return None if text is None else without_password(text)

    def integer(self, *names: str) -> int | None:
        """Return the first of these fields that is not null, as a 64-bit number."""
        return self._first(names, integer_of)

    def real(self, *names: str) -> float | None:
        """Return the first of these fields that is not null, as a number of double precision."""
        return self._first(names, real_of)

    def time(self, *names: str) -> int | None:
        """Return milliseconds since the epoch."""
        return self._first(names, integer_of)

    def flag(self, *names: str) -> bool | None:
        """Return a truth value."""
        return self._first(names, _flag_of)

    def json(self, name: str) -> str | None:
        """Return a field as the JSON text that MLflow's databases hold; text is JSON already and stays as it is."""
        return self._first((name,), lambda value: text_of(value) if isinstance(value, str) else json_of(value))

    def value(self, name: str) -> Any:
        """Return a field as it is."""
        self._read.add(name)
        return self._values.get(name)

    def required(self, *names: str) -> str:
        """Return the first of these fields that is not null, as text. Raises ValueMalformedError where all are."""
        text = self._first(names, text_of)
        if text is None:
            raise ValueMalformedError(f"{_joined(self._place, names[0])} is missing")
        return text

    def pairs(self, name: str) -> dict[str, str]:
        """Return key -> value of an object or of a list of ``{"key": …, "value": …}``; values that are null are ''."""
        return {key: text or "" for key, text in self.pairs_with_nulls(name).items()}

    def pairs_with_nulls(self, name: str) -> dict[str, str | None]:
        """Return the same, with the nulls."""
        pairs: dict[str, str | None] = {}
        for key, value in self._items(name):
            try:
                key_text, text = text_of(key), None if value is None else text_of(value)
            except ValueMalformedError as error:
                self.bad(f"{name}/{printable(str(key))}", str(error))
                continue
            if pairs.setdefault(key_text, text) != text:
                self.bad(f"{name}/{key_text}", f"it is there twice; the value {shown(text)} is left out")
        return pairs

    def items(self, name: str, known: frozenset[str]) -> Iterator[Mapping[str, Any]]:
        """Yield the objects in a list as they are, for lists that are long; ``known`` are the fields that are read."""
        for number, item in enumerate(self._list(name)):
            if not isinstance(item, dict):
                self.bad(f"{name}/{number}", f"it is {shown(item)}, expected an object")
                continue
            if not known >= item.keys():
                self._part(item, name, "").known(*known)
            yield item

    def objects(self, name: str) -> Iterator[Self]:
        """Yield the objects in a list, each at ``name/number``."""
        for number, item in enumerate(self._list(name)):
            if isinstance(item, Mapping):
                yield self._part(item, name, _joined(self._place, name, str(number)))
            else:
                self.bad(f"{name}/{number}", f"it is {shown(item)}, expected an object")

    def object(self, name: str, *, place: str | None = None) -> Self:
        """Return the object in a field, empty where there is none; at ``place``, by default at the field's name."""
        content = self.value(name)
        place = _joined(self._place, name) if place is None else place
        if content is not None and not isinstance(content, Mapping):
            self.bad(name, f"it is {shown(content)}, expected an object")
        return self._part(content if isinstance(content, Mapping) else {}, name, place)

    def known(self, *names: str) -> None:
        """Say that fields are carried in another way, or follow from what is carried."""
        self._read.update(names)

    def unread(self) -> Iterator[str]:
        """Yield each field that holds something and that nobody asked for, also of the objects in it, as a path."""
        for name in self._values.keys() - self._read:
            if not self._is_nothing(name, self._values[name]):
                yield _joined(self._path, printable(name))
        for part in self._parts:
            yield from part.unread()

    def _is_nothing(self, name: str, value: Any) -> bool:
        """Return whether a field has no value that could be lost."""
        return value in NOTHING

    def _part(self, values: Mapping[str, Any], name: str, place: str) -> Self:
        path = _joined(self._path, name)
        part = type(self)(values, self._bad, place, path=path, blank_is_null=self._blank_is_null)
        self._parts.append(part)
        return part

    def _list(self, name: str) -> list[Any]:
        items = self.value(name)
        if items is not None and not isinstance(items, list):
            self.bad(name, f"it is {shown(items)}, expected a list")
            return []
        return items or []

    def _items(self, name: str) -> Iterator[tuple[Any, Any]]:
        content = self.value(name)
        if isinstance(content, Mapping):
            yield from content.items()
        elif isinstance(content, list):
            for number, item in enumerate(content):
                if isinstance(item, dict) and "key" in item:
                    if len(item) > ("value" in item) + 1:
                        self._part(item, name, "").known(*_PAIR)
                    yield item["key"], item.get("value")
                else:
                    self.bad(f"{name}/{number}", f"it is {shown(item)}, expected key and value")
        elif content is not None:
            self.bad(name, f"it is {shown(content)}, expected names with values")

    def _first(self, names: tuple[str, ...], convert: Callable[[Any], T]) -> T | None:
        problem: tuple[str, ValueMalformedError] | None = None
        self._read.update(names)
        for name in names:
            value = self._values.get(name)
            if value is None:
                continue
            try:
                return convert(value)
            except ValueMalformedError as error:
                problem = problem or (name, error)
        if problem is not None:
            self.bad(problem[0], str(problem[1]))
        return None


def row_of(table: str, fields: Fields, names: Names = MappingProxyType({}), /, **values: Any) -> dict[str, Any]:
    """Return a row of a table: some values, and every other column from the field that is named like it.

    ``names`` says where a field has another name. Fields named like one of the ``values`` are known. Raises
    ValueMalformedError where a column that is never null is.
    """
    row = dict(values)
    fields.known(*values)
    for column, reader, nullable in _readers(table):
        if column in values:
            continue
        name = names.get(column, column)
        value = getattr(fields, reader if nullable or reader != "text" else "required")(
            *((name,) if isinstance(name, str) else name)
        )
        if value is None and not nullable:
            raise ValueMalformedError(f"{name} is missing")
        row[column] = value
    return row


@cache
def _readers(table: str) -> tuple[tuple[str, str, bool], ...]:
    """Return each column of a table with the method of ``Fields`` that reads it, and whether it may be null."""
    methods = {pa.string(): "text", pa.int64(): "integer", pa.float64(): "real", pa.bool_(): "flag", TIMESTAMP: "time"}
    return tuple(
        (column.name, "location" if column.location else methods[column.type], column.nullable)
        for column in TABLES[table].columns
    )


def text_of(value: Any) -> str:
    """Return text as it is and numbers as JSON writes them. Raises ValueMalformedError."""
    if type(value) is str and value.isascii():  # as nearly all are
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    if not isinstance(value, str):
        raise ValueMalformedError(f"it is {shown(value)}, expected text")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueMalformedError(f"it is {shown(value)}, which is no text: half of a surrogate pair") from None
    return value


def integer_of(value: Any) -> int:
    """Return a 64-bit number, also from text with one. Raises ValueMalformedError."""
    number: int | None = None
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, float) and value.is_integer():
        number = int(value)
    elif isinstance(value, str):
        try:
            number = int(value)
        except ValueError:
            number = None
    if number is None or number not in INT64:
        raise ValueMalformedError(f"it is {shown(value)}, expected a whole number of 64 bits")
    return number


def real_of(value: Any) -> float:
    """Return a number, NaN and infinities as numbers or as text. Raises ValueMalformedError."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueMalformedError(f"it is {shown(value)}, expected a number")
    try:
        return float(value)
    except (ValueError, OverflowError):
        raise ValueMalformedError(f"it is {shown(value)}, expected a number") from None


def json_of(value: Any, *, ascii_only: bool = True) -> str:
    """Return JSON text with the spaces and escapes of MLflow's databases. Raises ValueMalformedError."""
    return text_of(json.dumps(value, ensure_ascii=ascii_only))


def _flag_of(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueMalformedError(f"it is {shown(value)}, expected true or false")
    return value


def shown(value: Any) -> str:
    """Return a value as a short text for messages."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    text = json.dumps(value, default=repr)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def printable(name: str) -> str:
    """Return a name as text that can be encoded."""
    return name.encode("utf-8", "backslashreplace").decode()


def _joined(*parts: str) -> str:
    return "/".join(part for part in parts if part)
