"""Traces in the database."""

from __future__ import annotations

from typing import Final

from mlflow_archive.kinds import TRACE
from mlflow_archive.mlflow_database.mapping.model import Root, mapped

TRACE_ROOTS: Final = (
    Root(kind=TRACE, stored_in="trace_info", root_id="request_id", parent=("experiment_id", "experiments")),
)

_COSTS: Final = "input_cost output_cost total_cost"

TRACE_MAPS: Final = (
    mapped(
        "traces",
        TRACE,
        "request_id",
        "trace_id=request_id experiment_id request_time=timestamp_ms execution_duration_ms=execution_time_ms "
        "state=status client_request_id request_preview response_preview db_payload_generation trace_name session_id "
        "input_tokens output_tokens total_tokens cache_read_input_tokens cache_creation_input_tokens "
        f"cache_creation_input_tokens_above_1hr {_COSTS}",
        stored_in="trace_info",
        defaults={"db_payload_generation": 0},
    ),
    mapped("trace_tags", TRACE, "request_id", "trace_id=request_id key value"),
    mapped("trace_metadata", TRACE, "request_id", "trace_id=request_id key value", stored_in="trace_request_metadata"),
    mapped(
        "assessments",
        TRACE,
        "trace_id",
        "trace_id assessment_id name assessment_type value error created_timestamp last_updated_timestamp source_type "
        "source_id run_id span_id rationale overrides valid metadata=assessment_metadata experiment_id "
        "trace_timestamp=trace_timestamp_ms aggregate_value is_numeric_value",
        defaults={"valid": True, "is_numeric_value": False},
    ),
    mapped(
        "spans",
        TRACE,
        "trace_id",
        "trace_id span_id experiment_id parent_span_id name type status start_time_unix_nano end_time_unix_nano "
        f"content {_COSTS} model_name model_provider",
        not_carried={
            "duration_ns": "The database computes it from start and end.",
            "dimension_attributes": "Only between two revisions of 2026; follows from the content.",
        },
    ),
    mapped(
        "trace_links",
        TRACE,
        "source_id",
        "trace_id=source_id destination_type destination_id association_id created_time",
        stored_in="entity_associations",
        where={"source_type": "trace"},
    ),
)
