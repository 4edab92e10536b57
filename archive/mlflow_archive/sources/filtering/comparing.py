"""What MLflow's comparators mean, as the databases mean them that its searches run in."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from mlflow_archive.errors import SelectionError

Holds = Callable[[Any], bool]
"""Says of a value whether a condition holds; of None it never does, as of NULL in SQL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """Where databases differ: ``escape`` makes LIKE take the next character as it is; ``ascii_case`` says that ILIKE
    sees no case but that of ASCII, ``lenient`` that RLIKE takes a pattern that is none and never matches."""

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
"""By the name of the database."""

IN_FILES: Final = Dialect(escape=None)
"""As MLflow compares what lies in files."""

_PLAIN: Final[Mapping[str, Callable[[Any, Any], bool]]] = MappingProxyType(
    {
        "=": lambda held, wanted: held == wanted,
        "!=": lambda held, wanted: held != wanted,
        "<": lambda held, wanted: held < wanted,
        "<=": lambda held, wanted: held <= wanted,
        ">": lambda held, wanted: held > wanted,
        ">=": lambda held, wanted: held >= wanted,
        "IN": lambda held, wanted: held in wanted,
        "NOT IN": lambda held, wanted: held not in wanted,
    }
)


def comparison(comparator: str, wanted: Any, dialect: Dialect) -> Holds:
    """Return what says whether a value compares so with ``wanted``. Raises SelectionError for a broken pattern."""
    if comparator in ("LIKE", "ILIKE"):
        matches: Holds = re.compile(_like(wanted, dialect.escape), _flags(comparator, dialect)).fullmatch  # type: ignore[assignment]
        return lambda held: held is not None and bool(matches(held))
    if comparator == "RLIKE":
        return _search(wanted, dialect)
    compare = _PLAIN[comparator]
    return lambda held: held is not None and compare(held, wanted)


def _search(pattern: str, dialect: Dialect) -> Holds:
    try:
        found = re.compile(pattern)
    except re.error as error:
        if dialect.lenient:
            return lambda held: False
        raise SelectionError(f"{pattern!r} is no regular expression: {error}") from error
    return lambda held: held is not None and found.search(held) is not None


def _flags(comparator: str, dialect: Dialect) -> re.RegexFlag:
    if comparator == "LIKE":
        return re.DOTALL
    return re.DOTALL | re.IGNORECASE | (re.ASCII if dialect.ascii_case else re.NOFLAG)


def _like(pattern: str, escape: str | None) -> str:
    """Return the regular expression for a pattern of LIKE."""
    found, characters = [], iter(pattern)
    for character in characters:
        if character == escape:
            found.append(re.escape(next(characters, "")))
        else:
            found.append({"%": ".*", "_": "."}.get(character) or re.escape(character))
    return "".join(found)
