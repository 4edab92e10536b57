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
