"""What MLflow's comparators mean, as the databases mean them that its searches run in."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from mlflow_archive.errors import SelectionError

Holds = Callable[[Any], bool]
"""Returns whether a condition holds for a value; for None it never does, as for NULL in SQL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How databases differ. ``escape`` makes LIKE take the next character as it is.

    With ``ascii_case`` ILIKE ignores the case of ASCII letters only; with ``lenient`` RLIKE accepts a broken pattern,
    which then never matches.
    """

    escape: str | None = "\\"
    ascii_case: bool = False
    lenient: bool = False


DIALECTS: Final[Mapping[str, Dialect]] = MappingProxyType(
    {
        "sqlite": Dialect(escape=None, ascii_case=True, lenient=True),
        "postgresql": Dialect(),
        "mysql": Dialect(),
    }
)
"""How each database compares, by its name."""

IN_FILES: Final = Dialect(escape=None)
"""How MLflow compares what lies in files."""

_PLAIN: Final[Mapping[str, Callable[[Any, Any], bool]]] = MappingProxyType(
    {
        "=": lambda value, operand: value == operand,
        "!=": lambda value, operand: value != operand,
        "<": lambda value, operand: value < operand,
        "<=": lambda value, operand: value <= operand,
        ">": lambda value, operand: value > operand,
        ">=": lambda value, operand: value >= operand,
        "IN": lambda value, operand: value in operand,
        "NOT IN": lambda value, operand: value not in operand,
    }
)


def comparison(comparator: str, operand: Any, dialect: Dialect) -> Holds:
    """Return a function of a value: whether it compares so with ``operand``.

    Raises SelectionError for a broken pattern.
    """
    if comparator in ("LIKE", "ILIKE"):
        matches: Holds = re.compile(_like(operand, dialect.escape), _flags(comparator, dialect)).fullmatch  # type: ignore[assignment]
        return lambda value: value is not None and bool(matches(value))
    if comparator == "RLIKE":
        return _search(operand, dialect)
    compare = _PLAIN[comparator]
    return lambda value: value is not None and compare(value, operand)


def _search(pattern: str, dialect: Dialect) -> Holds:
    try:
        expression = re.compile(pattern)
    except re.error as error:
        if dialect.lenient:
            return lambda value: False
        raise SelectionError(f"{pattern!r} is no regular expression: {error}") from error
    return lambda value: value is not None and expression.search(value) is not None


def _flags(comparator: str, dialect: Dialect) -> re.RegexFlag:
    if comparator == "LIKE":
        return re.DOTALL
    return re.DOTALL | re.IGNORECASE | (re.ASCII if dialect.ascii_case else re.NOFLAG)


def _like(pattern: str, escape: str | None) -> str:
    """Return the regular expression for a pattern of LIKE."""
    parts, characters = [], iter(pattern)
    for character in characters:
        if character == escape:
            parts.append(re.escape(next(characters, "")))
        else:
            parts.append({"%": ".*", "_": "."}.get(character) or re.escape(character))
    return "".join(parts)
