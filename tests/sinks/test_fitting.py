"""What is too long or not taken by a target: what arrives instead, and what the receipt says of it, word for word."""

from __future__ import annotations

from math import inf, nan
from typing import Any

import pytest

from mlflow_archive.format.source_tags import shorten, shorten_key
from mlflow_archive.sinks.replay.options import Limits
from mlflow_archive.sinks.replay.runs.run_fitting import RunFitter, newest, order
from mlflow_archive.sinks.replay.runs.run_rows import RunRows
from mlflow_archive.sinks.replay.target.target import DatasetInput
from mlflow_archive.sinks.replay.writing.fitting import Fitter, key_is_taken, plain_tags
from mlflow_archive.sinks.replay.writing.receipt import Receipt

LIMITS = Limits(
    key=30,
    param=40,
    dataset_name=31,
    dataset_digest=32,
    dataset_source_type=33,
    dataset_source=34,
    dataset_schema=35,
    dataset_profile=36,
    input_tag_key=37,
    input_tag=38,
)


@pytest.fixture
def receipt() -> Receipt:
    return Receipt("t", dry_run=False)


def told(receipt: Receipt) -> dict[str, Any]:
    """Return what a receipt says of changes."""
    details = receipt.report().details
    return {name: details[name] for name in ("shortened", "changed", "rewritten", "refusals")}


def too_long(kind: str, key: str, length: int) -> dict[str, object]:
    return {"owner": "r", "kind": kind, "key": key, "length": length}


@pytest.mark.parametrize(
    ("key", "is_taken"),
    [
        ("a/b c.d-e:f_1é", True),
        ("..a", False),
        ("a..", True),
        ("", False),
        (".", False),
        ("a/", False),
        ("./a", False),
        ("a/../b", False),
        ("../a", False),
        ("/a", False),
        ("//a", False),
        ("a\nb", False),
        ("a,b", False),
        ("a b\n", False),
    ],
)
def test_which_keys_mlflow_takes(key: str, is_taken: bool) -> None:
    assert key_is_taken(key) is is_taken


def test_texts_and_keys_are_cut_behind_their_limit(receipt: Receipt) -> None:
    fitter = Fitter(LIMITS, receipt, "r")
    assert (fitter.text("tag", "k", "v" * 40, 40), fitter.key("tag", "k" * 30, 30)) == ("v" * 40, "k" * 30)
    assert told(receipt)["shortened"] == []
    assert fitter.text("tag", "k", "v" * 41, 40) == shorten("v" * 41, 40)
    assert fitter.key("tag", "k" * 31, 30) == shorten_key("k" * 31, 30)
    assert told(receipt)["shortened"] == [too_long("tag", "k", 41), too_long("tag key", "k" * 31, 31)]


def test_tags_have_limits_of_their_own_and_null_becomes_empty(receipt: Receipt) -> None:
    fitter = Fitter(LIMITS, receipt, "r")
    tags = {"a": None, "b": "", "c": None, "d" * 31: "e" * 51, "f": "g"}
    assert fitter.tags("tag", tags, 50) == {
        "a": "", "b": "", "c": "", shorten_key("d" * 31, 30): shorten("e" * 51, 50), "f": "g"
    }  # fmt: skip
    assert told(receipt)["changed"] == {"null_tag": 2}
    assert told(receipt)["shortened"] == [too_long("tag key", "d" * 31, 31), too_long("tag", "d" * 31, 51)]
    assert fitter.tags("tag", {"d" * 31: "e"}, 50, key_limit=31) == {"d" * 31: "e"}


def test_what_an_import_left_is_no_plain_tag() -> None:
    tags = {"a": "1", "mlflow.x": None, "mlflow_export_import.y": "2", "mlflow_archive.z": "3"}
    assert plain_tags(tags) == {"a": "1", "mlflow.x": None}


def test_params(receipt: Receipt) -> None:
    fitter = RunFitter(LIMITS, receipt, "r")
    fitted = fitter.params([("b", "v" * 40), ("../x", "1"), ("k" * 31, "v" * 41), ("a", "")])
    assert fitted == [("b", "v" * 40), (shorten_key("k" * 31, 30), shorten("v" * 41, 40)), ("a", "")]
    assert told(receipt)["shortened"] == [too_long("param key", "k" * 31, 31), too_long("param", "k" * 31, 41)]
    assert told(receipt)["refusals"] == [
        {"kind": "run", "id": "r", "path": "../x", "code": "R102", "reason": "MLflow takes no param named '../x'"}
    ]


def test_points_are_taken_once_and_those_that_are_not_are_counted(receipt: Receipt) -> None:
    long_key = "k" * 31
    points = [
        ("m", 1.0, 5, 0),
        ("m", 1.0, 5, 0),
        ("m", 1.0, 5, 1),
        ("m", 1.0, 6, 0),
        ("m", 2.0, 5, 0),
        ("n", 1.0, 5, 0),
        ("m", float("nan"), 5, 0),
        ("m", float("nan"), 5, 0),
        ("m", 7.0, -3, 0),
        ("m", 7.0, -4, 0),
        ("m", -0.0, 0, 9),
        ("m", inf, 1, 9),
        ("../x", 1.0, 5, 0),
        ("../x", 1.0, 5, 0),
        (long_key, 1.0, 5, 0),
    ]
    rows = RunRows(run_id="r", metrics=points, points_with_dataset=4)
    fitted = RunFitter(LIMITS, receipt, "r").metrics(rows)
    short = shorten_key(long_key, 30)
    expected = [*points[:1], *points[2:7], ("m", 7.0, 0, 0), *points[10:12], (short, 1.0, 5, 0)]
    assert list(map(repr, fitted)) == list(map(repr, expected))
    assert told(receipt) == {
        "shortened": [too_long("metric key", long_key, 31)],
        "changed": {
            "repeated_points": 3,
            "points_without_their_dataset": 4,
            "points_before_1970": 1,
            "infinite_points": 1,
            "negative_zero_points": 1,
        },
        "rewritten": [
            {
                "table": "metrics",
                "key": {"run_id": "r", "key": "m"},
                "column": "timestamp",
                "points": 1,
                "first_ms": -3,
                "last_ms": -3,
            },
            {
                "table": "metrics",
                "key": {"run_id": "r", "key": "m"},
                "column": "value",
                "points": 1,
                "original": "-0.0",
            },
            {"table": "metrics", "key": {"run_id": "r", "key": "m"}, "column": "value", "points": 1, "original": "inf"},
        ],
        "refusals": [
            {
                "kind": "run",
                "id": "r",
                "path": "../x",
                "code": "R103",
                "reason": "2 points: MLflow takes no metric named '../x'",
            }
        ],
    }


def test_datasets_are_cut_column_by_column(receipt: Receipt) -> None:
    row = {
        "name": "n" * 32,
        "digest": "d" * 33,
        "source_type": "t" * 34,
        "source": "s" * 35,
        "schema": "c" * 36,
        "profile": "p" * 37,
    }
    name = row["name"]
    fitted = RunFitter(LIMITS, receipt, "r").dataset(row, [("k" * 38, "v" * 39), ("a", "b")])
    assert fitted == DatasetInput(
        name=shorten(name, 31),
        digest=shorten("d" * 33, 32),
        source_type=shorten("t" * 34, 33),
        source=shorten("s" * 35, 34),
        schema=shorten("c" * 36, 35),
        profile=shorten("p" * 37, 36),
        tags=((shorten_key("k" * 38, 37), shorten("v" * 39, 38)), ("a", "b")),
    )
    assert told(receipt)["shortened"] == [
        *(
            too_long(f"dataset {column}", name, length)
            for column, length in (
                *(("name", 32), ("digest", 33), ("source type", 34)),
                *(("source", 35), ("schema", 36), ("profile", 37)),
            )
        ),
        too_long("input tag key", "k" * 38, 38),
        too_long("input tag", "k" * 38, 39),
    ]


def test_what_a_dataset_does_not_have_is_left_out_but_for_its_source(receipt: Receipt) -> None:
    row = {"name": "n", "digest": "d", "source_type": "t", "source": None, "schema": None, "profile": None}
    fitted = RunFitter(LIMITS, receipt, "r").dataset(row, [])
    assert fitted == DatasetInput(
        name="n", digest="d", source_type="t", source="", schema=None, profile=None, tags=()
    )  # fmt: skip
    assert told(receipt)["shortened"] == []


def test_points_are_ordered_by_step_time_and_value_as_databases_hold_it() -> None:
    assert order(("m", nan, 5, 2)) == (2, 5, 0.0)
    assert order(("m", inf, 5, 2)) == (2, 5, 1.7976931348623157e308)
    assert order(("m", -inf, 5, 2)) == (2, 5, -1.7976931348623157e308)
    assert order(("m", -1.5, 5, 2)) == (2, 5, -1.5)


def test_the_newest_point_of_each_metric() -> None:
    points = [("m", 1.0, 5, 2), ("n", 9.0, 9, 9), ("m", 3.0, 5, 2), ("m", 0.0, 4, 2), ("m", 9.0, 9, 1)]
    for sequence in (points, points[::-1]):
        assert newest(sequence) == {"m": ("m", 3.0, 5, 2), "n": ("n", 9.0, 9, 9)}
    first, second = ("m", nan, 5, 2), ("m", 0.0, 5, 2)
    assert newest([first, second])["m"] is first
    assert newest([]) == {}
