"""Values of a JSON object on their way into columns; what has another form than its column is told, not guessed.

Whatever a document holds beyond what is asked for is told too (``rest``): a later version of the tool may write
what this one does not know.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

OnBad = Callable[[str, str], None]
"""Told the field that cannot be read, and why."""

T = TypeVar("T")

INT64: Final = range(-(2**63), 2**63)
_SHOWN = 60


class Malformed(ValueError):  # noqa: N818 - never leaves this package
    """A value has not the form that its column needs; the message says what it is."""


class Fields:
    """One JSON object. ``place`` is before the names that ``bad`` is told."""

    def __init__(self, values: Mapping[str, Any], bad: OnBad, place: str = "") -> None:
        self._values = values
        self._bad = bad
        self._place = place
        self._asked: set[str] = set()

    def bad(self, name: str, reason: str) -> None:
        """Tell that a field cannot be carried."""
        self._bad("/".join(part for part in (self._place, name) if part), reason)

    def text(self, *names: str) -> str | None:
        """Return the first of these fields that is there and not null, as text; numbers as JSON writes them."""
        return self._first(names, text_of)

    def integer(self, *names: str) -> int | None:
        """Return the first of these fields that is there and not null, as a 64-bit number."""
        return self._first(names, integer_of)

    def time(self, *names: str) -> int | None:
        """Return milliseconds since the epoch. Where there is only the text for people, that, to the second."""
        return self._first((*names, *(f"_{name}" for name in names)), time_of)

    def flag(self, name: str) -> bool | None:
        """Return a truth value."""
        return self._first((name,), _flag_of)

    def json(self, name: str) -> str | None:
        """Return a field as JSON text as MLflow's databases hold it; text, which is JSON already, as it is."""
        return self._first((name,), lambda value: text_of(value) if isinstance(value, str) else json_of(value))

    def value(self, name: str) -> Any:
        """Return a field as it is."""
        self._asked.add(name)
        return self._values.get(name)

    def pairs(self, name: str) -> dict[str, str]:
        """Return key -> value of an object or of a list of ``{"key": …, "value": …}``; values that are null are ''."""
        found: dict[str, str] = {}
        for key, value in self._items(name):
            try:
                key_text, text = text_of(key), "" if value is None else text_of(value)
            except Malformed as error:
                self.bad(f"{name}/{_printable(str(key))}", str(error))
                continue
            if found.setdefault(key_text, text) != text:
                self.bad(f"{name}/{key_text}", f"it is there twice; the value {_show(text)} is left out")
        return found

    def objects(self, name: str) -> Iterator[Fields]:
        """Yield the objects in a list, each at ``name/number``."""
        found = self.value(name)
        if found is not None and not isinstance(found, list):
            self.bad(name, f"it is {_show(found)}, expected a list")
            return
        for number, each in enumerate(found or ()):
            place = "/".join(part for part in (self._place, name, str(number)) if part)
            if isinstance(each, Mapping):
                yield Fields(each, self._bad, place)
            else:
                self._bad(place, f"it is {_show(each)}, expected an object")

    def object(self, name: str, *, place: str | None = None) -> Fields:
        """Return the object in a field, empty where there is none; at ``place``, by default at the field's name."""
        found = self.value(name)
        place = "/".join(part for part in (self._place, name) if part) if place is None else place
        if found is not None and not isinstance(found, Mapping):
            self.bad(name, f"it is {_show(found)}, expected an object")
        return Fields(found if isinstance(found, Mapping) else {}, self._bad, place)

    def rest(self, *known: str) -> None:
        """Tell of the fields that hold something and that nobody asked for, but for those named here.

        Names that start with ``_`` are left: the tool repeats other fields there, for people.
        """
        for name, value in self._values.items():
            if name in self._asked or name in known or name.startswith("_") or value in (None, "", "None", [], {}):
                continue
            self.bad(_printable(name), f"this version knows no such field; it holds {_show(value)}")

    def _items(self, name: str) -> Iterator[tuple[Any, Any]]:
        found = self.value(name)
        if isinstance(found, Mapping):
            yield from found.items()
        elif isinstance(found, list):
            for number, each in enumerate(found):
                if isinstance(each, Mapping) and "key" in each:
                    yield each["key"], each.get("value")
                else:
                    self.bad(f"{name}/{number}", f"it is {_show(each)}, expected key and value")
        elif found is not None:
            self.bad(name, f"it is {_show(found)}, expected names with values")

    def _first(self, names: tuple[str, ...], convert: Callable[[Any], T]) -> T | None:
        problem: tuple[str, Malformed] | None = None
        self._asked.update(names)
        for name in names:
            value = self._values.get(name)
            if value is None:
                continue
            try:
                return convert(value)
            except Malformed as error:
                problem = problem or (name, error)
        if problem is not None:
            self.bad(problem[0], str(problem[1]))
        return None


def text_of(value: Any) -> str:
    """Return text as it is and numbers as JSON writes them. Raises Malformed."""
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    if not isinstance(value, str):
        raise Malformed(f"it is {_show(value)}, expected text")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise Malformed(f"it is {_show(value)}, which is no text: half of a surrogate pair") from None
    return value


def integer_of(value: Any) -> int:
    """Return a 64-bit number, also from text with one. Raises Malformed."""
    found: int | None = None
    if isinstance(value, int) and not isinstance(value, bool):
        found = value
    elif isinstance(value, float) and value.is_integer():
        found = int(value)
    elif isinstance(value, str):
        try:
            found = int(value)
        except ValueError:
            found = None
    if found is None or found not in INT64:
        raise Malformed(f"it is {_show(value)}, expected a whole number of 64 bits")
    return found


def real_of(value: Any) -> float:
    """Return a number, NaN and infinities as numbers or as text. Raises Malformed."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise Malformed(f"it is {_show(value)}, expected a number")
    try:
        return float(value)
    except (ValueError, OverflowError):
        raise Malformed(f"it is {_show(value)}, expected a number") from None


def time_of(value: Any) -> int:
    """Return milliseconds since the epoch, or those of the text ``2023-05-22 03:18:29``, UTC. Raises Malformed."""
    if isinstance(value, str) and not value.lstrip("-").isdigit():
        try:
            return int(datetime.fromisoformat(value).replace(tzinfo=UTC).timestamp()) * 1000
        except ValueError:
            raise Malformed(f"it is {_show(value)}, expected milliseconds since the epoch") from None
    return integer_of(value)


def json_of(value: Any, *, ascii_only: bool = True) -> str:
    """Return JSON text with the spaces and escapes of MLflow's databases. Raises Malformed."""
    return text_of(json.dumps(value, ensure_ascii=ascii_only))


def _flag_of(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Malformed(f"it is {_show(value)}, expected true or false")
    return value


def _show(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    text = json.dumps(value, default=repr)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def _printable(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()
