"""When each assessment of a trace is made, and what MLflow's API cannot keep of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mlflow_archive.errors import ItemError
from mlflow_archive.sinks.replay.options import Limits
from mlflow_archive.sinks.replay.traces.assessments import AssessmentPlan, When, plan_assessments
from mlflow_archive.sinks.replay.traces.moments import duration, timestamp
from tests.sinks.replayed_traces import assessment
from tests.support.chunks import table

RUN = {"mlflow.assessment.sourceRunId": "run"}


def planned(*columns: dict[str, Any]) -> AssessmentPlan:
    """Plan assessments ``a``, ``b``, … with these columns; the run ``gone`` ends deleted."""
    made = [{**assessment("t", chr(97 + number)), **each} for number, each in enumerate(columns)]
    rows = [
        {**row, "created_timestamp": 1, "last_updated_timestamp": 2} for row in table("assessments", made).to_pylist()
    ]
    return plan_assessments(rows, "t", run_of={"run": "target run"}.get, deleted_runs={"gone"}, limits=Limits())


GONE = {"metadata": json.dumps({"mlflow.assessment.sourceRunId": "gone"})}
ISSUE = {"assessment_type": "issue", "value": '{"issue_name": "n"}'}
INVALID = {"valid": False}


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ([{}], {"a": When.WITH_TRACE}),
        ([GONE], {"a": When.AFTER_DELETION}),
        ([ISSUE], {"a": When.AFTER_ISSUES}),
        ([{**ISSUE, **GONE}], {"a": When.AFTER_DELETION}),
        ([INVALID, {"overrides": "a"}], {"a": When.WITH_TRACE, "b": When.AFTER_TRACE}),
        ([{}, {"overrides": "a"}], {"a": When.WITH_TRACE, "b": When.WITH_TRACE}),
        ([{**INVALID, **GONE}, {"overrides": "a"}], {"a": When.AFTER_DELETION, "b": When.AFTER_DELETION}),
        (
            [{"overrides": "b"}, {"overrides": "c", **INVALID}, INVALID],
            {"c": When.WITH_TRACE, "b": When.AFTER_TRACE, "a": When.AFTER_TRACE},
        ),
        ([{"overrides": "b", **INVALID}, {"overrides": "a", **INVALID}], None),
    ],
)
def test_when(columns: list[dict[str, Any]], expected: dict[str, When] | None) -> None:
    plan = planned(*columns)
    found = {each.assessment_id: each.when for each in plan.planned}
    if expected is None:
        assert len(found) == len(columns), "a circle ends"
    else:
        assert list(found.items()) == list(expected.items()), "what is replaced comes first"


@pytest.mark.parametrize(
    ("columns", "lost"),
    [
        ({}, {}),
        ({"value": "3"}, {"value": "3"}),
        ({"value": "3.0"}, {}),
        ({"value": "3", "assessment_type": "expectation"}, {}),
        ({"value": '{"a": [1]}'}, {"value": '{"a": [1]}'}),
        ({"source_type": "ALIEN"}, {"source_type": "ALIEN"}),
        ({"run_id": "run", "metadata": json.dumps(RUN)}, {}),
        ({"run_id": "run"}, {"run_id": "run"}),
        ({"overrides": "missing", **GONE}, {"overrides": "missing"}),
        ({"overrides": "missing"}, {}),
        ({"overrides": "missing", "assessment_type": "expectation"}, {"overrides": "missing"}),
    ],
)
def test_what_is_lost_is_told(columns: dict[str, Any], lost: dict[str, Any]) -> None:
    assert planned(columns).losses == ([{"assessment_id": "a", **lost}] if lost else [])


@pytest.mark.parametrize(
    ("columns", "losses"),
    [
        ([INVALID], [{"assessment_id": "a", "valid": False}]),
        ([INVALID, {"overrides": "a"}], []),
        ([{**INVALID, "overrides": "b"}, INVALID, {"overrides": "a"}], []),
        ([INVALID, {"overrides": "a", "value": "3"}], [{"assessment_id": "b", "value": "3"}]),
        (
            [INVALID, {"overrides": "a", "assessment_type": "expectation"}],
            [{"assessment_id": "b", "overrides": "a"}, {"assessment_id": "a", "valid": False}],
        ),
        ([INVALID, {"overrides": "a", "value": "NaN"}], [{"assessment_id": "a", "valid": False}]),
    ],
    ids=[
        "replaced by nothing",
        "replaced",
        "replaced one by one",
        "replaced by what loses something else",
        "replaced by what the api does not let replace",
        "replaced by what is refused",
    ],
)
def test_an_assessment_is_invalid_in_the_target_only_if_another_replaces_it_there(
    columns: list[dict[str, Any]], losses: list[dict[str, Any]]
) -> None:
    assert planned(*columns).losses == losses


@pytest.mark.parametrize(
    "columns",
    [
        {"value": "NaN"},
        {"value": "no JSON"},
        {"value": str(10**400)},
        {"value": "null", "assessment_type": "expectation"},
        {"value": '"slow"', "assessment_type": "issue"},
        {"assessment_type": "guess"},
        {"metadata": "[]"},
        {"metadata": "{"},
    ],
)
def test_what_mlflow_does_not_take_is_refused(columns: dict[str, Any]) -> None:
    plan = planned(columns, {})
    assert [each.assessment_id for each in plan.planned] == ["b"]
    assert [assessment_id for assessment_id, _ in plan.refused] == ["a"]


def test_runs_are_those_of_the_target() -> None:
    (only,) = planned({"metadata": json.dumps({**RUN, "n": 1})}).planned
    assert only.body["metadata"] == {"mlflow.assessment.sourceRunId": "target run", "n": "1"}


@pytest.mark.parametrize(
    ("time_ms", "text"),
    [(0, "1970-01-01T00:00:00Z"), (1655007278844, "2022-06-12T04:14:38.844Z"), (-1, "1969-12-31T23:59:59.999Z")],
)
def test_moments(time_ms: int, text: str) -> None:
    assert timestamp(time_ms) == text


def test_a_moment_beyond_all_years_is_refused() -> None:
    with pytest.raises(ItemError, match="years 1 to 9999"):
        timestamp(1 << 60)


@pytest.mark.parametrize(("time_ms", "text"), [(0, "0s"), (2000, "2s"), (1259, "1.259s"), (-1005, "-1.005s")])
def test_durations(time_ms: int, text: str) -> None:
    assert duration(time_ms) == text
