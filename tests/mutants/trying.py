"""``python -m tests.mutants.trying SETTINGS``: run on each mutant the tests that reach it.

pytest collects all tests once; each mutant has a fork of that process, which runs tests until one fails, first those
that found other mutants fast. Runs in the folder of a package, after :mod:`tests.mutants.making`, with the copies of
code and tests that mutmut made.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Final

import pytest
from mutmut.configuration import config as options_of_mutmut
from mutmut.state import state

from tests.mutants.reaching import Learning, Reach, digest_of, read_reach
from tests.mutants.records import NO_TESTS, write_code

_TIMEOUT: Final = 36
"""What mutmut writes down for a mutant on which tests do not end."""

_MUTANT: Final = "MUTANT_UNDER_TEST"
"""The environment variable by which mutants are chosen, also in processes that tests start."""

_MEMORY_BYTES: Final = 6 << 30
_REACH: Final = "reach.json"

OUTPUT: Final = "pytest.txt"
"""What pytest printed, in the folder of the package."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A process in which tests run on a mutant, and when it is ended."""

    mutant: str
    deadline: float


@dataclass(slots=True, kw_only=True, eq=False)  # pytest has sets of plugins
class Trying:
    """What pytest calls when tests are collected: in forks it goes on with tests, and leaves when they are done."""

    folder: Path
    mutants: list[str]
    jobs: int
    children: dict[int, Child] = field(default_factory=dict)
    found: Counter[str] = field(default_factory=Counter)
    learning: Learning | None = None
    is_fork: bool = False
    seconds: Mapping[str, float] = field(default_factory=dict)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Have a fork for each mutant; in a fork, let pytest run the tests that are left in its list."""
        session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]  # one for all forks
        reach = self.reach(session)
        if reach is None:
            return None
        for name in reach.modules:
            with suppress(ImportError):
                importlib.import_module(name)
        items = {item.nodeid: item for item in session.items}
        for mutant in self.mutants:
            if not (tests := reach.of(mutant, self.found)):
                write_code(self.folder, mutant, NO_TESTS)
            elif self.forked(mutant, sum(reach.seconds[test] for test in tests)):
                self.seconds = reach.seconds
                session.items[:] = [items[test] for test in tests]
                return None
        while self.children:
            self.wait()
        return True

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """End a test that takes far longer on a mutant than without."""
        if item.nodeid in self.seconds:
            most = ceil(time.process_time() + 3 * self.seconds[item.nodeid]) + 5
            resource.setrlimit(resource.RLIMIT_CPU, (most, resource.RLIM_INFINITY))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Say which test found a mutant, so that it comes early for the next ones."""
        if self.is_fork and report.failed:
            self.finder(os.getpid()).write_text(report.nodeid, "utf-8")

    def finder(self, process: int) -> Path:
        """Return the file in which a fork names the test that failed in it."""
        return self.folder / f"found-by-{process}.txt"

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Leave a fork after its fixtures are torn down, before what belongs to all is."""
        if self.learning:
            self.learning.write(self.folder / _REACH)
        if self.is_fork:
            os._exit(exitstatus)

    def reach(self, session: pytest.Session) -> Reach | None:
        """Return which tests reach what, or nothing in the fork that finds it out."""
        common = [path for place in ("src", "tests/support") for path in Path(place).rglob("*.py")]
        digest = digest_of({path.resolve() for path in [*common, *(item.path for item in session.items)]})
        if known := read_reach(self.folder / _REACH, digest):
            return known
        if (process := os.fork()) == 0:
            os.environ[_MUTANT] = "stats"
            self.is_fork, self.learning = True, Learning(digest=digest, reached=state()._stats)
            session.config.pluginmanager.register(self.learning)
            return None
        if code := os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]):
            raise pytest.UsageError(f"tests fail where nothing is changed ({code}): {self.folder / OUTPUT} says how")
        return read_reach(self.folder / _REACH, digest)

    def forked(self, mutant: str, seconds: float) -> bool:
        """Wait until there is room, then start a fork; return whether this is the fork."""
        while len(self.children) >= self.jobs:
            self.wait()
        if (process := os.fork()) == 0:
            os.setpgrp()
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            self.children.clear()
            self.is_fork, os.environ[_MUTANT] = True, mutant
            resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY_BYTES, _MEMORY_BYTES))
            return True
        self.children[process] = Child(mutant=mutant, deadline=time.monotonic() + 20 * seconds + 60)
        return False

    def wait(self) -> None:
        """Write down what became of the mutants whose tests are done; end those that take too long."""
        time.sleep(0.02)
        for process, child in list(self.children.items()):
            is_late = time.monotonic() > child.deadline
            if is_late:
                os.killpg(process, signal.SIGKILL)
            done, status = os.waitpid(process, 0 if is_late else os.WNOHANG)
            if done:
                code = os.waitstatus_to_exitcode(status)
                write_code(self.folder, child.mutant, _TIMEOUT if is_late else code)
                del self.children[process]
                if (finder := self.finder(process)).exists():
                    self.found[finder.read_text("utf-8")] += 1
                    finder.unlink()


def main(settings: Path) -> int:
    """Run tests on the mutants that a file names; return what pytest returns."""
    asked = json.loads(settings.read_text("utf-8"))
    options_of_mutmut()  # read here, where its options are
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # forks are ended, too
    trying = Trying(folder=Path.cwd(), mutants=asked["mutants"], jobs=asked["jobs"])
    with Path(OUTPUT).open("wb") as output, Path(os.devnull).open("rb") as nothing:
        for stream, file in ((0, nothing), (1, output), (2, output)):
            os.dup2(file.fileno(), stream)
    os.chdir("mutants")
    try:
        return int(pytest.main(["--rootdir=.", "--tb=native", "-x", "-q", "-s", *asked["pytest"]], plugins=[trying]))
    finally:
        for process in trying.children:
            with suppress(ProcessLookupError):
                os.killpg(process, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
