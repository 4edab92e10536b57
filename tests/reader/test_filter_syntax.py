"""Texts, numbers and missing values in filters, without an archive."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from mlflow_archive.errors import SelectionError
from mlflow_archive.kinds import TABLES, TIMESTAMP
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.reader.search import (
    SEARCHABLE,
    Condition,
    Field,
    Order,
    SearchableKind,
    matching,
    owner_of,
    parse_filter,
    parse_order,
)
from mlflow_archive.reader.search.evaluate import holds
from mlflow_archive.reader.search.grammar import Value
from mlflow_archive.reader.search.searchable import _searchable
from tests.spec.drafts import RUN_A, RUN_B, Draft, Row, build, write_directory

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


NUMBERS = [1.0, None, 3.0, math.nan]
TEXTS = ["a", None, "bab"]


@pytest.mark.parametrize(
    ("values", "operator", "value", "expected"),
    [
        (NUMBERS, "=", 1, [True, None, False, False]),
        (NUMBERS, "!=", 1, [False, None, True, True]),
        (NUMBERS, "<", 3.0, [True, None, False, False]),
        (NUMBERS, "<=", 3, [True, None, True, False]),
        (NUMBERS, ">", 1, [False, None, True, False]),
        (NUMBERS, ">=", 1, [True, None, True, False]),
        (NUMBERS, "=", math.nan, [False, None, False, True]),
        (NUMBERS, "!=", math.nan, [True, None, True, False]),
        (TEXTS, "LIKE", "A", [False, None, False]),
        (TEXTS, "ILIKE", "%A%", [True, None, True]),
        (TEXTS, "RLIKE", "^ba", [False, None, True]),
        (TEXTS, "<", "b", [True, None, False]),
        (["1.5", None, "x", "2"], ">", 1, [True, None, None, True]),
        (pa.array([1, None, 3], TIMESTAMP), ">=", 3, [False, None, True]),
    ],
)
def test_what_a_condition_takes(values: Any, operator: str, value: Value, expected: list[bool | None]) -> None:
    condition = Condition(field=NAME, operator=operator, value=value)
    assert holds(pa.chunked_array([values]), condition).to_pylist() == expected


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


@pytest.mark.parametrize("filter_string", [None, "", "  "])
def test_no_filter(filter_string: str | None) -> None:
    assert parse_filter(filter_string, SEARCHABLE["run"]) == ()


@pytest.mark.parametrize(
    ("kind", "filter_string", "group", "name", "operator", "value"),
    [
        ("run", "metrics.a==1", "metrics", "a", "=", 1),
        ("run", "metric.a <> 1", "metrics", "a", "!=", 1),
        ("run", "attr.start_time >= +3", "attributes", "start_time", ">=", 3),
        ("run", "run_id is null", "attributes", "run_id", "IS NULL", None),
        ("run", "parameter.`a b` Is Not Null", "params", "a b", "IS NOT NULL", None),
        ("run", "tag.\"a.b\" not in ('x' , 'y')", "tags", "a.b", "NOT IN", ("x", "y")),
        ("run", "run.`Run name` rlike 'a|b'", "attributes", "run_name", "RLIKE", "a|b"),
        ("run", "`Run name` = 'a'", "attributes", "run_name", "=", "a"),
        ("run", "tags.XaX = 'a'", "tags", "XaX", "=", "a"),
        ("run", "`tags`.k = 'a'", "tags", "k", "=", "a"),
        ("run", "`tags`.`k.l m` = 'a'", "tags", "k.l m", "=", "a"),
        ("run", "dataset.context = 'train'", "datasets", "context", "=", "train"),
        ("trace", "feedback.a < 3", "feedback", "a", "<", 3),
        ("trace", "feedback.a < '3'", "feedback", "a", "<", "3"),
        ("trace", "expectation.a LIKE '3%'", "expectation", "a", "LIKE", "3%"),
        ("trace", "span.name = 'x'", "span", "name", "=", "x"),
    ],
)
def test_a_condition(kind: str, filter_string: str, group: str, name: str, operator: str, value: Value) -> None:
    expected = Condition(field=Field(group=group, name=name), operator=operator, value=value)
    assert parse_filter(filter_string, SEARCHABLE[kind]) == (expected,)
    assert parse_filter(f" {filter_string} and {filter_string} ", SEARCHABLE[kind]) == (expected, expected)


_MISTAKES = [
    ("run", "metrics.loss < 'x'", "expected a number for metrics.loss, found 'x'"),
    ("run", "metrics.loss", "expected an operator such as = or LIKE, found its end"),
    (
        "run",
        "params.lr < 3",
        "expected one of !=, =, ILIKE, IN, IS NOT NULL, IS NULL, LIKE, NOT IN, RLIKE behind params.lr, not <, found 3",
    ),
    (
        "run",
        "metrics.a LIKE 'x'",
        "expected one of !=, <, <=, =, >, >= behind metrics.a, not LIKE, found 'x'",
    ),
    ("run", "status = FINISHED", "expected a quoted text for attributes.status, found FINISHED"),
    ("run", "metrics.loss < 1 OR metrics.loss > 2", "expected AND, found OR metrics.loss > 2"),
    ("run", "metrics.loss < 1 metrics.loss > 2", "expected AND, found metrics.loss > 2"),
    ("run", "metrics.loss < 1 AND", "expected a name such as metrics.loss, found its end"),
    ("run", "'a' = run_id", "expected a name such as metrics.loss, found 'a' = run_id"),
    ("run", "run_id IN ()", "expected a quoted text, found )"),
    ("run", "run_id IN 'a'", "expected (, found 'a'"),
    ("run", "run_id IN ('a'", "expected ), found its end"),
    ("run", "run_id IN ('a',", "expected a quoted text, found its end"),
    ("run", "run_id NOT 'a'", "expected IN, found 'a'"),
    ("run", "run_id NOT LIKE 'a'", "expected an operator, not NOT LIKE, found 'a'"),
    ("run", "run_id IS 'a'", "expected NULL, found 'a'"),
    ("run", "run_id IS NOT 'a'", "expected NULL, found 'a'"),
    ("run", "run_id IS NOT NUL", "expected an operator, not IS NOT NUL, found its end"),
    ("run", "run_id LIKES 'a'", "expected an operator, not LIKES, found 'a'"),
    ("run", " tags.x = 'open ", '"\'open" is no name, value or operator'),
    ("trace", "feedback.score ~ 1", "'~ 1' is no name, value or operator"),
    ("trace", "feedback.score = x", "expected a quoted text for feedback.score, found x"),
    ("trace", "feedback.score LIKE 3", "expected a quoted text for feedback.score, found 3"),
]


@pytest.mark.parametrize(("kind", "filter_string", "said"), _MISTAKES)
def test_a_mistake_is_explained(kind: str, filter_string: str, said: str) -> None:
    with pytest.raises(SelectionError) as caught:
        parse_filter(filter_string, SEARCHABLE[kind])
    assert str(caught.value) == f"the filter {filter_string!r} is not in MLflow's syntax: {said}"


@pytest.mark.parametrize(
    ("kind", "filter_string", "said"),
    [
        (
            "logged_model",
            "nonsense.x = 'a'",
            "logged models have no 'nonsense' to search by; there are attributes, metrics, params, tags",
        ),
        ("run", "datasets.colour = 'a'", "datasets have no 'colour' to search by; there are name, digest, context"),
    ],
)
def test_a_name_that_is_not_there_is_answered_by_those_that_are(kind: str, filter_string: str, said: str) -> None:
    with pytest.raises(SelectionError) as caught:
        parse_filter(filter_string, SEARCHABLE[kind])
    assert str(caught.value) == said


def test_an_attribute_that_is_not_there_is_answered_by_columns_and_other_names() -> None:
    with pytest.raises(SelectionError) as caught:
        parse_filter("run = 'a'", SEARCHABLE["model_version"])
    others = ("creation_timestamp", "last_updated_timestamp", "source_path", "version_number")
    known = ", ".join(sorted([*TABLES["model_versions"].column_names, *others]))
    assert str(caught.value) == f"model versions have no attribute 'run'; there are {known}"


@pytest.mark.parametrize(
    ("text", "group", "name", "descending"),
    [
        ("start_time", "attributes", "start_time", False),
        (" metrics.loss DESC ", "metrics", "loss", True),
        ("metrics.`a b` desc", "metrics", "a b", True),
        ("metrics.`a b` Asc", "metrics", "a b", False),
        ("metrics.`a b`", "metrics", "a b", False),
        ("Run name", "attributes", "run_name", False),
    ],
)
def test_an_order(text: str, group: str, name: str, descending: bool) -> None:
    assert parse_order(text, SEARCHABLE["run"]) == Order(field=Field(group=group, name=name), descending=descending)


def test_what_owns_a_value() -> None:
    rows = pa.table({"name": ["a", "b"], "workspace": ["w", "w"], "version": pa.array([1, 12], pa.int32())})
    assert owner_of(rows, SEARCHABLE["model_version"]).to_pylist() == ["a\x1fw\x1f1", "b\x1fw\x1f12"]
    assert owner_of(pa.table({"run_id": ["r"]}), SEARCHABLE["run"]).to_pylist() == ["r"]
    plain = SearchableKind(kind="webhook", table="webhooks", owner=("webhook_id",), groups={})
    assert _searchable("webhook", groups={}) == plain


def test_an_object_whose_value_is_missing_fulfils_nothing(tmp_path: Path) -> None:
    def rows(tables: dict[str, list[Row]]) -> None:
        values = {RUN_A: None, RUN_B: "v"}
        tables["tags"] = [{"run_id": run_id, "key": "k", "value": value} for run_id, value in values.items()]

    write_directory(build(Draft(rows=rows)), tmp_path)
    with open_archive(tmp_path) as archive:
        found = {
            text: matching(archive, SEARCHABLE["run"], parse_filter(text, SEARCHABLE["run"]))["run_id"].to_pylist()
            for text in (
                "tags.k != 'x'",
                "tags.k = 'v'",
                "tags.k IS NOT NULL",
                "tags.k IS NULL",
                "run_id = 'x' AND tags.k = 'v'",
            )
        }
    assert found == {
        "tags.k != 'x'": [RUN_B],
        "tags.k = 'v'": [RUN_B],
        "tags.k IS NOT NULL": [RUN_A, RUN_B],
        "tags.k IS NULL": [],
        "run_id = 'x' AND tags.k = 'v'": [],
    }


def test_any_of_several_values_counts_and_of_a_metric_the_latest(tmp_path: Path) -> None:
    def rows(tables: dict[str, list[Row]]) -> None:
        trace = {"experiment_id": "1", "request_time": 1, "state": "OK"}
        tables["traces"] = [{**trace, "trace_id": key} for key in ("t", "u")]
        span = {"status": "OK", "start_time_unix_nano": 1, "content": "{}"}
        names = (("t", "1", "first"), ("t", "2", "second"), ("u", "1", "first"))
        tables["spans"] = [{**span, "trace_id": key, "span_id": at, "name": name} for key, at, name in names]
        tables["metrics"] = [
            {"run_id": key, "key": "m", "step": step, "timestamp": 1, "value": value}
            for key, step, value in ((RUN_A, 1, 1.0), (RUN_A, 2, 2.0), (RUN_B, 1, 1.0))
        ]

    write_directory(build(Draft(rows=rows)), tmp_path)
    with open_archive(tmp_path) as archive:
        found = {
            text: matching(archive, SEARCHABLE[kind], parse_filter(text, SEARCHABLE[kind]))[0].to_pylist()
            for kind, text in (
                ("trace", "span.name = 'first'"),
                ("trace", "span.name = 'second'"),
                ("run", "metrics.m = 1"),
                ("run", "metrics.m = 2"),
            )
        }
    assert found == {
        "span.name = 'first'": ["t", "u"],
        "span.name = 'second'": ["t"],
        "metrics.m = 1": [RUN_B],
        "metrics.m = 2": [RUN_A],
    }
