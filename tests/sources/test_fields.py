"""Single values of JSON and YAML on their way into columns: exact, or refused with what they are."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nan
from typing import Any

import pytest

from mlflow_archive.sources.reading.fields import (
    Fields,
    ValueMalformedError,
    integer_of,
    json_of,
    printable,
    real_of,
    refuse,
    row_of,
    shown,
    text_of,
)

MOST, LEAST = 2**63 - 1, -(2**63)


def said(convert: Callable[[Any], Any], value: Any) -> str:
    """Return what is said of a value that is refused."""
    with pytest.raises(ValueMalformedError) as caught:
        convert(value)
    return str(caught.value)


def test_texts() -> None:
    values = ["a", "é", "", True, 7, 0.5, nan]
    assert [text_of(value) for value in values] == ["a", "é", "", "true", "7", "0.5", "NaN"]
    assert said(text_of, ["a"]) == 'it is ["a"], expected text'
    assert said(text_of, None) == "it is null, expected text"
    assert said(text_of, "\ud800") == r'it is "\ud800", which is no text: half of a surrogate pair'


def test_whole_numbers_of_64_bits() -> None:
    right: list[tuple[Any, int]] = [(MOST, MOST), (LEAST, LEAST), (7.0, 7), ("-3", -3), (str(MOST), MOST), (-0.0, 0)]
    for value, number in right:
        assert integer_of(value) == number
        assert type(integer_of(value)) is int
    wrong: list[tuple[Any, str]] = [
        *((MOST + 1, str(MOST + 1)), (LEAST - 1, str(LEAST - 1)), (True, "true"), (0.5, "0.5"), ("x", '"x"')),
        *((None, "null"), (inf, "inf"), (nan, "nan"), ("1.0", '"1.0"'), ([], "[]"), (2.0**63, "9.223372036854776e+18")),
    ]
    for value, text in wrong:
        assert said(integer_of, value) == f"it is {text}, expected a whole number of 64 bits"


def test_numbers() -> None:
    right: list[tuple[Any, float]] = [(1, 1.0), ("0.5", 0.5), ("-Infinity", -inf), (2.5, 2.5)]
    for value, number in right:
        assert real_of(value) == number
        assert type(real_of(value)) is float
    assert repr(real_of("NaN")) == "nan"
    wrong: list[tuple[Any, str]] = [(True, "true"), ("x", '"x"'), (None, "null"), ({}, "{}")]
    for value, text in wrong:
        assert said(real_of, value) == f"it is {text}, expected a number"
    assert said(real_of, 10**400) == f"it is {'1' + '0' * 59}…, expected a number"


def test_json_is_as_mlflow_writes_it() -> None:
    assert json_of({"b": ["é"], "a": None}) == '{"b": ["\\u00e9"], "a": null}'
    assert json_of(["é"], ascii_only=False) == '["é"]'


def test_values_are_shown_in_sixty_characters() -> None:
    assert shown("a" * 58) == '"' + "a" * 58 + '"'
    assert shown("a" * 59) == '"' + "a" * 59 + "…"
    assert (shown(nan), shown(-inf), shown(1.5), shown(None)) == ("nan", "-inf", "1.5", "null")
    assert shown({1}) == '"{1}"'
    assert printable("a\ud800é") == r"a\ud800é"


def test_a_refusal_names_the_field_where_there_is_one() -> None:
    for name, message in (("f", "f: why"), ("", "why")):
        with pytest.raises(ValueMalformedError) as caught:
            refuse(name, "why")
        assert str(caught.value) == message


class Told:
    """What was reported as bad."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, str]] = []

    def __call__(self, name: str, reason: str) -> None:
        self.entries.append((name, reason))


@pytest.fixture
def told() -> Told:
    return Told()


def test_the_first_field_that_is_not_null_and_can_be_read_counts(told: Told) -> None:
    fields = Fields({"a": None, "b": [], "c": 3, "d": 4}, told, "p")
    assert fields.integer("a", "b", "c", "d") == 3
    assert told.entries == []
    assert fields.integer("b") is None
    assert fields.real("b", "a") is None
    assert fields.integer("a", "x") is None
    assert told.entries == [
        ("p/b", "it is [], expected a whole number of 64 bits"),
        ("p/b", "it is [], expected a number"),
    ]


def test_each_type_of_field(told: Told) -> None:
    values = {"t": "x", "u": "http://a:b@h", "i": 5, "r": 0.5, "f": False, "j": '{"a":1}', "o": {"a": 1}, "e": ""}
    fields = Fields(values, told)
    assert (fields.text("t"), fields.location("u"), fields.location("x")) == ("x", "http://h", None)
    assert (fields.integer("i"), fields.time("i"), fields.real("r"), fields.flag("f")) == (5, 5, 0.5, False)
    assert (fields.json("j"), fields.json("o"), fields.json("i")) == ('{"a":1}', '{"a": 1}', "5")
    assert (fields.value("o"), fields.value("x"), fields.required("x", "t")) == ({"a": 1}, None, "x")
    assert fields.text("e") == ""
    assert Fields(values, told, blank_is_null=True).text("e") is None
    assert told.entries == []
    assert fields.flag("i") is None
    assert told.entries == [("i", "it is 5, expected true or false")]
    with pytest.raises(ValueMalformedError) as caught:
        Fields({}, told, "p").required("x", "y")
    assert str(caught.value) == "p/x is missing"
    assert ("t" in fields, "x" in fields, bool(fields), bool(Fields({}, told))) == (True, False, True, False)


def test_pairs_of_an_object_and_of_a_list(told: Told) -> None:
    assert Fields({"p": {"a": 1, "b": None}}, told).pairs("p") == {"a": "1", "b": ""}
    listed = [{"key": "a", "value": "1"}, {"key": "b"}, {"key": "a", "value": "1"}, {"key": "c", "value": None}]
    assert Fields({"p": listed}, told).pairs_with_nulls("p") == {"a": "1", "b": None, "c": None}
    assert Fields({}, told).pairs("p") == {}
    assert told.entries == []
    odd = [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}, {"key": "b", "value": []}, {"value": 1}, 7]
    assert Fields({"p": odd}, told, "at").pairs("p") == {"a": "1"}
    assert Fields({"p": "x"}, told).pairs("p") == {}
    assert told.entries == [
        ("at/p/a", 'it is there twice; the value "2" is left out'),
        ("at/p/b", "it is [], expected text"),
        ("at/p/3", 'it is {"value": 1}, expected key and value'),
        ("at/p/4", "it is 7, expected key and value"),
        ("p", 'it is "x", expected names with values'),
    ]


def test_objects_and_what_of_them_nobody_read(told: Told) -> None:
    values = {
        "one": {"a": 1, "b": 2},
        "many": [{"a": 1}, 5, {"c": 3}],
        "rows": [{"a": 1}, "x", {"a": 1, "d": 4}],
        "odd": [],
        "empty": "",
        "new": 9,
        "h\ud800": 1,
    }
    fields = Fields(values, told, "at", path="of")
    assert fields.object("one").integer("a") == 1
    assert [inner.integer("a") for inner in fields.objects("many")] == [1, None]
    assert list(fields.items("rows", frozenset("a"))) == [{"a": 1}, {"a": 1, "d": 4}]
    assert not fields.object("odd")
    assert not fields.object("gone", place="elsewhere")
    assert told.entries == [
        ("at/many/1", "it is 5, expected an object"),
        ("at/rows/1", 'it is "x", expected an object'),
        ("at/odd", "it is [], expected an object"),
    ]
    assert sorted(fields.unread()) == [r"of/h\ud800", "of/many/c", "of/new", "of/one/b", "of/rows/d"]
    fields.leave_out("new", "why")
    assert told.entries[-1] == ("at/new", "why")
    assert list(fields.unread()) == []


def test_a_row_is_read_by_the_types_of_its_columns(told: Told) -> None:
    fields = Fields({"key": "k", "val": 7, "run_id": "mine"}, told)
    assert row_of("params", fields, {"value": ("x", "val")}, run_id="r") == {"run_id": "r", "key": "k", "value": "7"}
    assert list(fields.unread()) == []
    assert row_of("tags", Fields({"key": "k"}, told), run_id="r") == {"run_id": "r", "key": "k", "value": None}
    with pytest.raises(ValueMalformedError) as caught:
        row_of("tags", Fields({"value": "v"}, told, "p"), run_id="r")
    assert str(caught.value) == "p/key is missing"
    with pytest.raises(ValueMalformedError) as caught:
        row_of("metrics", Fields({"key": "k", "timestamp": 1, "value": 0.5}, told), run_id="r")
    assert str(caught.value) == "step is missing"
