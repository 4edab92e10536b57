"""What tests need, as their code says: which of them start servers, and which share what takes long to make.

Marks follow from that, so that no list of tests has to be kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any, Final

import pytest
from hypothesis import settings

STARTERS: Final = frozenset({"running_server", "postgres_server", "running_s3", "Popen"})
"""What starts a process that runs beside a test: functions of ``tests.support``, and what the standard library has."""

SLOW: Final = frozenset(
    {
        *("make_everything", "make_full_store"),  # MLflow fills a store
        *("own_migrations", "each_revision"),  # MLflow makes its tables, or does so for every schema revision
        *("dying", "Doubtful", "materialize", "positions_to_hit", "SmallDisk"),  # the same wherever it may break
        *("executable", "get_context"),  # Python starts anew
        *("faulty_proxy", "judge"),  # hundreds of requests, or all commands
    }
)
"""Names in the code of tests, and of what they call, that take as long as many tests."""

_ONE_WORKER: Final = ("both", "everything", "filled", "full_store")
"""Fixtures of a session that take long to make; those of a module need no list."""

_Definitions = list[pytest.FixtureDef[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a test needs: a ``server``, a lot of ``time``, and a worker of its own ``group`` of tests.

    Those of a group must share a worker, or what they share would be made twice.
    """

    server: bool
    time: bool
    group: str | None
    weight: float
    """About how many seconds it takes."""


class Needs:
    """What the tests of a session need; remembers what each function calls."""

    def __init__(self, session: pytest.Session) -> None:
        self._session = session
        self._reaching: dict[tuple[CodeType, frozenset[str]], bool] = {}
        self._fixtures: dict[tuple[pytest.Item | pytest.Collector | None, tuple[str, ...]], _Definitions] = {}

    def of(self, item: pytest.Item) -> Need:
        """Return what a test needs."""
        definitions = self._definitions(item)
        functions = [getattr(item, "function"), *(one.func for one in definitions)]  # noqa: B009 - of pytest.Function
        server = any(self._reaches(function, STARTERS) for function in functions)
        limited = item.get_closest_marker("timeout") is not None
        slow = limited or _tries_few(item) or any(self._reaches(function, SLOW) for function in functions)
        weight = 20 if limited else 4 if slow else 1 if server else 0.1
        return Need(server=server, time=slow, group=_group(item, definitions), weight=weight)

    def _definitions(self, item: pytest.Item) -> _Definitions:
        """Return the fixtures of a test, those that it or they ask for by name while it runs as well."""
        names = list(getattr(item, "fixturenames", ()))
        parameters = getattr(item, "callspec", None)
        names += [value for value in (parameters.params.values() if parameters else ()) if isinstance(value, str)]
        key = item.parent, tuple(names)
        if key not in self._fixtures:
            self._fixtures[key] = self._defined(names, item)
        return self._fixtures[key]

    def _defined(self, names: list[str], item: pytest.Item) -> _Definitions:
        definitions: dict[str, pytest.FixtureDef[Any]] = {}
        while names:
            name = names.pop()
            if name not in definitions and (fixtures := self._session._fixturemanager.getfixturedefs(name, item)):
                definitions[name] = fixtures[-1]
                names += [*fixtures[-1].argnames, *_asked_for(fixtures[-1].func)]
        return list(definitions.values())

    def _reaches(self, function: Callable[..., Any], names: frozenset[str]) -> bool:
        """Return whether a function of the tests uses one of the names, itself or by what it calls."""
        plain = getattr(function, "__wrapped__", function)
        if not isinstance(plain, FunctionType):
            return False
        key = plain.__code__, names
        if key not in self._reaching:
            self._reaching[key] = False  # for functions that call each other
            used = not names.isdisjoint(_names(plain.__code__))
            self._reaching[key] = used or any(self._reaches(called, names) for called in _called(plain))
        return self._reaching[key]


def _tries_few(item: pytest.Item) -> bool:
    """Return whether a test is a law that tries fewer examples than others, as each takes long."""
    usual = settings.get_profile("default")
    own = getattr(getattr(item, "function"), "_hypothesis_internal_use_settings", usual)  # noqa: B009 - of Function
    of_profile = settings().max_examples  # of one for few examples, too, which says nothing of the test
    return bool(own.max_examples < usual.max_examples and own.max_examples != of_profile)


def _group(item: pytest.Item, definitions: _Definitions) -> str | None:
    for name in _ONE_WORKER:
        if any(one.argname == name and one.scope == "session" for one in definitions):
            return name
    if any(one.scope == "module" for one in definitions):
        return item.nodeid.partition("::")[0]
    return None


def _asked_for(function: Callable[..., Any]) -> Iterator[str]:
    """Yield the names that a fixture may give to ``getfixturevalue``."""
    code = getattr(function, "__code__", None)
    if code is not None and "getfixturevalue" in code.co_names:
        yield from (constant for constant in code.co_consts if isinstance(constant, str))


def _called(function: FunctionType) -> Iterator[Callable[..., Any]]:
    """Yield the functions of tests whose names a function uses, and the methods of such classes."""
    for name in _names(function.__code__):
        value = function.__globals__.get(name)
        if getattr(value, "__module__", "").startswith("tests."):
            if isinstance(value, type):
                yield from (method for method in vars(value).values() if isinstance(method, FunctionType))
            elif callable(value):
                yield value


def _names(code: CodeType) -> Iterable[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
