"""Rows of a database, summed up, counted and deleted in one transaction: whole tables before and after."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

import pytest
from sqlalchemy import Connection, create_engine, text

from mlflow_archive.kinds import LOGGED_MODEL, RUN, TRACE
from mlflow_archive.retiring.database_rows import StillNeededError, check_unneeded, delete_rows
from mlflow_archive.retiring.trace_rows import delete_trace, sums_of

Tables = Mapping[str, tuple[str, list[tuple[object, ...]]]]
"""By name, the columns of tables and their rows."""

TRACES: Tables = {
    "trace_info": ("request_id, status", [("t", "OK"), ("u", "OK")]),
    "spans": ("trace_id, content", [("t", "a"), ("t", "a"), ("u", "a")]),
    "span_metrics": ("trace_id, value", [("t", 1)]),
    "assessments": ("trace_id, value", [("u", "x")]),
    "trace_tags": ("request_id, key, value", [("t", "k", None), ("u", "k", "é")]),
    "entity_associations": ("source_type, source_id, destination_id", [("trace", "t", "r"), ("run", "r", "s")]),
}
RUNS: Tables = {
    "runs": ("run_uuid, lifecycle_stage", [("r", "deleted"), ("s", "deleted"), ("a", "active")]),
    "params": ("run_uuid, value", [("r", 1), ("r", 2), ("s", 3)]),
    "latest_metrics": ("run_uuid, value", [("r", 1), ("s", 2)]),
    "inputs": (
        "input_uuid, source_type, source_id, destination_type, destination_id",
        [
            ("i", "DATASET", "d", "RUN", "r"),
            ("j", "RUN_INPUT", "r", "MODEL", "m"),
            ("k", "RUN_OUTPUT", "s", "MODEL", "m"),
        ],
    ),
    "input_tags": ("input_uuid, name", [("i", "x"), ("j", "y"), ("k", "z")]),
}
MODELS: Tables = {
    "logged_models": ("model_id, source_run_id, lifecycle_stage", [("m", "s", "deleted"), ("n", "s", "deleted")]),
    "logged_model_tags": ("model_id, value", [("m", 1), ("n", 2)]),
}


@pytest.fixture
def database() -> Iterator[Connection]:
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def fill(connection: Connection, tables: Tables) -> None:
    for name, (columns, rows) in tables.items():
        connection.exec_driver_sql(f"CREATE TABLE {name} ({columns})")
        for row in rows:
            connection.exec_driver_sql(f"INSERT INTO {name} VALUES ({', '.join('?' * len(row))})", row)  # noqa: S608


def content(connection: Connection, tables: Tables) -> dict[str, list[tuple[object, ...]]]:
    """Return what all tables hold."""
    return {name: [tuple(row) for row in connection.execute(text(f"SELECT * FROM {name}"))] for name in tables}  # noqa: S608


def stated(tables: Tables, **fewer: list[tuple[object, ...]]) -> dict[str, list[tuple[object, ...]]]:
    return {name: fewer.get(name, rows) for name, (_, rows) in tables.items()}


def digest(*row: object) -> int:
    return int.from_bytes(hashlib.sha256(repr(row).encode()).digest(), "big")


def test_sums_are_of_all_rows_of_a_trace_and_no_other(database: Connection) -> None:
    fill(database, TRACES)
    of_t = {
        "trace_info": (1, digest("t", "OK")),
        "span_metrics": (1, digest("t", 1)),
        "spans": (2, 2 * digest("t", "a") % (1 << 256)),
        "assessments": (0, 0),
        "entity_associations": (1, digest("trace", "t", "r")),
        "trace_tags": (1, digest("t", "k", None)),
    }
    assert sums_of(database, "t", TRACES) == of_t
    assert sums_of(database, "t", ["spans", "none"], lock=True) == {"spans": of_t["spans"]}
    assert sums_of(database, "v", ["spans"]) == {"spans": (0, 0)}


def test_a_trace_goes_with_all_its_rows_and_alone(database: Connection) -> None:
    fill(database, TRACES)
    seen = sums_of(database, "t", TRACES)
    delete_trace(database, "t", seen, TRACES)
    assert content(database, TRACES) == stated(
        TRACES,
        trace_info=[("u", "OK")],
        spans=[("u", "a")],
        span_metrics=[],
        trace_tags=[("u", "k", "é")],
        entity_associations=[("run", "r", "s")],
    )


def test_a_trace_that_changed_or_is_needed_is_told(database: Connection) -> None:
    fill(database, {**TRACES, "review_queue_items": ("item_id", [("u",)])})
    seen = dict(sums_of(database, "t", TRACES))
    for table in ("spans", "trace_tags"):
        number, total = seen[table]
        seen[table] = (number, total + 1)
    with pytest.raises(StillNeededError) as changed:
        delete_trace(database, "t", seen, TRACES)
    assert str(changed.value) == "it has changed while it was compared: spans, trace_tags"
    assert content(database, TRACES) == stated(TRACES)
    with pytest.raises(StillNeededError) as needed:
        delete_trace(database, "u", sums_of(database, "u", TRACES), [*TRACES, "review_queue_items"])
    assert str(needed.value) == "a review queue has it"
    with pytest.raises(StillNeededError) as more:
        delete_trace(database, "v", {}, TRACES)
    assert str(more.value).startswith("it has changed while it was compared: trace_info, ")


NUMBERS = {"params": 2, "dataset_inputs": 1, "dataset_input_tags": 1, "model_inputs": 1}


def test_a_run_goes_with_all_its_rows_and_alone(database: Connection) -> None:
    fill(database, RUNS)
    delete_rows(database, RUN, "r", NUMBERS, RUNS)
    assert content(database, RUNS) == stated(
        RUNS,
        runs=[("s", "deleted"), ("a", "active")],
        params=[("s", 3)],
        latest_metrics=[("s", 2)],
        inputs=[("k", "RUN_OUTPUT", "s", "MODEL", "m")],
        input_tags=[("j", "y"), ("k", "z")],
    )


@pytest.mark.parametrize(
    ("run_id", "numbers", "said"),
    [
        ("r", {**NUMBERS, "params": 1}, "it has 2 rows of params, and the archive 1"),
        ("r", {"params": 2}, "it has 1 rows of input_tags, and the archive 0"),
        ("a", {}, "it is not deleted any more"),
        ("none", {}, "it is not deleted any more"),
        ("s", {"params": 1, "model_outputs": 1}, "a logged model that it made is there"),
    ],
)
def test_what_keeps_a_run(database: Connection, run_id: str, numbers: dict[str, int], said: str) -> None:
    fill(database, {**RUNS, **MODELS})
    with pytest.raises(StillNeededError) as caught:
        delete_rows(database, RUN, run_id, numbers, [*RUNS, *MODELS])
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("table", "columns", "row", "said"),
    [
        ("logged_model_metrics", "run_id", ("r",), "points of a logged model come from it"),
        ("issues", "source_run_id", ("r",), "an issue comes from it"),
        ("trace_request_metadata", '"key", value', ("mlflow.sourceRun", "r"), "a trace that was made in it is there"),
        ("entity_associations", "source_id, destination_id", ("t", "r"), "a trace is linked to it"),
        ("inputs", "source_id, destination_id", ("r", "x"), "it has inputs or outputs of an unknown kind"),
    ],
)
def test_what_would_lose_something(
    database: Connection, table: str, columns: str, row: tuple[str, ...], said: str
) -> None:
    other = tuple("other" if value == "r" else value for value in row)
    fill(database, {table: (columns, [other])})
    check_unneeded(database, RUN, "r", [table])
    fill_row = f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})"  # noqa: S608
    database.exec_driver_sql(fill_row, row)
    check_unneeded(database, RUN, "r", [])
    with pytest.raises(StillNeededError) as caught:
        check_unneeded(database, RUN, "r", [table])
    assert str(caught.value) == said


def test_a_logged_model_is_needed_by_runs_that_are_not_deleted(database: Connection) -> None:
    tables = {**RUNS, **MODELS}
    fill(database, tables)
    delete_rows(database, LOGGED_MODEL, "n", {"logged_model_tags": 1}, tables)
    assert content(database, MODELS) == stated(
        MODELS, logged_models=[("m", "s", "deleted")], logged_model_tags=[("m", 1)]
    )
    database.exec_driver_sql("INSERT INTO inputs VALUES ('l', 'RUN_INPUT', 'a', 'MODEL', 'm')")
    with pytest.raises(StillNeededError) as caught:
        delete_rows(database, LOGGED_MODEL, "m", {"logged_model_tags": 1}, tables)
    assert str(caught.value) == "a run that is not deleted gave or took it"
    check_unneeded(database, TRACE, "m", [])
