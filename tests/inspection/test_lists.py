"""Lists of objects: their columns, order, limit, and what is said of a name that is not there."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest

from mlflow_archive.errors import SelectionError
from mlflow_archive.flow.copy import copy
from mlflow_archive.reader.archive import Archive, open_archive
from mlflow_archive.reader.inspection.listing import (
    Query,
    columns_of,
    duration_ms,
    is_below,
    keys_of,
    list_artifacts,
    list_objects,
)
from mlflow_archive.writer.export import ArchiveSink
from tests.support.chunks import ChunkSource, artifact, chunk, experiment, pairs, points, run

A, B, C, D = (letter * 32 for letter in "abcd")
NAN = math.nan
FILES = ((A, "m/x"), (A, "m.txt"), (B, "m/y"))
PARAMS = {A: {"p": "10"}, B: {"p": "9", "q": "1"}, C: {"p": "nan"}, D: {"p": "x"}}


def source() -> ChunkSource:
    """Two experiments of three runs and one, with params that are numbers or not, models, a trace and files."""
    first = chunk(experiments=[experiment("2", "two"), experiment("10", "ten", lifecycle_stage="deleted")])
    rest = chunk(
        [
            artifact(A, "m/x", b"1"),
            artifact(A, "m.txt", b"12"),
            artifact(B, "m/y", b"3"),
            artifact("1", "z", b"", kind="trace"),
        ],
        runs=[
            run(A, "2", start_time=30, end_time=35, run_name="first"),
            run(B, "2", start_time=10, end_time=None, run_name="second"),
            run(C, "2", start_time=20, end_time=20, run_name=None),
            run(D, "10", start_time=None, lifecycle_stage="deleted"),
        ],
        params=[
            *pairs(A, {"p": "10"}),
            *pairs(B, {"p": "9", "q": "1"}),
            *pairs(C, {"p": "nan"}),
            *pairs(D, {"p": "x"}),
        ],
        metrics=[*points(A, "m", [1.0, 3.0]), *points(B, "m", [2.0]), *points(C, "m", [NAN])],
        registered_models=[{"name": "churn", "workspace": "default"}, {"name": "none", "workspace": "team"}],
        model_versions=[
            {"name": "churn", "workspace": "default", "version": 1, "current_stage": "None"},
            {"name": "churn", "workspace": "default", "version": 2, "current_stage": "Deleted_Internal"},
            {"name": "churn", "workspace": "default", "version": 3},
        ],
        traces=[{"trace_id": "1", "experiment_id": "2", "request_time": 1, "state": "OK"}],
    )
    return ChunkSource((0, [first]), (1, [rest]))


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    path = tmp_path_factory.mktemp("lists") / "a"
    copy(source(), ArchiveSink(path, tool="test", clock_ms=lambda: 0), jobs=1)
    with open_archive(path) as opened:
        yield opened


def listed(archive: Archive, kind: str, *columns: str, **options: Any) -> list[tuple[Any, ...]]:
    rows = list_objects(archive, kind, columns=columns, **options)
    assert all(list(row) == list(columns) for row in rows)
    return [tuple(row.values()) for row in rows]


@pytest.mark.parametrize(
    ("sort", "limit", "expected"),
    [
        (None, None, [A, B, C, D]),
        ("start_time", None, [B, C, A, D]),
        ("-start_time", None, [A, C, B, D]),
        ("start_time DESC", 2, [A, C]),
        (" start_time asc ", 1, [B]),
        ("created", None, [B, C, A, D]),
        ("duration", None, [C, A, B, D]),
        ("params.p", None, [B, A, C, D]),
        ("-params.p", None, [D, C, A, B]),
        ("param.p DESC", None, [D, C, A, B]),
        ("metrics.m", None, [B, A, C, D]),
        ("-metrics.m", None, [A, B, C, D]),
        ("attributes.start_time", None, [B, C, A, D]),
        ("experiment_id", None, [A, B, C, D]),
        ("-experiment_id", 1, [D]),
        ("experiment", None, [D, A, B, C]),
        (None, 0, []),
    ],
)
def test_order_and_limit(archive: Archive, sort: str | None, limit: int | None, expected: list[str]) -> None:
    assert listed(archive, "run", "run_id", sort=sort, limit=limit) == [(run_id,) for run_id in expected]


def test_columns_of_runs(archive: Archive) -> None:
    assert listed(archive, "run", "duration", "run_id", "experiment", "params.q", "metrics.m") == [
        (5, A, "two", None, 3.0),
        (None, B, "two", "1", 2.0),
        (0, C, "two", None, pytest.approx(NAN, nan_ok=True)),
        (None, D, "ten", None, None),
    ]
    everything = list_objects(archive, "run")
    assert [tuple(row) for row in everything] == [columns_of("run")] * 4
    assert columns_of("run")[-2:] == ("experiment", "duration")
    assert columns_of("experiment")[-1] == "runs"
    assert columns_of("trace")[-1] == "experiment"
    assert columns_of("webhook")[-1] != "experiment"


def test_what_is_counted(archive: Archive) -> None:
    assert listed(archive, "experiment", "name", "runs") == [("ten", 1), ("two", 3)]
    assert listed(archive, "registered_model", "name", "versions") == [("churn", 2), ("none", 0)]
    assert listed(archive, "trace", "trace_id", "experiment") == [("1", "two")]
    assert duration_ms({"start_time": 3, "end_time": 2}) == -1


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (Query(), [A, B, C, D]),
        (Query(experiments=("two",)), [A, B, C]),
        (Query(experiments=("t*",)), [A, B, C, D]),
        (Query(experiments=("10",)), [D]),
        (Query(stage="deleted"), [D]),
        (Query(stage="active", filter_string="metrics.m > 2"), [A]),
        (Query(filter_string="params.q = '1'"), [B]),
    ],
)
def test_queries(archive: Archive, query: Query, expected: list[str]) -> None:
    assert listed(archive, "run", "run_id", query=query) == [(run_id,) for run_id in expected]


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("run", {"query": Query(experiments=("x",))}, "no experiment 'x' in PATH; it has 'ten', 'two'"),
        ("webhook", {"query": Query(experiments=("two",))}, "webhooks lie in no experiment; leave out --experiment"),
        (
            "registered_model",
            {"query": Query(stage="deleted")},
            "registered models have no lifecycle stage; leave out --deleted and --active",
        ),
        (
            "webhook",
            {"columns": ["colour"]},
            f"webhooks have no column 'colour'; there are {', '.join(columns_of('webhook'))}",
        ),
        (
            "experiment",
            {"columns": ["tags."]},
            f"experiments have no column 'tags.'; there are {', '.join(columns_of('experiment'))}, tags.KEY",
        ),
    ],
)
def test_what_makes_no_sense(archive: Archive, kind: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(SelectionError) as caught:
        list_objects(archive, kind, **options)
    assert str(caught.value).replace(str(archive.path), "PATH") == said


def test_a_key_that_no_object_has_is_answered_by_those_like_it(archive: Archive) -> None:
    with pytest.raises(SelectionError, match=r"no key in params of runs .*'pp'"):
        listed(archive, "run", "params.pp")
    assert keys_of(archive, "run", "params") == ["p", "q"]
    assert keys_of(archive, "run", "tags") == []


@pytest.mark.parametrize(
    ("owner", "prefix", "kind", "paths"),
    [
        (None, "", "run", [(A, "m.txt"), (A, "m/x"), (B, "m/y")]),
        (None, "m", "run", [(A, "m/x"), (B, "m/y")]),
        (A, "m/", "run", [(A, "m/x")]),
        (A, "m.txt", "run", [(A, "m.txt")]),
        (None, "", None, [(A, "m.txt"), (A, "m/x"), (B, "m/y"), ("1", "z")]),
        ("1", "", "trace", [("1", "z")]),
        (A, "", "trace", []),
    ],
)
def test_artifacts(
    archive: Archive, owner: str | None, prefix: str, kind: str | None, paths: list[tuple[str, str]]
) -> None:
    found = list_artifacts(archive, owner, prefix, kind=kind)
    assert [(row["owner_id"], row["path"]) for row in found] == paths


@pytest.mark.parametrize(
    ("path", "prefix", "below"),
    [
        ("a/b", "", True),
        ("a/b", "a", True),
        ("a/b", "a/", True),
        ("a", "a", True),
        ("ab", "a", False),
        ("a", "a/b", False),
    ],
)
def test_what_lies_below(path: str, prefix: str, below: bool) -> None:
    assert is_below(path, prefix) is below
