"""The map from code to tests names what is there, so that no package is tried without its modules or tests."""

from __future__ import annotations

import pytest

from tests.mutants.equivalent import Equivalent
from tests.mutants.equivalents import KNOWN, is_equivalent
from tests.mutants.packages import PACKAGES
from tests.support.left_behind import REPOSITORY


@pytest.mark.parametrize("name", PACKAGES)
def test_modules_and_tests_of_a_package_exist(name: str) -> None:
    package = PACKAGES[name]
    code = REPOSITORY / "archive" / "mlflow_archive"
    assert [pattern for pattern in package.code if not list(code.glob(pattern))] == []
    tests = (*package.tests, *package.left_out)
    assert [path for path in tests if not (REPOSITORY / "tests" / path.partition("::")[0]).exists()] == []
    functions = [(path, function.partition("[")[0]) for path, _, function in (name.partition("::") for name in tests)]
    assert [name for path, name in functions if name and f"def {name}(" not in _text_of(path)] == []


def _text_of(path: str) -> str:
    return (REPOSITORY / "tests" / path).read_text("utf-8")


def test_an_equivalent_is_one_change_in_one_place() -> None:
    equivalent = Equivalent(within="a.b.*", code="x < 1", by="x <= 1", reason="x is even")
    assert equivalent.is_made_by("a.b.f", "if x < 1: x < 1", "if x <= 1: x < 1")
    assert not equivalent.is_made_by("a.b.f", "if x < 1: x < 1", "if x < 1: x <= 1")
    assert not equivalent.is_made_by("a.c.f", "if x < 1:", "if x <= 1:")
    assert not equivalent.is_made_by("a.b.f", "if x < 1:", "if x < 2:")


def test_names_of_threads_and_the_case_of_sql_are_not_seen() -> None:
    pool = 'ThreadPoolExecutor(jobs, thread_name_prefix="verify")'
    for changed in ("ThreadPoolExecutor(jobs, thread_name_prefix=None)", "ThreadPoolExecutor(jobs, )"):
        assert is_equivalent("a.f", pool, changed)
    assert not is_equivalent("a.f", pool, 'ThreadPoolExecutor(None, thread_name_prefix="verify")')
    assert is_equivalent("writer.scratch.Scratch.f", '"SELECT 1"', '"select 1"')
    assert not is_equivalent("writer.scratch.Scratch.f", '"SELECT 1"', '"XXSELECT 1XX"')
    assert not is_equivalent("writer.f", '"SELECT 1"', '"select 1"')


def test_the_guide_has_every_reason() -> None:
    text = " ".join((REPOSITORY / "docs" / "testing.md").read_text("utf-8").split())
    assert [known.reason for known in KNOWN if known.reason not in text] == []
