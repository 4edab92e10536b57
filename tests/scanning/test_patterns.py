"""What is found, and what is not: whole lines, from sets that ``bench/planted.py`` makes."""

from __future__ import annotations

import random

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from bench.planted import HELD_OUT, NOISE, TUNING, Draw
from hypothesis import given, settings
from hypothesis.strategies import DataObject, data, from_regex, sampled_from

from mlflow_archive.scanning.archive import searcher
from mlflow_archive.scanning.credentials import ASSIGNED, TOKENS
from mlflow_archive.scanning.library import library_patterns
from mlflow_archive.scanning.patterns import PERSONAL, Pattern

SEARCH = searcher()
EACH = 20
PATTERNS = [*library_patterns(), *TOKENS, *ASSIGNED, *PERSONAL]


def lines_found(draw: Draw, seed: int) -> int:
    chance = random.Random(seed)  # noqa: S311 - made-up lines
    return len({line for line, _ in SEARCH.file(["\n".join(draw(chance) for _ in range(EACH)).encode()])})


@pytest.mark.parametrize("form", TUNING)
def test_what_was_tuned_for_is_found(form: str) -> None:
    assert lines_found(TUNING[form], 1) == EACH


@pytest.mark.parametrize("form", [form for form in HELD_OUT if form != "AWS secret in a file"])
def test_other_forms_are_found(form: str) -> None:
    assert lines_found(HELD_OUT[form], 2) == EACH


@pytest.mark.parametrize("form", NOISE)
def test_what_is_no_secret_is_not(form: str) -> None:
    assert lines_found(NOISE[form], 3) == 0


@settings(max_examples=25, deadline=None)
@given(pattern=sampled_from(PATTERNS), drawn=data())
def test_a_pattern_matches_nothing_without_its_sign(pattern: Pattern, drawn: DataObject) -> None:
    """Else a fast search would pass over what the pattern finds."""
    text = drawn.draw(from_regex(pattern.regex))
    assert pc.match_substring_regex(pa.array([text]), pattern.sign).to_pylist() == [True], text


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("DE89 3704 0044 0532 0130 00", ["DE89 3704 0044 0532 0130 00"]),
        ("DE88 3704 0044 0532 0130 00", []),
        ("DE89 3704 0044 0532 0130 0", []),
        ("4111-1111-1111-1111", ["4111-1111-1111-1111"]),
        ("4111-1111-1111-1112", []),
        ("0.4111111111111111", []),
        ("id 4111111111111111a", []),
        ("git@github.com icon@2x.png ada@bank.example", ["ada@bank.example"]),
        ("xAKIAABCDEFGHIJKLMNOP", []),
        ("postgresql://ml:hunter2@db.bank.example/x", ["hunter2"]),
        ("password=hunter2", ["hunter2"]),
        ("password=getpass()", []),
        ('{"apiKey": "abcd1234efgh"}', ["abcd1234efgh"]),
        (r"{\"api_key\": \"abcd1234efgh\"}", ["abcd1234efgh"]),
    ],
)
def test_values(text: str, found: list[str]) -> None:
    assert [hit.value for hit in SEARCH.column(pa.array([None, text]))] == found
