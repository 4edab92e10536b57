"""Single values of a database on their way into an archive: exact at the limits of 64 bits, or told as malformed."""

from __future__ import annotations

from decimal import Decimal
from math import inf, nan
from typing import Any

import pyarrow as pa
import pytest

from mlflow_archive.kinds import TABLES
from mlflow_archive.mlflow_database.mapping import MAPS
from mlflow_archive.sources.database.converting import convert
from mlflow_archive.sources.database.snapshot import Values

MOST, LEAST = 2**63 - 1, -(2**63)
BEYOND = [
    (2**63, "int 9223372036854775808"),
    (-(2**63) - 1, "int -9223372036854775809"),
    (float(2**63), "float 9.223372036854776e+18"),
    (-float(2**63) - 2**11, "float -9.223372036854778e+18"),
    (Decimal(2**63), "Decimal Decimal('9223372036854775808')"),
    (Decimal(-(2**63) - 1), "Decimal Decimal('-9223372036854775809')"),
    (inf, "float inf"),
    (-inf, "float -inf"),
    (nan, "float nan"),
    (0.5, "float 0.5"),
    (Decimal("0.5"), "Decimal Decimal('0.5')"),
    (Decimal("NaN"), "Decimal Decimal('NaN')"),
    (Decimal("-Infinity"), "Decimal Decimal('-Infinity')"),
    ("7", "str '7'"),
    (b"7", "bytes b'7'"),
]
EXACT = [
    (MOST, MOST),
    (LEAST, LEAST),
    (float(LEAST), LEAST),
    (Decimal(MOST), MOST),
    (Decimal(LEAST), LEAST),
    (float(2**63 - 2**10), 2**63 - 2**10),
    (Decimal("7.000"), 7),
    (-0.0, 0),
    (True, 1),
]


def points(**columns: Values) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
    """Convert rows of ``metrics``; return them with times as numbers, and column and text of what is malformed."""
    length = max(len(values) for values in columns.values())
    base = {"run_id": "a", "key": "k", "step": 0, "timestamp": 0, "value": 0.0, "is_nan": 0}
    batch = {name: [value] * length for name, value in base.items()} | columns
    converted = convert(batch, MAPS["metrics"])
    assert converted.rows.schema == TABLES["metrics"].schema
    at = converted.rows.schema.get_field_index("timestamp")
    rows = converted.rows.set_column(at, "timestamp", converted.rows["timestamp"].cast(pa.int64()))
    return rows.to_pylist(), [(value.column, value.text) for value in converted.malformed]


@pytest.mark.parametrize(("value", "text"), BEYOND, ids=[str(text) for _, text in BEYOND])
@pytest.mark.parametrize("column", ["step", "timestamp"])
def test_what_64_bits_do_not_hold_is_malformed_and_the_other_rows_come(column: str, value: Any, text: str) -> None:
    rows, malformed = points(**{column: [1, value, 3]})
    assert [row[column] for row in rows] == [1, 3]
    assert malformed == [(column, text)]


@pytest.mark.parametrize(("value", "expected"), EXACT, ids=[repr(value) for value, _ in EXACT])
@pytest.mark.parametrize("column", ["step", "timestamp"])
def test_what_64_bits_hold_is_exact(column: str, value: Any, expected: int) -> None:
    for values in ([value], [value, 1]):
        rows, malformed = points(**{column: values})
        assert [row[column] for row in rows] == [expected, *values[1:]]
        assert malformed == []


@pytest.mark.parametrize(
    ("values", "expected", "texts"),
    [
        (pa.chunked_array([[1, MOST]]), [1, MOST], []),
        (pa.chunked_array([pa.array([1, 2**63], pa.uint64())]), [1], ["int 9223372036854775808"]),
        (pa.chunked_array([pa.array([1, 2**63 - 1], pa.uint64())]), [1, MOST], []),
        (pa.chunked_array([[1.0, float(2**63)]]), [1], ["float 9.223372036854776e+18"]),
        (pa.chunked_array([pa.array([1, None], pa.int32())]), [1], ["nothing (NULL)"]),
        (pa.chunked_array([[1], [2]]), [1, 2], []),
    ],
    ids=["int64", "uint64 beyond", "uint64", "double beyond", "null", "two pieces"],
)
def test_columns_of_arrow_are_as_exact(values: pa.ChunkedArray, expected: list[int], texts: list[str]) -> None:
    rows, malformed = points(step=values)
    assert [row["step"] for row in rows] == expected
    assert malformed == [("step", text) for text in texts]


@pytest.mark.parametrize(
    ("value", "flag", "expected"),
    [
        (1, 0, 1.0),
        (Decimal("0.1"), 0, 0.1),
        (inf, 0, inf),
        (2**53 + 1, 0, float(2**53)),
        (0.0, 1, nan),
        (0.0, True, nan),
        (5.0, None, 5.0),
    ],
)
def test_values_of_points(value: Any, flag: Any, expected: float) -> None:
    ((row,), malformed) = points(value=[value], is_nan=[flag])
    assert repr(row["value"]) == repr(expected)
    assert malformed == []


@pytest.mark.parametrize(
    "value",
    [10**400, Decimal("1e400"), Decimal("-1e400"), "0.5", b"0.5"],
    ids=["large int", "large decimal", "small decimal", "text", "bytes"],
)
def test_a_value_that_is_no_double_is_malformed(value: Any) -> None:
    rows, malformed = points(value=[1.0, value])
    assert [row["value"] for row in rows] == [1.0]
    assert [column for column, _ in malformed] == ["value"]


def converted(table: str, **columns: Values) -> tuple[list[dict[str, Any]], list[tuple[str, dict[str, Any], str]]]:
    """Convert some columns of a table; return the rows with these columns, and what is malformed with its key."""
    length = len(next(iter(columns.values())))
    needed = {column.name: column.type for column in TABLES[table].columns if not column.nullable}
    others = {name: ["x" if kind == pa.string() else 0] * length for name, kind in needed.items()}
    result = convert({**others, **columns}, MAPS[table])
    assert result.rows.schema == TABLES[table].schema
    assert {value.table for value in result.malformed} <= {table}
    told = [(value.column, dict(value.key), value.text) for value in result.malformed]
    return result.rows.select(list(columns)).to_pylist(), told


def tags(values: Values) -> tuple[list[Any], list[tuple[str, dict[str, Any], str]]]:
    rows, told = converted(
        "tags", run_id=["r"] * len(values), key=[f"k{at}" for at in range(len(values))], value=values
    )
    return [row["value"] for row in rows], told


def test_texts_are_texts_and_what_is_none_of_a_nullable_column_becomes_null() -> None:
    values = ["a", None, 7, True, {"é": [1]}, ["x"], "\ud800", b"b", 0.5, "y" * 50]
    expected = ["a", None, "7", "1", '{"é": [1]}', '["x"]', None, None, None, "y" * 50]
    found, told = tags(values)
    assert found == expected
    assert told == [
        ("value", {"run_id": "r", "key": "k6"}, r"str '\ud800'"),
        ("value", {"run_id": "r", "key": "k7"}, "bytes b'b'"),
        ("value", {"run_id": "r", "key": "k8"}, "float 0.5"),
    ]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["a", "b", None], ["a", "b", None]),
        ([1, 2, None], ["1", "2", None]),
        (pa.chunked_array([["a"], [None, "é"]]), ["a", None, "é"]),
        (pa.chunked_array([pa.array(["a"], pa.large_string())]), ["a"]),
        (pa.chunked_array([[1, None]]), ["1", None]),
        (pa.chunked_array([[True, False]]), ["1", "0"]),
        (pa.chunked_array([pa.nulls(2)]), [None, None]),
        (pa.chunked_array([], pa.string()), []),
        ([], []),
    ],
    ids=["texts", "numbers", "pieces", "large", "arrow numbers", "arrow booleans", "nulls", "no piece", "no row"],
)
def test_whole_columns_of_text(values: Values, expected: list[str | None]) -> None:
    assert tags(values) == (expected, [])


def test_bytes_that_are_no_text_are_malformed_and_the_others_come() -> None:
    raw = pa.array([b"good", b"\xff", None], pa.binary())
    values = pa.chunked_array([pa.StringArray.from_buffers(3, *raw.buffers()[1:], raw.buffers()[0])])
    found, told = tags(values)
    assert found == ["good", None, None]
    assert told == [("value", {"run_id": "r", "key": "k1"}, r"bytes b'\xff'")]


def test_values_are_shown_by_their_first_forty_characters() -> None:
    _, told = tags([b"x" * 37, b"x" * 38])
    assert [text for _, _, text in told] == [f"bytes {b'x' * 37!r}", f"bytes {repr(b'x' * 38)[:40]}…"]


def test_a_row_without_what_must_be_there_is_left_out_and_told_with_the_key_it_has() -> None:
    rows, told = converted("params", run_id=["a", "b", "c"], key=["k", None, "l"], value=["1", "2", None])
    assert rows == [{"run_id": "a", "key": "k", "value": "1"}]
    assert told == [
        ("key", {"run_id": "b", "key": None}, "nothing (NULL)"),
        ("value", {"run_id": "c", "key": "l"}, "nothing (NULL)"),
    ]
    _, malformed = points(timestamp=[None, "x"])
    assert malformed == [("timestamp", "nothing (NULL)"), ("timestamp", "str 'x'")]


def test_keys_name_no_times() -> None:
    batch = {"run_id": ["a"], "key": ["k"], "step": [3], "timestamp": ["x"], "value": [0.5], "is_nan": [0]}
    [malformed] = convert(batch, MAPS["metrics"]).malformed
    assert dict(malformed.key) == {"run_id": "a", "key": "k", "step": 3}


def test_columns_that_are_not_there_are_null() -> None:
    result = convert({"run_id": ["a"], "experiment_id": [1], "lifecycle_stage": ["active"]}, MAPS["runs"])
    assert result.malformed == []
    [row] = result.rows.to_pylist()
    assert {name: value for name, value in row.items() if value is not None} == {
        "run_id": "a", "experiment_id": "1", "lifecycle_stage": "active"
    }  # fmt: skip
    assert convert({}, MAPS["params"]).rows.num_rows == 0


def test_locations_lose_their_password() -> None:
    uris = ["s3://a:b@h/x", "s3://h/y", None]
    rows, told = converted("runs", run_id=list("abc"), experiment_id=[1] * 3, artifact_uri=uris)
    assert [row["artifact_uri"] for row in rows] == ["s3://h/x", "s3://h/y", None]
    assert told == []


def test_numbers_that_stand_for_words() -> None:
    rows, told = converted("logged_models", status=[0, 2, 9, "READY", b"x"])
    assert [row["status"] for row in rows] == ["UNSPECIFIED", "READY", "9", "READY"]
    assert [(column, text) for column, _, text in told] == [("status", "bytes b'x'")]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([True, False, None], [True, False, None]),
        ([1, 0, 1.0], [True, False, True]),
        (pa.chunked_array([[1, 0, None]]), [True, False, None]),
        (pa.chunked_array([[True, False, None]]), [True, False, None]),
    ],
)
def test_truth_values(values: Values, expected: list[bool | None]) -> None:
    rows, told = converted("assessments", is_numeric_value=values)
    assert [row["is_numeric_value"] for row in rows] == expected
    assert told == []
    rows, told = converted("assessments", is_numeric_value=[2, "1"])
    assert [row["is_numeric_value"] for row in rows] == [None, None]
    assert [text for _, _, text in told] == ["int 2", "str '1'"]


def test_nan_flags_of_arrow() -> None:
    rows, malformed = points(
        value=pa.chunked_array([[0.0, 1.5, 2.5]]), is_nan=pa.chunked_array([pa.array([1, 0, None], pa.int8())])
    )
    assert repr([row["value"] for row in rows]) == "[nan, 1.5, 2.5]"
    assert malformed == []
    rows, malformed = points(value=pa.chunked_array([[0.0, 1.5]]), is_nan=[True, False])
    assert repr([row["value"] for row in rows]) == "[nan, 1.5]"
