"""From an assessment in the server's JSON to its row, as MLflow's SQL store keeps it."""

from __future__ import annotations

import json
from typing import Any, Final

from mlflow_archive.sources.reading.trace_columns import assessment_columns
from mlflow_archive.sources.rest.cells import Json, Row, filled, json_text, milliseconds

_RUN_KEY: Final = "mlflow.assessment.sourceRunId"


def assessment_row(raw: Json, trace_id: str, experiment_id: str, trace_time: int) -> Row:
    """Return the row of an assessment; raise one of UNREADABLE_ROW where it is malformed. Times are milliseconds."""
    kind, value, error = _content(raw)
    metadata = raw.get("metadata") or {}
    source = raw.get("source") or {}
    return {
        "trace_id": trace_id,
        "assessment_id": str(raw["assessment_id"]),
        "name": str(raw["assessment_name"]),
        "assessment_type": kind,
        "value": json_text(value),
        "error": None if error is None else json_text(error),
        "created_timestamp": milliseconds(raw["create_time"]),
        "last_updated_timestamp": milliseconds(raw["last_update_time"]),
        "source_type": str(source.get("source_type", "SOURCE_TYPE_UNSPECIFIED")),
        "source_id": filled(source.get("source_id")),
        "run_id": filled(metadata.get(_RUN_KEY)),
        "span_id": filled(raw.get("span_id")),
        "rationale": filled(raw.get("rationale")),
        "overrides": filled(raw.get("overrides")),
        "valid": bool(raw.get("valid", True)),
        "metadata": json_text(metadata) if metadata else None,
        **assessment_columns(value, experiment_id, trace_time),
    }


def _content(raw: Json) -> tuple[str, Any, Any]:
    """Return type, value and error."""
    if "feedback" in raw:
        feedback = raw["feedback"]
        error = feedback.get("error", raw.get("error"))
        return "feedback", feedback.get("value"), None if error is None else _error(error)
    if "expectation" in raw:
        expectation = raw["expectation"]
        if "serialized_value" in expectation:
            return "expectation", json.loads(expectation["serialized_value"]["value"]), None
        return "expectation", expectation.get("value"), None
    issue = raw["issue"]
    return "issue", {"issue_name": issue.get("issue_name")}, None


def _error(raw: Json) -> dict[str, Any]:
    return {name: raw[name] for name in ("error_code", "error_message", "stack_trace") if name in raw}
