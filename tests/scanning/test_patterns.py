"""What is found, and what is not: whole lines, from sets that ``bench/planted.py`` makes."""

from __future__ import annotations

import random
import re
from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from bench.planted import HELD_OUT, NOISE, TUNING, Draw
from hypothesis import given, settings
from hypothesis.strategies import DataObject, data, from_regex, sampled_from

from mlflow_archive.scanning import credentials, library
from mlflow_archive.scanning.archive import searcher
from mlflow_archive.scanning.credentials import ASSIGNED, TOKENS
from mlflow_archive.scanning.library import library_patterns
from mlflow_archive.scanning.patterns import CREDENTIAL, PERSONAL, Pattern

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
        *((f"password={value}", [value]) for value in ("a1b2c3", "ABC123", "abc123")),
        *((f"password={value}", []) for value in ("a1b2c", "abcdef", "1234567", "get1pass()", "keys[1x]")),
        *((f"password={value}", []) for value in ("self.pass1", "os.pass1x", "~/secret1", "./secret1", "/secret1")),
        (f"password='p-{'0a' * 16}'", []),
        ('{"apiKey": "abcd1234efgh"}', ["abcd1234efgh"]),
        (r"{\"api_key\": \"abcd1234efgh\"}", ["abcd1234efgh"]),
    ],
)
def test_values(text: str, found: list[str]) -> None:
    assert [hit.value for hit in SEARCH.column(pa.array([None, text]))] == found


def test_what_begins_inside_a_longer_word_is_no_value_of_a_pattern_that_stands_apart() -> None:
    def found(expression: str, text: str, *, group: int = 0, apart: bool = True) -> list[tuple[int, int]]:
        pattern = Pattern(kind="k", name="n", sign="", regex=re.compile(expression), value=group, apart=apart)
        return list(pattern.values(text))

    assert found("a-b", "xa-b a-b a-b+a-b") == [(5, 8), (9, 12)]
    assert found("-a", "x-a") == [(1, 3)]
    assert found("a(b)?", "a ab c", group=1) == []
    assert found("a(b)?", "a xab", group=1, apart=False) == [(4, 5)]


def test_a_token_ends_where_its_word_does() -> None:
    token = credentials._token("two digits", "ab_", "[0-9]{2}")
    text = "ab_12 xab_12 Xab_12 0ab_12 _ab_12 -ab_12 .ab_12 ab_123 ab_12x ab_12-"
    begins = (0, text.index(".ab_12") + 1, text.index(" ab_12-") + 1)
    assert list(token.values(text)) == [(begin, begin + 5) for begin in begins]
    assert (token.kind, token.name, token.sign) == (CREDENTIAL, "two digits", "ab_")


GROUPED = {
    ("AWS Access Key", 1): 1,
    ("Basic Auth Credentials", 1): 1,
    ("Cloudant Credentials", 1): 4,
    ("IBM COS HMAC Credentials", 1): 1,
    ("IBM Cloud IAM Key", 1): 1,
    ("SoftLayer Credentials", 1): 2,
}


def test_patterns_of_the_library_are_taken_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """A group is the value but where it is the beginning of a token; letters and digits are those of ASCII alone."""
    patterns = library_patterns()
    assert {pattern.kind for pattern in patterns} == {CREDENTIAL}
    assert all(pattern.apart for pattern in patterns)
    assert Counter((pattern.name, pattern.value) for pattern in patterns if pattern.value) == GROUPED
    ignoring_case = {pattern.name for pattern in patterns if pattern.regex.flags & re.IGNORECASE}
    assert ignoring_case == {name for name, _ in GROUPED} - {"Basic Auth Credentials"} | {"Slack Token"}
    assert {pattern.name for pattern in patterns if pattern.regex.flags & re.VERBOSE} == {"Slack Token"}
    assert [pattern.name for pattern in PATTERNS if not pattern.regex.flags & re.ASCII] == []
    assert not any(pattern.sign == "" for pattern in patterns)
    monkeypatch.setattr(library, "_SIGNS", {})
    assert {pattern.sign for pattern in library_patterns()} == {""}
