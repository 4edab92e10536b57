"""From an assessment in the server's JSON to its row, as MLflow's SQL store keeps it."""

from __future__ import annotations

from typing import Any, Final

from mlflow_archive.sources.reading.fields import Fields, ValueMalformedError
from mlflow_archive.sources.reading.trace_columns import assessment_columns, decoded_json
from mlflow_archive.sources.rest.cells import Row, json_text, milliseconds

_RUN_KEY: Final = "mlflow.assessment.sourceRunId"
_JSON: Final = "JSON_FORMAT"


def assessment_row(assessment: Fields, trace_id: str, experiment_id: str, trace_time: int) -> Row:
    """Return the row of an assessment; raise one of UNREADABLE_ROW where it is malformed. Times are milliseconds."""
    kind, text, error = _content(assessment)
    metadata = assessment.value("metadata") or {}
    source = assessment.object("source")
    filled = ("span_id", "rationale", "overrides")
    assessment.known("trace_id")  # the trace that shows it
    return {
        "trace_id": trace_id,
        "assessment_id": assessment.required("assessment_id"),
        "name": assessment.required("assessment_name"),
        "assessment_type": kind,
        "value": text,
        "error": None if error is None else json_text(error),
        "created_timestamp": milliseconds(assessment.required("create_time")),
        "last_updated_timestamp": milliseconds(assessment.required("last_update_time")),
        "source_type": source.text("source_type") or "SOURCE_TYPE_UNSPECIFIED",
        "source_id": source.text("source_id") or None,
        "run_id": metadata.get(_RUN_KEY) or None,
        **{name: assessment.text(name) or None for name in filled},
        "valid": assessment.flag("valid") is not False,
        "metadata": json_text(metadata) if metadata else None,
        **assessment_columns(decoded_json(text), experiment_id, trace_time),
    }


def _content(assessment: Fields) -> tuple[str, str, Any]:
    """Return type, value as text, and error."""
    if "feedback" in assessment:
        feedback = assessment.object("feedback")
        holder = feedback if "error" in feedback else assessment
        assessment.known("error")  # where it was before feedback had it
        error = None if holder.value("error") is None else holder.object("error")
        return "feedback", json_text(feedback.value("value")), None if error is None else _error(error)
    if "expectation" in assessment:
        expectation = assessment.object("expectation")
        if "serialized_value" in expectation:
            serialized = expectation.object("serialized_value")
            return "expectation", _serialized(serialized), None
        return "expectation", json_text(expectation.value("value")), None
    return "issue", json_text({"issue_name": assessment.object("issue").text("issue_name")}), None


def _serialized(serialized: Fields) -> str:
    """Return the JSON text in an assessment; a text that is none stays as it is."""
    form = serialized.text("serialization_format")
    if form not in (None, _JSON):
        raise ValueMalformedError(f"its value is serialized as {form!r}, expected {_JSON}")
    text = serialized.required("value")
    value = decoded_json(text)
    return text if value is text else json_text(value)


def _error(error: Fields) -> dict[str, Any]:
    return {name: error.value(name) for name in ("error_code", "error_message", "stack_trace") if name in error}
