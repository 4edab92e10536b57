"""What the target must hold of the assessments of a trace."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from mlflow_archive.api.proof.comparing import Excused, Expected
from mlflow_archive.api.proof.identities import Identities
from mlflow_archive.api.proof.rules import Rule
from mlflow_archive.kinds import ISSUE
from mlflow_archive.sinks.replay.traces.assessments import (
    EXPECTATION,
    FEEDBACK,
    ISSUE_REFERENCE,
    SOURCE_RUN,
    AssessmentPlan,
    PlannedAssessment,
)
from mlflow_archive.sinks.replay.traces.moments import nearest
from mlflow_archive.sinks.replay.writing.rows import Row

_TIMES: Final = ("created_timestamp", "last_updated_timestamp")


def expected_assessments(rows: Sequence[Row], plan: AssessmentPlan, ids: Identities) -> Iterator[Expected]:
    """Yield the rows of what is planned of ``rows``, which have the ids of the target."""
    losses = {loss["assessment_id"]: loss for loss in _merged(plan.losses)}
    by_id = {planned.source_id: planned for planned in plan.planned}
    for row in rows:
        planned = by_id.get(row["assessment_id"])
        if planned is not None:
            unset = losses.get(row["assessment_id"], {}).keys() - {"assessment_id", "value", *_TIMES}
            yield Expected(
                {**_row(row, planned, ids), **{name: Excused(Rule.SET_BY_TARGET) for name in unset}},
                row,
                Rule.REFERENCE,
            )


def _merged(losses: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    by_id: dict[str, dict[str, Any]] = {}
    for loss in losses:
        by_id.setdefault(loss["assessment_id"], {}).update(loss)
    yield from by_id.values()


def _row(row: Row, planned: PlannedAssessment, ids: Identities) -> Row:
    body = planned.body
    name = body["assessment_name"]
    if planned.issue_id is not None:
        name = ids.of(ISSUE).get(planned.issue_id, name)
    metadata = body.get("metadata")
    return {
        **row,
        "assessment_id": body["assessment_id"],
        "name": name,
        "value": _value(row, body),
        "error": _error(body),
        **{column: nearest(row[column]) for column in _TIMES},
        "source_type": body["source"]["source_type"],
        "source_id": body["source"].get("source_id"),
        "run_id": (metadata or {}).get(SOURCE_RUN),
        "overrides": body.get("overrides"),
        "metadata": json.dumps(metadata) if metadata else None,
    }


def _value(row: Row, body: Mapping[str, Any]) -> str:
    if row["assessment_type"] == FEEDBACK:
        return json.dumps(body[FEEDBACK]["value"])
    if row["assessment_type"] == EXPECTATION:
        return str(body[EXPECTATION]["serialized_value"]["value"])
    return json.dumps(body[ISSUE_REFERENCE])


def _error(body: Mapping[str, Any]) -> str | None:
    error = body.get(FEEDBACK, {}).get("error")
    return json.dumps(error) if error else None
