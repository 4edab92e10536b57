"""Traces with their spans, assessments and links."""

from __future__ import annotations

from typing import Final

from mlflow_archive.kinds.files import ObjectFiles
from mlflow_archive.kinds.model import (
    EXPERIMENT,
    ISSUE,
    LOGGED_MODEL,
    RUN,
    TRACE,
    Kind,
    flag,
    integer,
    listing,
    real,
    text,
    time,
)

TOKENS: Final = (
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cache_creation_input_tokens_above_1hr",
)
COSTS: Final = ("input_cost", "output_cost", "total_cost")

TRACES: Final = Kind(
    name=TRACE,
    owner=(text("trace_id", "trace_info.request_id", "Id of the trace; kept by every import."),),
    refers=(EXPERIMENT, RUN, LOGGED_MODEL, ISSUE),
    word="traces",
    lists=(
        listing(
            "traces",
            "trace_id experiment state request_time execution_duration_ms trace_name",
            newest="request_time",
        ),
    ),
    incremental=True,
    largest="spans",
    files=ObjectFiles(folder="traces/"),
    keeps_blank_texts=True,
)

KINDS: Final = (TRACES,)

TABLES: Final = (
    TRACES.table(
        "traces",
        "Traces. Name, session, tokens and cost are here whatever place the source has for them, "
        "and among tags and metadata only where no column could hold the value.",
        text("experiment_id", "trace_info.experiment_id", "Experiment it lies in."),
        time("request_time", "trace_info.timestamp_ms", "When it began.", null=False),
        integer("execution_duration_ms", "trace_info.execution_time_ms", "How long it took, ms.", null=True),
        text("state", "trace_info.status", "OK, ERROR, IN_PROGRESS or STATE_UNSPECIFIED."),
        text("client_request_id", "trace_info.client_request_id", "Id the client gave.", null=True),
        text("request_preview", "trace_info.request_preview", "Preview of the request.", null=True),
        text("response_preview", "trace_info.response_preview", "Preview of the response.", null=True),
        integer("db_payload_generation", "trace_info.db_payload_generation", "Hidden by REST.", null=True),
        text("trace_name", "trace_info.trace_name", "Name.", null=True),
        text("session_id", "trace_info.session_id", "Session.", null=True),
        *(integer(name, f"trace_info.{name}", "Tokens.", null=True) for name in TOKENS),
        *(real(name, f"trace_info.{name}", "Cost in US dollars.") for name in COSTS),
    ),
    TRACES.tags(
        "trace_tags", "Tags of traces; over REST values end after 4,096 characters where the server cuts them."
    ),
    TRACES.table(
        "trace_metadata",
        "Metadata of traces; over REST values end after 250 characters where the server cuts them.",
        text("key", "trace_request_metadata.key", "Key."),
        text("value", "trace_request_metadata.value", "Value.", null=True),
        key=("key",),
    ),
    TRACES.table(
        "assessments",
        "Feedback, expectations and issue references on traces.",
        text("assessment_id", "assessments.assessment_id", "Id at the source."),
        text("name", "assessments.name", "Name; of an issue reference the id of the issue."),
        text("assessment_type", "assessments.assessment_type", "feedback, expectation or issue."),
        text("value", "assessments.value", "Value as JSON text, unchanged."),
        text("error", "assessments.error", "Error as JSON text.", null=True),
        time("created_timestamp", "assessments.created_timestamp", "When it was made.", null=False),
        time("last_updated_timestamp", "assessments.last_updated_timestamp", "When it changed.", null=False),
        text("source_type", "assessments.source_type", "HUMAN, LLM_JUDGE, CODE."),
        text("source_id", "assessments.source_id", "Who.", null=True),
        text("run_id", "assessments.run_id", "Run it was made in.", null=True),
        text("span_id", "assessments.span_id", "Span it is about.", null=True),
        text("rationale", "assessments.rationale", "Why.", null=True),
        text("overrides", "assessments.overrides", "Id of the assessment it replaces.", null=True),
        flag("valid", "assessments.valid", "False once it is replaced.", null=False),
        text("metadata", "assessments.assessment_metadata", "Metadata as JSON text.", null=True),
        text("experiment_id", "assessments.experiment_id", "Experiment of the trace.", null=True),
        time("trace_timestamp", "assessments.trace_timestamp_ms", "When the trace began."),
        real("aggregate_value", "assessments.aggregate_value", "The number analytics take the value for."),
        flag("is_numeric_value", "assessments.is_numeric_value", "Whether the value itself is that number."),
        key=("assessment_id",),
    ),
    TRACES.table(
        "spans",
        "Spans that the source keeps as rows. Others lie in the artifact `traces.json` or `traces.pb`.",
        text("span_id", "spans.span_id", "Id of the span."),
        text("experiment_id", "spans.experiment_id", "Experiment of the trace.", null=True),
        text("parent_span_id", "spans.parent_span_id", "Span it lies in.", null=True),
        text("name", "spans.name", "Name.", null=True),
        text("type", "spans.type", "Type.", null=True),
        text("status", "spans.status", "OK, ERROR or UNSET."),
        integer("start_time_unix_nano", "spans.start_time_unix_nano", "Start, ns since the epoch.", delta=True),
        integer("end_time_unix_nano", "spans.end_time_unix_nano", "End, ns since the epoch.", null=True),
        text("content", "spans.content", "The whole span as JSON text, unchanged."),
        *(real(name, f"spans.{name}", "Cost in US dollars.") for name in COSTS),
        text("model_name", "spans.model_name", "Model that was called.", null=True),
        text("model_provider", "spans.model_provider", "Its provider.", null=True),
        key=("span_id",),
    ),
    TRACES.table(
        "trace_links",
        "Runs and prompt versions (`name/version`) a trace is linked to.",
        text("destination_type", "entity_associations.destination_type", "`run` or `prompt_version`."),
        text("destination_id", "entity_associations.destination_id", "What it is linked to."),
        text("association_id", "entity_associations.association_id", "Hidden by the REST API.", null=True),
        time("created_time", "entity_associations.created_time", "Hidden by the REST API."),
        key=("destination_type", "destination_id"),
    ),
)
