"""Name, session, tokens and cost of a trace are columns of the archive, also where a source has them elsewhere."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.locate import locate_source
from mlflow_archive.sources.reading.trace_columns import take_columns
from tests.support.databases import make_database, revisions
from tests.support.reading import read_source

BEFORE = revisions()[revisions().index("75868b020152") - 1]
TRACE = "tr-" + "ab" * 16
USAGE = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
TAGS = {"mlflow.traceName": "answer", "team": "a"}
METADATA = {
    "mlflow.trace.tokenUsage": json.dumps(USAGE),
    "mlflow.trace.cost": '{"total_cost": 1}',
    "mlflow.trace.session": "s1",
    "other": "o",
}
COLUMNS = {"trace_name": "answer", "session_id": "s1", **USAGE, "total_cost": 1.0}


def old_database(path: Path) -> None:
    make_database(f"sqlite:///{path}", BEFORE)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("insert into experiments (experiment_id, name, workspace) values (1, 'e', 'default')")
        connection.execute(
            "insert into trace_info (request_id, experiment_id, timestamp_ms, status) values (?, 1, 5, 'OK')", (TRACE,)
        )
        for table, pairs in (("trace_tags", TAGS), ("trace_request_metadata", METADATA)):
            rows = [(TRACE, key, value) for key, value in pairs.items()]
            connection.executemany(f"insert into {table} (request_id, key, value) values (?, ?, ?)", rows)  # noqa: S608
        connection.commit()


def test_of_a_database_before_the_columns(tmp_path: Path) -> None:
    old_database(tmp_path / "old.db")
    found = read_source(locate_source(f"sqlite:///{tmp_path / 'old.db'}"), Selection(artifacts=False))
    [trace] = found.rows("traces")
    assert {name: trace[name] for name in COLUMNS} == COLUMNS
    assert [(row["key"], row["value"]) for row in found.rows("trace_tags")] == [("team", "a")]
    assert [(row["key"], row["value"]) for row in found.rows("trace_metadata")] == [("other", "o")]


def test_what_lies_in_tables_of_metrics_and_in_spans_and_assessments(tmp_path: Path) -> None:
    old_database(tmp_path / "old.db")
    content = json.dumps({"attributes": {"mlflow.llm.model": '"m"', "mlflow.llm.cost": '{"input_cost": 9}'}})
    with closing(sqlite3.connect(tmp_path / "old.db")) as connection:
        connection.execute("update trace_request_metadata set key = 'mlflow.gateway.endpointId' where key like '%cost'")
        connection.execute("delete from trace_request_metadata where key like '%tokenUsage'")
        connection.executemany("insert into trace_metrics values (?, ?, ?)", [(TRACE, *item) for item in USAGE.items()])
        for span, cost in (("a", 0.25), ("b", 0.5)):
            connection.execute(
                "insert into spans (trace_id, experiment_id, span_id, status, start_time_unix_nano, content) "
                "values (?, 1, ?, 'OK', 1, ?)",
                (TRACE, span, content),
            )
            connection.execute("insert into span_metrics values (?, ?, 'total_cost', ?)", (TRACE, span, cost))
        connection.execute(
            "insert into assessments (assessment_id, trace_id, name, assessment_type, value, created_timestamp, "
            "last_updated_timestamp, source_type, valid) "
            "values ('a-1', ?, 'n', 'feedback', '\"Yes\"', 1, 1, 'HUMAN', 1)",
            (TRACE,),
        )
        connection.commit()
    found = read_source(locate_source(f"sqlite:///{tmp_path / 'old.db'}"), Selection(artifacts=False))
    [trace] = found.rows("traces")
    assert {name: trace[name] for name in USAGE} == USAGE
    assert trace["total_cost"] == 0.75
    columns = ("input_cost", "total_cost", "model_name", "model_provider")
    assert [tuple(span[name] for name in columns) for span in found.rows("spans")] == [
        (9.0, 0.25, "m", None),
        (9.0, 0.5, "m", None),
    ]
    [assessment] = found.rows("assessments")
    columns = ("experiment_id", "trace_timestamp", "aggregate_value", "is_numeric_value")
    assert tuple(assessment[name] for name in columns) == ("1", 5, 1.0, False)


@pytest.mark.parametrize(
    ("tags", "metadata"),
    [
        ({"mlflow.traceName": "n" * 4097}, {"mlflow.trace.session": "s" * 251}),
        ({}, {"mlflow.trace.tokenUsage": '{"input_tokens": 1.5}'}),
        ({}, {"mlflow.trace.tokenUsage": '{"input_tokens": 1, "other": 2}'}),
        ({}, {"mlflow.trace.cost": "no JSON"}),
        ({}, {"mlflow.trace.cost": "[]"}),
    ],
)
def test_what_no_column_holds_stays_where_it_is(tags: dict[str, Any], metadata: dict[str, Any]) -> None:
    before = dict(tags), dict(metadata)
    assert take_columns(tags, metadata) == {}
    assert (tags, metadata) == before
