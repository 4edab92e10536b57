"""What a target's columns cannot hold: each obstacle word for word, at the edges of what still fits."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf, nan
from typing import Any

import pyarrow as pa
import pytest

from mlflow_archive.format.source_tags import shorten
from mlflow_archive.mlflow_database.mapping import MAPS
from mlflow_archive.sinks.restore.checks import Obstacle, check_rows, columns_to_check
from mlflow_archive.sinks.restore.database import TargetColumn
from mlflow_archive.sinks.restore.holding import HeldRows
from mlflow_archive.sinks.restore.inverting import stored_columns
from tests.support.chunks import table

SERVERS = ("postgresql", "mysql")


def columns_of(archived: str, **changes: TargetColumn | None) -> dict[str, TargetColumn]:
    """Return columns that hold anything, but for ``changes``; None leaves a column out."""
    plain = {stored: TargetColumn(name=stored, kind="text", nullable=True) for stored in stored_columns(MAPS[archived])}
    return {stored: column for stored, column in (plain | changes).items() if column is not None}


def problems(archived: str, rows: list[dict[str, Any]], dialect: str, **changes: TargetColumn | None) -> list[str]:
    found = check_rows(table(archived, rows), MAPS[archived], columns_of(archived, **changes), dialect)
    return [str(obstacle) for obstacle in found]


def column(
    name: str, kind: str = "text", *, nullable: bool = True, length: int | None = None, most_bytes: int | None = None
) -> TargetColumn:
    return TargetColumn(name=name, kind=kind, nullable=nullable, length=length, most_bytes=most_bytes)


PARAMS: list[dict[str, Any]] = [
    {"run_id": "a", "key": "k", "value": "é" * 5},
    {"run_id": "b", "key": "l", "value": None},
]


@pytest.mark.parametrize("dialect", SERVERS)
def test_lengths_are_in_characters_and_sqlite_has_none(dialect: str) -> None:
    assert problems("params", PARAMS, dialect, value=column("value", length=5)) == []
    told = ["params (run_id 'a', key 'k'): value is longer than 4 characters ('ééééé')"]
    assert problems("params", PARAMS, dialect, value=column("value", length=4)) == told
    assert problems("params", PARAMS, "sqlite", value=column("value", length=4)) == []


def test_what_mysql_measures_in_bytes() -> None:
    assert problems("params", PARAMS, "mysql", value=column("value", most_bytes=10)) == []
    told = ["params (run_id 'a', key 'k'): value takes more than 9 bytes ('ééééé')"]
    assert problems("params", PARAMS, "mysql", value=column("value", most_bytes=9)) == told


def test_long_values_are_shown_by_their_beginning() -> None:
    for size, shown in ((58, repr("x" * 58)), (59, "'" + "x" * 59 + "… (61 characters)")):
        rows = [{"run_id": "a", "key": "k", "value": "x" * size}]
        [told] = problems("params", rows, "mysql", value=column("value", length=4))
        assert told == f"params (run_id 'a', key 'k'): value is longer than 4 characters ({shown})"


def test_null_where_the_target_refuses_it() -> None:
    for dialect in ("sqlite", *SERVERS):
        assert problems("params", PARAMS, dialect, value=column("value", nullable=False)) == [
            "params (run_id 'b', key 'l'): value is NULL, which the target refuses"
        ]
    runs = [{"run_id": "a", "experiment_id": "1"}]
    assert problems("runs", runs, "mysql", lifecycle_stage=column("lifecycle_stage", nullable=False)) == []
    datasets = [{"experiment_id": "1", "name": "n", "digest": "d"}]
    assert problems("datasets", datasets, "mysql", dataset_uuid=column("dataset_uuid", nullable=False)) == []


def test_values_of_a_column_that_is_not_there() -> None:
    told = ["params (run_id 'a', key 'k'): value has no column in the target"]
    assert problems("params", PARAMS, "sqlite", value=None) == told
    assert problems("params", PARAMS[1:], "sqlite", value=None) == []
    both = problems("params", PARAMS[:1], "mysql", key=None, value=column("value", length=4))
    assert [line.partition("): ")[2] for line in both] == [
        "key has no column in the target", "value is longer than 4 characters ('ééééé')"
    ]  # fmt: skip
    every = columns_of("experiments", experiment_id=column("experiment_id", "integer"), name=None)
    assert list(check_rows(table("experiments", []), MAPS["experiments"], every, "mysql")) == []


def test_columns_that_were_not_read_are_passed_over_and_left_out_of_keys() -> None:
    rows = table("params", PARAMS).select(["key", "value"])
    target = columns_of("params", run_uuid=column("run_uuid", nullable=False), value=None)
    obstacles = list(check_rows(rows, MAPS["params"], target, "mysql"))
    expected = Obstacle(table="params", key={"key": "k"}, column="value", problem="has no column in the target")
    assert obstacles == [expected]
    assert expected.to_json() == {
        "table": "params", "key": {"key": "k"}, "column": "value", "problem": "has no column in the target"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("dialect", "kind", "largest"),
    [
        ("postgresql", "integer", 2**31 - 1),
        ("mysql", "bigint", 2**63 - 1),
        ("sqlite", "integer", 2**63 - 1),
        ("sqlite", "bigint", 2**63 - 1),
    ],
)
def test_numbers_that_an_archive_keeps_as_text(dialect: str, kind: str, largest: int) -> None:
    ids = [str(largest), str(-largest), "0", str(largest + 1), str(-largest - 1), "x", ""]
    rows = [{"experiment_id": experiment_id, "name": "n"} for experiment_id in ids]
    assert problems("experiments", rows, dialect, experiment_id=column("experiment_id", kind)) == [
        f"experiments (experiment_id {bad!r}): experiment_id is no number up to {largest} ({bad!r})" for bad in ids[3:]
    ]


def test_no_number_is_no_problem_of_its_own() -> None:
    rows = [{"run_id": "a", "experiment_id": None}]
    assert problems("runs", rows, "mysql", experiment_id=column("experiment_id", "integer")) == []


def test_numbers_and_times_beyond_32_bits() -> None:
    limit = 2**31 - 1
    steps = [limit, -limit, limit + 1, -limit - 1]
    rows = [{"run_id": "a", "key": "k", "step": step, "timestamp": 0, "value": 0.0} for step in steps]
    for dialect in SERVERS:
        told = problems("metrics", rows, dialect, step=column("step", "integer"))
        assert told == [
            f"metrics (run_id 'a', key 'k', step {step}, timestamp 0): step is out of the range of INTEGER ({step})"
            for step in steps[2:]
        ]
        assert problems("metrics", rows, dialect, step=column("step", "bigint")) == []
    assert problems("metrics", rows, "sqlite", step=column("step", "integer")) == []
    times = [{"run_id": "a", "experiment_id": "1", "start_time": time} for time in (limit, limit + 1)]
    assert problems("runs", times, "mysql", start_time=column("start_time", "integer")) == [
        f"runs (run_id 'a'): start_time is out of the range of INTEGER ({limit + 1})"
    ]


def test_texts_of_which_the_target_knows_all() -> None:
    rows = [{"run_id": run_id, "experiment_id": "1", "status": status} for run_id, status in
            (("a", "FINISHED"), ("b", "finished"), ("c", None))]  # fmt: skip
    allowed = "SCHEDULED, FAILED, FINISHED, RUNNING, KILLED"
    for dialect in ("sqlite", *SERVERS):
        told = problems("runs", rows, dialect)
        assert told == [f"runs (run_id 'b'): status is not one of {allowed} ('finished')"]
    told = problems("runs", rows[1:2], "mysql", status=column("status", length=5))
    assert told == [
        "runs (run_id 'b'): status is longer than 5 characters ('finished')",
        f"runs (run_id 'b'): status is not one of {allowed} ('finished')",
    ]


@pytest.mark.parametrize(
    ("dialect", "nullable", "told"),
    [
        ("mysql", True, {"is no number that MySQL holds": ["nan", "inf", "-inf"]}),
        ("mysql", False, {"is no number that MySQL holds": ["nan", "inf", "-inf"]}),
        ("sqlite", False, {"becomes NULL in SQLite, which is refused there": ["nan"]}),
        ("sqlite", True, {}),
        ("postgresql", False, {}),
    ],
)
def test_numbers_that_are_none(dialect: str, nullable: bool, told: dict[str, list[str]]) -> None:
    values = (0.5, nan, inf, -inf)
    rows = [
        {"model_id": "m", "key": "k", "timestamp": 0, "step": 0, "run_id": "r", "value": value, "experiment_id": "1"}
        for value in values
    ]
    found = problems(
        "logged_model_metrics", rows, dialect, metric_value=column("metric_value", "real", nullable=nullable)
    )
    ends = [line.partition("): value ")[2] for line in found]
    assert ends == [f"{problem} ({value})" for problem, shown in told.items() for value in shown]
    points = [{"run_id": "a", "key": "k", "step": 0, "timestamp": 0, "value": nan}]
    assert problems("metrics", points, dialect, value=column("value", "real", nullable=nullable)) == []


def test_columns_in_which_nothing_can_be_found_need_not_be_read() -> None:
    def named(archived: str, dialect: str, **changes: TargetColumn | None) -> tuple[str, ...]:
        return columns_to_check(MAPS[archived], columns_of(archived, **changes), dialect)

    assert named("params", "sqlite") == ()
    assert named("params", "mysql") == ("run_id", "key", "value")
    assert named("params", "sqlite", value=None) == ("value",)
    assert named("params", "sqlite", value=column("value", nullable=False)) == ()
    assert "run_name" in named("runs", "sqlite", name=column("name", nullable=False))
    assert named("params", "sqlite", run_uuid=column("run_uuid", nullable=False)) == ()
    assert named("params", "sqlite", run_uuid=column("run_uuid", "bigint")) == ("run_id",)
    assert named("params", "sqlite", run_uuid=column("run_uuid", "integer")) == ("run_id",)
    assert named("runs", "sqlite") == ("status", "lifecycle_stage", "source_type")
    times = {name: column(name, "integer") for name in ("start_time", "end_time")}
    assert {"start_time", "end_time"} <= set(named("runs", "mysql", **times))
    assert not {"start_time", "end_time"} & set(named("runs", "sqlite", **times))
    step = {name: column(name, "integer") for name in ("step", "value")}
    assert named("metrics", "postgresql", **step) == ("run_id", "key", "step")


@dataclass
class _Database:
    dialect: str
    schema: dict[str, dict[str, TargetColumn]] = field(default_factory=dict)


def held(
    dialect: str, archived: str, rows: pa.Table, **changes: TargetColumn | None
) -> tuple[pa.Table, dict[str, Any]]:
    """Return rows as they are held, and what the report says of it."""
    database: Any = _Database(dialect, {MAPS[archived].stored_in: columns_of(archived, **changes)})
    fitting = HeldRows(database)
    fitted = fitting.fit({archived: rows, "unknown:x": rows})
    assert fitted["unknown:x"] is rows
    counts: dict[str, int] = {"before": 1}
    details: dict[str, Any] = {}
    fitting.add_to(counts, details)
    return fitted[archived], {**counts, **details}


def test_texts_are_cut_to_what_fits_with_what_they_were_in_the_report() -> None:
    rows = table("params", [*PARAMS, {"run_id": "c", "key": "k", "value": "x" * 51}])
    for dialect in SERVERS:
        fitted, said = held(dialect, "params", rows, value=column("value", length=50))
        assert fitted["value"].to_pylist() == ["é" * 5, None, shorten("x" * 51, 50)]
        assert fitted.schema == rows.schema
        original = {"table": "params", "key": {"run_id": "c", "key": "k"}, "column": "value", "original": "x" * 51}
        assert said == {"before": 1, "shortened_texts": 1, "rewritten": [original]}
        assert held(dialect, "params", rows, value=column("value", length=51)) == (rows, {"before": 1, "rewritten": []})
        assert held(dialect, "params", rows)[0] == rows
        assert held(dialect, "params", rows, value=column("value", "binary", length=9))[0] == rows
        fitted, _ = held(dialect, "params", rows.select(["run_id", "value"]), value=column("value", length=50))
        assert fitted.column_names == ["run_id", "value"]
        assert held(dialect, "params", rows.select(["key"]), value=column("value", length=50))[0].num_rows == 3
    assert held("sqlite", "params", rows, value=column("value", length=2))[0] is rows


@pytest.mark.parametrize(
    ("text", "limit", "fitted"),
    [
        ("é" * 5, 10, "é" * 5),
        ("é" * 100, 199, shorten("é" * 100, 99)),
        ("é" * 100, 150, shorten("é" * 100, 75)),
        ("é" * 60 + "x" * 100, 100, shorten("é" * 60 + "x" * 100, 59)),
        ("x" * 50 + "é" * 50, 149, shorten("x" * 50 + "é" * 50, 99)),
        ('["' + "é" * 100 + '"]', 100, '["' + "é" * 100 + '"]'),
        ('["' + "é" * 100, 100, shorten('["' + "é" * 100, 50)),
    ],
)
def test_texts_are_cut_to_the_bytes_that_mysql_holds_but_for_json(text: str, limit: int, fitted: str) -> None:
    rows = table("params", [{"run_id": "a", "key": key, "value": value} for key, value in (("k", text), ("l", None))])
    found, said = held("mysql", "params", rows, value=column("value", most_bytes=limit))
    assert found["value"].to_pylist() == [fitted, None]
    assert fitted == text or len(fitted.encode()) <= limit
    original = {"table": "params", "key": {"run_id": "a", "key": "k"}, "column": "value", "original": text}
    changed = {} if fitted == text else {"shortened_texts": 1}
    assert said == {"before": 1, **changed, "rewritten": [original] if changed else []}


def test_every_column_that_is_cut_is_in_the_report() -> None:
    rows = table("runs", [{"run_id": "a", "experiment_id": "1", "run_name": "n" * 50, "user_id": "u" * 60}])
    short = {name: column(name, length=40) for name in ("name", "user_id")}
    _, said = held("mysql", "runs", rows, **short)
    assert said["shortened_texts"] == 2
    assert {entry["column"]: entry["original"] for entry in said["rewritten"]} == {
        "run_name": "n" * 50, "user_id": "u" * 60
    }  # fmt: skip


def test_what_names_something_else_is_not_cut() -> None:
    runs = table("runs", [{"run_id": "a" * 9, "experiment_id": "1" * 9, "status": "s" * 9, "artifact_uri": "u" * 9}])
    short = {name: column(name, length=2) for name in ("run_uuid", "status", "artifact_uri")}
    assert held("mysql", "runs", runs, **short)[0] == runs


def test_nul_is_shown_for_postgresql_alone() -> None:
    rows = table("params", [{"run_id": "a", "key": "k", "value": "x\0y"}])
    fitted, said = held("postgresql", "params", rows)
    assert fitted["value"].to_pylist() == ["x\u2400y"]
    original = {"table": "params", "key": {"run_id": "a", "key": "k"}, "column": "value", "original": "x\0y"}
    assert said == {"before": 1, "texts_with_nul": 1, "rewritten": [original]}
    assert held("mysql", "params", rows)[0] == rows
