"""Which tests reach which functions, and how long each computes: found out by one run of all of them."""

from __future__ import annotations

import hashlib
import json
import resource
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import pytest

_PERHAPS: Final = 0.1
"""What a test that has found no mutant yet counts as having found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Names of the tests that reach each function, seconds that each test computes, and the modules they imported."""

    tests: dict[str, list[str]]
    seconds: dict[str, float]
    modules: list[str]

    def of(self, mutant: str, found: Mapping[str, int]) -> list[str]:
        """Return the tests that reach the function of a mutant, first those that find most in a second.

        ``found`` is how many mutants each test has found; of those that found none the fastest come first.
        """
        tests = self.tests.get(mutant.partition("__mutmut_")[0], [])
        return sorted(tests, key=lambda test: self.seconds[test] / (found.get(test, 0) + _PERHAPS))


def _cpu_seconds() -> float:
    """Return how long this process and those that it started have computed."""
    usages = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)  # pytest has sets of plugins
class Learning:
    """What pytest calls while all tests run on code in which nothing is changed."""

    digest: str
    reached: set[str] = field(default_factory=set)
    """The functions that mutmut has seen called: cleared behind each test."""
    before: frozenset[str] = field(default_factory=lambda: frozenset(sys.modules))
    tests: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    seconds: dict[str, float] = field(default_factory=dict)
    start: float = field(default_factory=_cpu_seconds)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note in the end of a test what it took, also of its fixtures, and what it reached."""
        if report.when == "teardown":
            self.seconds[report.nodeid] = _cpu_seconds() - sum(self.seconds.values()) - self.start
            for function in self.reached:
                self.tests[function].append(report.nodeid)
            self.reached.clear()

    def write(self, path: Path) -> None:
        """Write down what was learned, and of which code and tests."""
        modules = sorted(name for name in set(sys.modules) - self.before if _is_of_others(name))
        reach = Reach(tests=dict(self.tests), seconds=self.seconds, modules=modules)
        path.write_text(json.dumps({self.digest: asdict(reach)}), "utf-8")


def read_reach(path: Path, digest: str) -> Reach | None:
    """Return what was learned of code and tests with this digest, if anything was."""
    known = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return Reach(**known[digest]) if digest in known else None


def digest_of(files: Iterable[Path]) -> str:
    """Return one digest for all that some files hold."""
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _is_of_others(name: str) -> bool:
    """Return whether a module is one of a library, whose import cannot be what a test looks at."""
    return name.partition(".")[0] in sys.stdlib_module_names or (
        "site-packages" in (getattr(sys.modules[name], "__file__", None) or "")
    )
