"""Assessments of a trace: which can be made together with it, which must wait, and what of them cannot be kept.

MLflow makes an assessment that is replaced invalid only when the one that replaces it is made by a request of its own;
it deletes assessments together with the run they name; and references to issues need the ids of issues that come later.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final

from mlflow_archive.errors import ItemError
from mlflow_archive.format.source_tags import shorten, shorten_key
from mlflow_archive.sinks.replay.options import Limits
from mlflow_archive.sinks.replay.traces.moments import nearest, timestamp
from mlflow_archive.sinks.replay.writing.references import Mapped
from mlflow_archive.sinks.replay.writing.rows import Row, json_of

SOURCE_RUN: Final = "mlflow.assessment.sourceRunId"
FEEDBACK, EXPECTATION, ISSUE_REFERENCE = "feedback", "expectation", "issue"

_SOURCES: Final = frozenset({"HUMAN", "LLM_JUDGE", "CODE", "SOURCE_TYPE_UNSPECIFIED"})
_SHORT: Final = 200
_TIMES: Final = ("created_timestamp", "last_updated_timestamp")
_ERROR_FIELDS: Final = ("error_code", "error_message", "stack_trace")


class When(IntEnum):
    """When an assessment is made: with its trace, after it, after all issues, after runs have been deleted."""

    WITH_TRACE = 0
    AFTER_TRACE = 1
    AFTER_ISSUES = 2
    AFTER_DELETION = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedAssessment:
    """An assessment as MLflow's API takes it; ``source_id`` is its id at the source.

    ``issue_id`` is that of the source where it refers to an issue.
    """

    source_id: str
    assessment_id: str
    body: dict[str, Any]
    when: When
    issue_id: str | None = None


@dataclass(slots=True, kw_only=True)
class AssessmentPlan:
    """The assessments of one trace, those that others replace first.

    ``losses`` are the fields that cannot be set, ``refused`` what cannot be made: (assessment id, reason).
    """

    planned: list[PlannedAssessment] = field(default_factory=list)
    losses: list[dict[str, Any]] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)

    def at(self, when: When) -> list[PlannedAssessment]:
        return [assessment for assessment in self.planned if assessment.when is when]


def plan_assessments(
    rows: Sequence[Row], trace_id: str, *, run_of: Mapped, deleted_runs: Collection[str], limits: Limits
) -> AssessmentPlan:
    """Plan the assessments of a trace from its rows; ``deleted_runs`` are source ids of runs that end deleted."""
    plan = AssessmentPlan()
    by_id = {row["assessment_id"]: row for row in rows}
    replaced: set[str] = set()
    for row in sorted(rows, key=lambda row: (_depth(row, by_id), row["created_timestamp"], row["assessment_id"])):
        try:
            metadata = _metadata(row)
            losses: dict[str, Any] = {}
            body = {**_fields(row, trace_id, limits), **_value(row, losses)}
            when = _when(row, metadata, by_id, deleted_runs)
            overrides = _overrides(row, by_id, when)
        except ItemError as exc:
            plan.refused.append((row["assessment_id"], str(exc)))
            continue
        if overrides is not None:
            body["overrides"] = shorten_key(overrides, limits.assessment_id)
            replaced.add(overrides)
        losses |= _unsettable(row, metadata, overrides)
        losses |= {name: row[name] for name in _TIMES if nearest(row[name]) != row[name]}
        if metadata.get(SOURCE_RUN):
            metadata[SOURCE_RUN] = run_of(metadata[SOURCE_RUN]) or metadata[SOURCE_RUN]
        if metadata:
            body["metadata"] = metadata
        if losses:
            plan.losses.append({"assessment_id": row["assessment_id"], **losses})
        issue_id = row["name"] if row["assessment_type"] == ISSUE_REFERENCE else None
        plan.planned.append(
            PlannedAssessment(
                source_id=row["assessment_id"],
                assessment_id=body["assessment_id"],
                body=body,
                when=when,
                issue_id=issue_id,
            )
        )
    for row in rows:
        if not row["valid"] and row["assessment_id"] not in replaced:
            plan.losses.append({"assessment_id": row["assessment_id"], "valid": False})
    return plan


def _unsettable(row: Row, metadata: Mapping[str, str], overrides: str | None) -> dict[str, Any]:
    """Return what MLflow's API cannot set of an assessment beside its value."""
    losses: dict[str, Any] = {}
    if overrides is None and row["overrides"] is not None:
        losses["overrides"] = row["overrides"]
    if row["run_id"] is not None and row["run_id"] != metadata.get(SOURCE_RUN):
        losses["run_id"] = row["run_id"]
    if row["source_type"] not in _SOURCES:
        losses["source_type"] = row["source_type"]
    if row["rationale"] and row["assessment_type"] == EXPECTATION:
        losses["rationale"] = shorten(row["rationale"], _SHORT)
    return losses


def _depth(row: Row, by_id: Mapping[str, Row]) -> int:
    """Return how many assessments this one replaces, one behind the other."""
    chain = {row["assessment_id"]}
    while row["overrides"] in by_id and row["overrides"] not in chain:
        chain.add(row["overrides"])
        row = by_id[row["overrides"]]
    return len(chain)


def _when(row: Row, metadata: Mapping[str, str], by_id: Mapping[str, Row], deleted_runs: Collection[str]) -> When:
    when = When.WITH_TRACE
    chain: set[str] = set()
    while True:
        if row["assessment_type"] == ISSUE_REFERENCE:
            when = max(when, When.AFTER_ISSUES)
        if metadata.get(SOURCE_RUN) in deleted_runs:
            when = max(when, When.AFTER_DELETION)
        replaced = by_id.get(row["overrides"] or "")
        if replaced is None or replaced["valid"] or row["assessment_type"] != FEEDBACK or row["overrides"] in chain:
            return when
        when = max(when, When.AFTER_TRACE)
        chain.add(row["overrides"])
        row, metadata = replaced, _metadata(replaced)


def _overrides(row: Row, by_id: Mapping[str, Row], when: When) -> str | None:
    """Return the id of the assessment that this one replaces, where MLflow can be told so.

    A request of its own makes what it replaces invalid, and must find it; within a trace MLflow looks at neither.
    """
    overrides: str | None = row["overrides"]
    if overrides is None or row["assessment_type"] != FEEDBACK:
        return None
    replaced = by_id.get(overrides)
    if when is When.WITH_TRACE or (replaced is not None and not replaced["valid"]):
        return overrides
    return None


def _fields(row: Row, trace_id: str, limits: Limits) -> dict[str, Any]:
    fields = {
        "assessment_id": shorten_key(row["assessment_id"], limits.assessment_id),
        "assessment_name": shorten(row["name"], limits.assessment_name),
        "trace_id": trace_id,
        "source": _source(row, limits),
        "create_time": timestamp(nearest(row["created_timestamp"])),
        "last_update_time": timestamp(nearest(row["last_updated_timestamp"])),
        "rationale": row["rationale"],
        "span_id": row["span_id"],
    }
    return {name: value for name, value in fields.items() if value is not None}


def _source(row: Row, limits: Limits) -> dict[str, Any]:
    source = {"source_type": row["source_type"] if row["source_type"] in _SOURCES else "SOURCE_TYPE_UNSPECIFIED"}
    if row["source_id"] is not None:
        source["source_id"] = shorten(row["source_id"], limits.assessment_name)
    return source


def _metadata(row: Row) -> dict[str, str]:
    metadata = _json(row, "metadata") if row["metadata"] else None
    if metadata is None:
        return {}
    if not isinstance(metadata, dict):
        raise ItemError(f"its metadata is {row['metadata'][:_SHORT]!r}, expected an object")
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in metadata.items()}


def _value(row: Row, losses: dict[str, Any]) -> dict[str, Any]:
    """Return the field that holds the value."""
    kind = row["assessment_type"]
    value = _json(row, "value")
    if kind == EXPECTATION:
        # As text, which MLflow keeps as it is; as a value all numbers would become floats.
        if value is None:
            raise ItemError("its value is null, which MLflow takes for a missing expectation")
        return {kind: {"serialized_value": {"serialization_format": "JSON_FORMAT", "value": row["value"]}}}
    if kind == ISSUE_REFERENCE:
        name = value.get("issue_name") if isinstance(value, dict) else None
        if not isinstance(name, str):
            raise ItemError(f"its value is {row['value'][:_SHORT]!r}, expected the name of an issue")
        return {kind: {"issue_name": name}}
    if kind != FEEDBACK:
        raise ItemError(f"its type is {kind!r}, which MLflow's API does not know")
    floats = _as_floats(value)
    if json.dumps(floats, sort_keys=True) != json.dumps(value, sort_keys=True):
        losses["value"] = shorten(row["value"], _SHORT)
    return {kind: {"value": floats, **_error_of(row)}}


def _error_of(row: Row) -> dict[str, Any]:
    error = None if row["error"] is None else _json(row, "error")
    if not isinstance(error, dict):
        return {}
    return {"error": {name: error[name] for name in _ERROR_FIELDS if isinstance(error.get(name), str)}}


def _as_floats(value: Any) -> Any:
    """Return a value as Protocol Buffers keep it: all numbers are floats."""
    if isinstance(value, dict):
        return {key: _as_floats(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_floats(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError as exc:
            raise ItemError("its value has a number that is too large for MLflow's API") from exc
    return value


def _json(row: Row, column: str) -> Any:
    def refuse(constant: str) -> Any:
        raise ItemError(f"its {column} has the number {constant}, which MLflow's API does not take")

    return json_of(row, column, refuse)
