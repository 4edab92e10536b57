"""Values, trees, charts, paths and spans as people are shown them, without an archive."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from mlflow_archive.errors import ItemError
from mlflow_archive.reader.inspection.extract import Item, Refused, check_paths, path_parts
from mlflow_archive.reader.inspection.nesting import nested
from mlflow_archive.reader.inspection.rows import Moment, dated, in_milliseconds, plain_rows, worded
from mlflow_archive.reader.inspection.shape import shape
from mlflow_archive.reader.inspection.spans import Span, _of_row, _span

MS = 1655007278844
FAR = 10**16


def test_moments() -> None:
    assert [Moment(MS).iso(), Moment(0).iso(), Moment(FAR).iso(), Moment(-1).iso()] == [
        *("2022-06-12T04:14:38.844Z", "1970-01-01T00:00:00.000Z", f"{FAR} ms", "1969-12-31T23:59:59.999Z")
    ]
    assert [Moment(MS).plain(), Moment(FAR).plain()] == ["2022-06-12 04:14:38", f"{FAR} ms"]
    assert Moment(MS).date() == datetime(2022, 6, 12, 4, 14, 38, 844000, tzinfo=UTC)
    assert Moment(FAR).date() == FAR
    assert (Moment.of(None), type(Moment.of(3))) == (None, Moment)


def test_moments_in_anything() -> None:
    value = {"a": Moment(MS), "b": [Moment(0), 1], "c": ({"d": Moment(0)},), "e": "x"}
    first = "1970-01-01 00:00:00"
    assert worded(value) == {"a": "2022-06-12 04:14:38", "b": [first, 1], "c": [{"d": first}], "e": "x"}
    assert dated(value)["c"] == [{"d": datetime(1970, 1, 1, tzinfo=UTC)}]


def test_rows_have_moments() -> None:
    rows = pa.table({"t": pa.array([MS, None], pa.timestamp("ms", "UTC")), "n": [1, 2]})
    found = plain_rows(rows)
    assert found == [{"t": MS, "n": 1}, {"t": None, "n": 2}]
    assert [type(row["t"]) for row in found] == [Moment, type(None)]
    micros = pa.table(
        {"n": [1], "t": pa.array([1500], pa.timestamp("us", "UTC")), "u": pa.array([2], pa.timestamp("s"))}
    )
    converted = in_milliseconds(micros)
    assert converted.schema.types == [pa.int64(), pa.timestamp("ms", "UTC"), pa.timestamp("ms")]
    assert [value.value for row in converted.columns[1:] for value in row] == [1, 2000]


@pytest.mark.parametrize(
    ("links", "expected"),
    [
        ({"a": None, "b": "a", "c": "b", "d": "a"}, [(0, "a"), (1, "b"), (2, "c"), (1, "d")]),
        ({"b": "x", "a": "b"}, [(0, "b"), (1, "a")]),
        ({"a": "a", "b": "a"}, [(0, "a"), (1, "b")]),
        ({"a": "b", "b": "a", "c": None}, [(0, "c"), (0, "a"), (0, "b")]),
    ],
    ids=["a tree", "a parent that is not there", "its own parent", "each other's parents"],
)
def test_what_lies_below_each_other(links: dict[str, str | None], expected: list[tuple[int, str]]) -> None:
    assert list(nested(list(links), str, links.__getitem__)) == expected


def test_an_item_that_comes_twice_is_shown_once() -> None:
    assert list(nested(["a", "b", "a", "b"], str, {"a": None, "b": "a"}.__getitem__)) == [(0, "a"), (1, "b")]


@pytest.mark.parametrize(
    ("values", "most", "expected"),
    [
        ([], 3, []),
        ([math.nan, math.inf], 3, [None, None]),
        ([2.0, 2.0], 3, [0.45, 0.45]),
        ([0.0, 1.0, 2.0, 4.0], 2, [0.0, 1.0]),
        ([1.0, 3.0, 5.0], 2, [0.0, 1.0]),
        ([0.0, 5.0, 10.0], 3, [0.0, 0.5, 1.0]),
        ([-1.7e308, 1.7e308], 2, [0.0, 1.0]),
        ([1.0, math.nan, 4.0, 5.0, 2.0, 2.0], 3, [0.0, 1.0, pytest.approx(1 / 3.5)]),
    ],
)
def test_the_shape_of_a_history(values: list[float], most: int, expected: list[Any]) -> None:
    assert shape(values, most) == expected


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/a", "its path is absolute"),
        ("a//b", "its path has the part ''"),
        ("a/../b", "its path has the part '..'"),
        ("./b", "its path has the part '.'"),
        ("a\0b", "its path holds a NUL character"),
        ("/a\0", "its path holds a NUL character"),
        ("a\udc80", "its path is no valid UTF-8"),
    ],
)
def test_paths_that_are_not_safe(path: str, said: str) -> None:
    with pytest.raises(ItemError) as caught:
        path_parts(path)
    assert str(caught.value) == said
    assert check_paths([item(path)]) == ([], [Refused(path=path, reason=said)])


def item(path: str) -> Item:
    return Item(path=path, size=1, digest="d")


@pytest.mark.parametrize(
    ("kept", "refused", "said"),
    [
        (["a", "b/c", "b/d"], None, ""),
        (["A"], "a", "on some disks it is the same file as 'A'; extract it alone into another folder"),
        (["a"], "a/b", "the file 'a' is in the way"),
        (["a/b/c"], "a/b/c/d", "the file 'a/b/c' is in the way"),
        (["A/b"], "a", "on some disks it is the same name as the folder 'A'"),
        (["A/b"], "a/c", "on some disks its folder is the same as 'A'; extract it alone into another folder"),
        (["x/A/b"], "x/a/c", "on some disks its folder is the same as 'x/A'; extract it alone into another folder"),
        (["e\u0301"], "\u00e9", "on some disks it is the same file as 'e\u0301'; extract it alone into another folder"),
    ],
)
def test_paths_that_are_one_on_some_disks(kept: list[str], refused: str | None, said: str) -> None:
    paths = [*([refused] if refused else []), *kept]
    expected = [Refused(path=refused, reason=said)] if refused else []
    assert check_paths([item(path) for path in paths]) == ([item(path) for path in kept], expected)


OF_MLFLOW_3 = {
    "span_id": "AAAAAAAAAAE=",
    "parent_span_id": "AAAAAAAAAAI=",
    "name": "n",
    "start_time_unix_nano": "5",
    "end_time_unix_nano": 9,
    "status": {"code": "STATUS_CODE_ERROR", "message": "m"},
    "attributes": {"mlflow.spanType": '"LLM"', "mlflow.spanInputs": '{"a":1}', "mlflow.spanOutputs": ["ü"]},
}
OF_MLFLOW_2 = {
    "context": {"span_id": "0x0000000000000001"},
    "parent_id": None,
    "name": "n",
    "start_time": 5,
    "end_time": None,
    "status_code": "OK",
    "status_message": "",
    "attributes": None,
    "events": [3, {"attributes": {"exception.message": "no", "exception.type": "E"}}],
}


@pytest.mark.parametrize(
    ("raw", "expected", "duration"),
    [
        (
            OF_MLFLOW_3,
            {
                "span_id": f"{1:016x}",
                "parent_id": f"{2:016x}",
                "type": "LLM",
                "status": "ERROR",
                "start_ns": 5,
                "end_ns": 9,
                "error": "m",
                "attributes": OF_MLFLOW_3["attributes"],
            },
            4,
        ),
        (
            OF_MLFLOW_2,
            {
                "span_id": f"{1:016x}",
                "parent_id": None,
                "type": None,
                "status": "OK",
                "start_ns": 5,
                "end_ns": None,
                "error": "E: no",
                "attributes": {},
            },
            None,
        ),
        (
            {"span_id": "plain", "parent_span_id": "0xab", "events": [{"attributes": {"exception.message": "x"}}]},
            {"span_id": "plain", "parent_id": "ab", "name": "", "type": None, "status": None}
            | {"start_ns": None, "end_ns": None, "error": "exception: x"},
            None,
        ),
    ],
    ids=["MLflow 3", "MLflow 2", "next to nothing"],
)
def test_spans_of_every_version(raw: dict[str, Any], expected: dict[str, Any], duration: int | None) -> None:
    span = _span(raw)
    assert span == Span(**{"name": "n", **expected}, content=raw)
    assert span.duration_ns == duration


def test_what_went_in_and_came_out_is_json() -> None:
    span = _span(OF_MLFLOW_3)
    assert (span.inputs, span.outputs) == ('{"a":1}', '["ü"]')
    assert (_span(OF_MLFLOW_2).inputs, _span(OF_MLFLOW_2).outputs) == (None, None)


@pytest.mark.parametrize(
    ("content", "attributes", "error"),
    [
        ('{"attributes": {"a": "1"}, "status": {"message": "m"}}', {"a": "1"}, "m"),
        ('{"attributes": 3, "status_message": "m"}', {}, "m"),
        ("[1]", {}, None),
        ("no JSON", {}, None),
        ("", {}, None),
    ],
)
def test_rows_of_spans(content: str, attributes: dict[str, str], error: str | None) -> None:
    row = {"span_id": "s", "parent_span_id": "p", "name": None, "type": "T", "status": "OK", "content": content}
    span = _of_row(row | {"start_time_unix_nano": 1, "end_time_unix_nano": 3})
    assert (span.span_id, span.parent_id, span.name, span.type, span.status) == ("s", "p", "", "T", "OK")
    assert (span.duration_ns, span.attributes, span.error) == (2, attributes, error)
