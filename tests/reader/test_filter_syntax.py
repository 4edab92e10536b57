"""Texts, numbers and missing values in filters, without an archive."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from mlflow_archive.reader.search import SEARCHABLE, Condition, Field, parse_filter
from mlflow_archive.reader.search.evaluate import holds
from mlflow_archive.reader.search.grammar import Value

NAME = Field(group="attributes", name="user_id")


@pytest.mark.parametrize(
    ("operator", "value", "expected"),
    [
        ("IN", ("a",), [True, False, False]),
        ("NOT IN", ("a",), [False, False, True]),
        ("NOT IN", ("c",), [True, False, True]),
        ("=", "a", [True, False, False]),
        ("!=", "a", [False, False, True]),
        ("LIKE", "_", [True, False, True]),
        ("IS NULL", None, [False, True, False]),
        ("IS NOT NULL", None, [True, False, True]),
    ],
)
def test_only_is_null_takes_what_has_no_value(operator: str, value: Value, expected: list[bool]) -> None:
    values = pa.chunked_array([pa.array(["a", None, "b"])])
    taken = holds(values, Condition(field=NAME, operator=operator, value=value))
    assert pc.fill_null(taken, False).to_pylist() == expected


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("'it''s'", "it's"),
        ('"it\'s"', "it's"),
        ('"say ""yes"""', 'say "yes"'),
        ("''", ""),
        ("''''", "'"),
        ("'\"\"'", '""'),
        ("'a''''b'", "a''b"),
        ("'`'", "`"),
    ],
)
def test_a_doubled_quote_in_a_text_stands_for_one(written: str, value: str) -> None:
    (condition,) = parse_filter(f"params.name = {written}", SEARCHABLE["run"])
    assert condition == Condition(field=Field(group="params", name="name"), operator="=", value=value)
    (condition,) = parse_filter(f"run_id IN ({written}, 'b')", SEARCHABLE["run"])
    assert condition.value == (value, "b")


@pytest.mark.parametrize(
    ("text", "value"), [("1", 1), ("-1", -1), ("1.0", 1.0), (".5", 0.5), ("1e3", 1000.0), ("2E-1", 0.2)]
)
def test_a_number_is_whole_only_without_point_and_exponent(text: str, value: float) -> None:
    (condition,) = parse_filter(f"metrics.m < {text}", SEARCHABLE["run"])
    assert (type(condition.value), condition.value) == (type(value), value)
