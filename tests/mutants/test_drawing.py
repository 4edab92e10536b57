"""Draws of mutants, what is said of all from one of them, and which tests a mutant is tried on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutants.drawing import draw, interval
from tests.mutants.reaching import Learning, Reach, digest_of, read_reach


def test_a_draw_is_the_same_for_a_seed_and_changes_little_with_the_names() -> None:
    names = [f"m{number}" for number in range(100)]
    drawn = draw(names, 10, "1")
    assert drawn == draw(reversed(names), 10, "1")
    assert len(set(drawn)) == 10
    assert set(drawn) <= set(names)
    assert draw(names, 10, "2") != drawn
    assert draw(names, 3, "1") == drawn[:3]
    assert draw([name for name in names if name != drawn[0]], 9, "1") == drawn[1:]
    assert draw(names, 200, "1") == draw(names, 100, "1")
    assert draw(names, 0, "1") == []


@pytest.mark.parametrize(
    ("found", "of", "least", "most"),
    [(0, 0, 0, 1), (0, 10, 0, 0.2775), (10, 10, 0.7225, 1), (81, 263, 0.2553, 0.3662), (270, 300, 0.8608, 0.9291)],
)
def test_wilsons_interval(found: int, of: int, least: float, most: float) -> None:
    assert list(interval(found, of)) == pytest.approx([least, most], abs=5e-5)


def test_of_the_tests_that_reach_a_function_those_come_first_that_find_most_in_a_second() -> None:
    reach = Reach(tests={"a.x_f": ["slow", "fast"]}, seconds={"slow": 2.0, "fast": 1.0, "other": 0.5}, modules=[])
    assert reach.of("a.x_f__mutmut_12", {}) == ["fast", "slow"]
    assert reach.of("a.x_f__mutmut_12", {"slow": 1}) == ["slow", "fast"]
    assert reach.of("a.x_f__mutmut_12", {"slow": 1, "fast": 1, "other": 9}) == ["fast", "slow"]
    assert reach.of("a.x_g__mutmut_1", {}) == []


def test_what_was_learned_counts_for_the_same_code_only(tmp_path: Path) -> None:
    code, reach = tmp_path / "code.py", tmp_path / "reach.json"
    code.write_text("1")
    assert read_reach(reach, digest_of([code])) is None
    Learning(digest=digest_of([code])).write(reach)
    known = read_reach(reach, digest_of([code]))
    assert known is not None
    assert (known.tests, known.seconds) == ({}, {})
    code.write_text("2")
    assert read_reach(reach, digest_of([code])) is None
