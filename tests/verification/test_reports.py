"""All that is said of each vector is what was said before, word for word: codes, members, sentences, losses, counts."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest

from mlflow_archive.errors import DamagedError
from mlflow_archive.format.problems import Problem
from mlflow_archive.kinds import RUN, TABLES, TRACE
from mlflow_archive.verification.report import MAX_LISTED, PROMISES, Level, Lost, VerifyReport
from mlflow_archive.verification.tables import KeyRange, _compare_neighbours, owners_in
from tests.spec.make_vectors import VECTORS
from tests.verification.reports import REPORTS, report_on

EXPECTED: dict[str, Any] = json.loads(REPORTS.read_text("utf-8"))


def test_reports_are_of_vectors_that_are_there() -> None:
    assert EXPECTED.keys() <= json.loads((VECTORS / "vectors.json").read_text("utf-8")).keys()


@pytest.mark.parametrize("name", EXPECTED)
def test_what_is_said_of_a_vector(name: str) -> None:
    """``python -m tests.verification.reports`` writes what is said now."""
    assert report_on(name) == EXPECTED[name]


def test_very_many_problems_and_losses_are_listed_up_to_a_limit() -> None:
    report = VerifyReport(level=Level.QUICK, archive_id="x")
    for number in range(MAX_LISTED + 1):
        report.add("W002", "m", str(number))
        report.lost.add(Lost(kind=RUN, id=f"{number:05}"))
    assert [problem.message for problem in report.problems] == [str(number) for number in range(MAX_LISTED)]
    document = report.to_json()
    assert [loss["id"] for loss in document["lost"]] == [f"{number:05}" for number in range(MAX_LISTED)]
    assert len(document["problems"]) == MAX_LISTED


def test_warnings_leave_an_archive_sound_and_errors_do_not() -> None:
    report = VerifyReport(level=Level.STORED, archive_id="x")
    report.add("W001", "", "left")
    assert report.to_json()["ok"] is True
    report.add_error(DamagedError("gone", code="E010"), "m")
    report.add_error(DamagedError("gone: E010: x", code="E010", member="own"), "m")
    assert report.to_json()["ok"] is False
    report.add_error(DamagedError("gone", code="E010"))
    assert report.problems[1:] == [
        Problem(code="E010", member="m", message="gone"),
        Problem(code="E010", member="own", message="gone: E010: x"),
        Problem(code="E010", member="", message="gone"),
    ]
    report.count("rows", 2)
    report.count("rows", 3)
    assert report.to_json()["checked"] == {"rows": 5}
    assert report.to_json()["promise"] == report.promise == PROMISES[Level.STORED]


@pytest.mark.parametrize(
    ("rows", "order", "equal"),
    [
        ([("a", "k", 1)], [], []),
        ([("a", "k", 1), ("a", "k", 2), ("a", "l", 1), ("b", "k", 1)], [0, 0, 0], [False] * 3),
        ([("b", "k", 1), ("a", "k", 2)], [2], [False]),
        ([("a", "l", 1), ("a", "k", 2)], [1], [False]),
        ([("a", "k", 2), ("a", "k", 1)], [1], [False]),
        ([("a", "k", 1), ("a", "k", 1)], [0], [True]),
        ([("b", "l", 2), ("a", "k", 1)], [2], [False]),
        ([("a", "k", None), ("a", "k", None)], [0], [False]),
        ([("a", "k", None), ("a", "k", 1), ("a", "k", None)], [0, 0], [False, False]),
    ],
)
def test_neighbours_are_compared_by_one_column_of_the_key_after_the_other(
    rows: list[tuple[str, str, int | None]], order: list[int], equal: list[bool]
) -> None:
    table = TABLES["metrics"]
    assert table.key[:3] == ("run_id", "key", "step")
    columns = dict(zip(table.key[:3], map(list, zip(*rows, strict=True)), strict=True))
    columns |= {name: [1] * len(rows) for name in table.key[3:]}
    schema = pa.schema([(name, pa.string() if name in ("run_id", "key") else pa.int64()) for name in columns])
    found = _compare_neighbours(pa.table(columns, schema), table)
    assert [column.to_pylist() for column in found] == [order, equal]


def test_who_is_hit_by_a_damaged_range() -> None:
    ids = {"t1": "a", "t2": "b", "t3": "c"}
    of_traces = KeyRange(table=TABLES["trace_tags"], export=1, low="b", high="b")
    of_all = KeyRange(table=TABLES["artifacts"], export=1, low="t1", high="t2")
    of_runs = KeyRange(table=TABLES["params"], export=1, low="a", high="z")
    assert list(owners_in([of_traces], ids, TRACE)) == ["t2"]
    assert list(owners_in([of_all], ids, TRACE)) == ["t1", "t2"]
    assert list(owners_in([of_runs], ids, TRACE)) == []
    assert list(owners_in([of_runs, of_traces, of_all], ids, TRACE)) == ["t1", "t2"]
