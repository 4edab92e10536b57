"""Assessments of traces in file stores, field by field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlflow_archive.format.gaps import FIELD_UNREADABLE
from tests.sources.mlruns_objects import TRACE_ID, assessment, one_trace, read

SERIALIZED = {"serialization_format": "JSON_FORMAT", "value": "no JSON"}
ERROR = '{"error_code": "E", "error_message": null, "stack_trace": null}'


@pytest.mark.parametrize(
    ("fields", "column", "value"),
    [
        ({}, "created_timestamp", 1_767_225_600_000),
        ({}, "last_updated_timestamp", 1_767_225_601_500),
        ({"last_update_time": None}, "last_updated_timestamp", 1_767_225_600_000),
        ({"create_time": None, "create_time_ms": 5}, "created_timestamp", 5),
        ({"feedback": {"value": "no"}}, "value", '"no"'),
        ({"feedback": {"value": 1e20}}, "value", "1e+20"),
        ({"feedback": {"value": "2026-01-01"}}, "value", '"2026-01-01"'),
        ({"feedback": {"value": {"a": [None, 2, False]}}}, "value", '{"a": [null, 2, false]}'),
        ({"feedback": {}}, "value", "null"),
        ({"feedback": None, "expectation": {"value": "x"}}, "assessment_type", "expectation"),
        ({"feedback": None, "issue": {"issue_name": "slow"}}, "value", '{"issue_name": "slow"}'),
        ({"feedback": {"value": "no"}}, "aggregate_value", 0.0),
        ({"feedback": None, "expectation": {"serialized_value": SERIALIZED}}, "value", "no JSON"),
        ({"feedback": {"value": None, "error": {"error_code": "E"}}}, "error", ERROR),
        ({"valid": None}, "valid", True),
        ({"valid": False}, "valid", False),
        ({"metadata": {"mlflow.assessment.sourceRunId": "r", "n": "1"}}, "run_id", "r"),
        ({"metadata": {"n": "1"}}, "metadata", '{"n": "1"}'),
        ({"source": None}, "source_type", "SOURCE_TYPE_UNSPECIFIED"),
        ({"overrides": "a-0"}, "overrides", "a-0"),
    ],
)  # fmt: skip
def test_assessment_fields(root: Path, fields: dict[str, Any], column: str, value: object) -> None:
    assessment(one_trace(root), **fields)
    found = read(root)
    assert found.gaps() == set()
    assert found.tables["assessments"][0][column] == value


@pytest.mark.parametrize(
    "fields",
    [
        {"assessment_id": "a-2"},
        {"feedback": None},
        {"expectation": {"value": 1}},
        {"feedback": None, "expectation": {"serialized_value": {"serialization_format": "PICKLE", "value": "x"}}},
        {"create_time": None},
        {"create_time": "x"},
        {"assessment_name": None},
        {"assessment_name": {"a": 1}},
        {"valid": "perhaps"},
    ],
)
def test_a_malformed_assessment_is_a_gap_and_the_others_are_read(root: Path, fields: dict[str, Any]) -> None:
    folder = one_trace(root)
    assessment(folder, **fields)
    assessment(folder, "a-9")
    found = read(root)
    assert [row["assessment_id"] for row in found.tables["assessments"]] == ["a-9"]
    assert found.gaps() == {(TRACE_ID, "assessments/a-1.yaml", FIELD_UNREADABLE)}


def test_an_assessment_that_yaml_blows_up_is_a_gap(root: Path) -> None:
    folder = one_trace(root)
    (folder / "assessments").mkdir()
    lines = ["a: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"b{n}: &a{n + 1} [{', '.join([f'*a{n}'] * 10)}]" for n in range(9)]
    (folder / "assessments" / "bomb.yaml").write_text("\n".join(lines))
    (folder / "assessments" / "circle.yaml").write_text("a: &a [*a]\n")
    assert read(root).gaps() == {
        (TRACE_ID, f"assessments/{name}.yaml", FIELD_UNREADABLE) for name in ("bomb", "circle")
    }
