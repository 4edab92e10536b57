"""Values of a JSON object on their way into columns; what has another form than its column is reported, not guessed.

Whatever a document holds beyond what is asked for is reported too (``rest``): a later version of the tool may write
what this one does not know.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from mlflow_archive.sources.reading.gaplist import OnBad
from mlflow_archive.sources.reading.rows import INT64

T = TypeVar("T")

_SHOWN = 60


class ValueMalformedError(ValueError):
    """A value does not have the form that its column needs; the message says what it is."""


class Fields:
    """One JSON object. ``place`` is put before the names that are reported to ``bad``."""

    def __init__(self, values: Mapping[str, Any], bad: OnBad, place: str = "") -> None:
        self._values = values
        self._bad = bad
        self._place = place
        self._read: set[str] = set()

    def bad(self, name: str, reason: str) -> None:
        """Report that a field cannot be carried."""
        self._bad("/".join(part for part in (self._place, name) if part), reason)

    def text(self, *names: str) -> str | None:
        """Return the first of these fields that is not null, as text; numbers as JSON writes them."""
        return self._first(names, text_of)

    def integer(self, *names: str) -> int | None:
        """Return the first of these fields that is not null, as a 64-bit number."""
        return self._first(names, integer_of)

    def time(self, *names: str) -> int | None:
        """Return milliseconds since the epoch; to the second where only the text for people is there."""
        return self._first((*names, *(f"_{name}" for name in names)), time_of)

    def flag(self, name: str) -> bool | None:
        """Return a truth value."""
        return self._first((name,), _flag_of)

    def json(self, name: str) -> str | None:
        """Return a field as the JSON text that MLflow's databases hold; text is JSON already and stays as it is."""
        return self._first((name,), lambda value: text_of(value) if isinstance(value, str) else json_of(value))

    def value(self, name: str) -> Any:
        """Return a field as it is."""
        self._read.add(name)
        return self._values.get(name)

    def pairs(self, name: str) -> dict[str, str]:
        """Return key -> value of an object or of a list of ``{"key": …, "value": …}``; values that are null are ''."""
        pairs: dict[str, str] = {}
        for key, value in self._items(name):
            try:
                key_text, text = text_of(key), "" if value is None else text_of(value)
            except ValueMalformedError as error:
                self.bad(f"{name}/{printable(str(key))}", str(error))
                continue
            if pairs.setdefault(key_text, text) != text:
                self.bad(f"{name}/{key_text}", f"it is there twice; the value {_show(text)} is left out")
        return pairs

    def objects(self, name: str) -> Iterator[Fields]:
        """Yield the objects in a list, each at ``name/number``."""
        items = self.value(name)
        if items is not None and not isinstance(items, list):
            self.bad(name, f"it is {_show(items)}, expected a list")
            return
        for number, item in enumerate(items or ()):
            place = "/".join(part for part in (self._place, name, str(number)) if part)
            if isinstance(item, Mapping):
                yield Fields(item, self._bad, place)
            else:
                self._bad(place, f"it is {_show(item)}, expected an object")

    def object(self, name: str, *, place: str | None = None) -> Fields:
        """Return the object in a field, empty where there is none; at ``place``, by default at the field's name."""
        content = self.value(name)
        place = "/".join(part for part in (self._place, name) if part) if place is None else place
        if content is not None and not isinstance(content, Mapping):
            self.bad(name, f"it is {_show(content)}, expected an object")
        return Fields(content if isinstance(content, Mapping) else {}, self._bad, place)

    def rest(self, *known: str) -> None:
        """Report the fields that hold something and that nobody asked for, except those named here.

        Names that start with ``_`` are passed over: the tool repeats other fields there, for people.
        """
        for name, value in self._values.items():
            if name in self._read or name in known or name.startswith("_") or value in (None, "", "None", [], {}):
                continue
            self.bad(printable(name), f"this version knows no such field; it holds {_show(value)}")

    def _items(self, name: str) -> Iterator[tuple[Any, Any]]:
        content = self.value(name)
        if isinstance(content, Mapping):
            yield from content.items()
        elif isinstance(content, list):
            for number, item in enumerate(content):
                if isinstance(item, Mapping) and "key" in item:
                    yield item["key"], item.get("value")
                else:
                    self.bad(f"{name}/{number}", f"it is {_show(item)}, expected key and value")
        elif content is not None:
            self.bad(name, f"it is {_show(content)}, expected names with values")

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


def text_of(value: Any) -> str:
    """Return text as it is and numbers as JSON writes them. Raises ValueMalformedError."""
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    if not isinstance(value, str):
        raise ValueMalformedError(f"it is {_show(value)}, expected text")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueMalformedError(f"it is {_show(value)}, which is no text: half of a surrogate pair") from None
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
        raise ValueMalformedError(f"it is {_show(value)}, expected a whole number of 64 bits")
    return number


def real_of(value: Any) -> float:
    """Return a number, NaN and infinities as numbers or as text. Raises ValueMalformedError."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueMalformedError(f"it is {_show(value)}, expected a number")
    try:
        return float(value)
    except (ValueError, OverflowError):
        raise ValueMalformedError(f"it is {_show(value)}, expected a number") from None


def time_of(value: Any) -> int:
    """Return milliseconds since the epoch, or those of the text ``2023-05-22 03:18:29``, UTC.

    Raises ValueMalformedError.
    """
    if isinstance(value, str) and not value.lstrip("-").isdigit():
        try:
            return int(datetime.fromisoformat(value).replace(tzinfo=UTC).timestamp()) * 1000
        except ValueError:
            raise ValueMalformedError(f"it is {_show(value)}, expected milliseconds since the epoch") from None
    return integer_of(value)


def json_of(value: Any, *, ascii_only: bool = True) -> str:
    """Return JSON text with the spaces and escapes of MLflow's databases. Raises ValueMalformedError."""
    return text_of(json.dumps(value, ensure_ascii=ascii_only))


def _flag_of(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueMalformedError(f"it is {_show(value)}, expected true or false")
    return value


def _show(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    text = json.dumps(value, default=repr)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def printable(name: str) -> str:
    """Return a name as text that can be encoded."""
    return name.encode("utf-8", "backslashreplace").decode()
