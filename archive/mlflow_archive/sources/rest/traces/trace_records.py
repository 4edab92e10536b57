"""From a trace in the server's JSON, of either version of the API, to its rows.

Rows are those of the database behind the server, as MLflow 3.17 has it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from mlflow_archive.sources.reading.fields import Fields
from mlflow_archive.sources.reading.rows import pair_rows
from mlflow_archive.sources.reading.trace_columns import take_columns
from mlflow_archive.sources.rest.cells import Row, milliseconds
from mlflow_archive.sources.rest.traces.assessments import assessment_row

SOURCE_RUN: Final = "mlflow.sourceRun"


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceRecord:
    """One trace. ``info`` holds columns of ``traces``; ``tags`` and ``metadata`` are as the server shows them."""

    trace_id: str
    experiment_id: str
    info: Row
    tags: dict[str, str | None]
    metadata: dict[str, str | None]
    rows: dict[str, list[Row]] = field(default_factory=dict)


def parse_trace(trace: Fields) -> TraceRecord:
    """Check a trace of a search answer and build its rows; raise one of UNREADABLE_ROW where it is malformed."""
    info = _info_3(trace) if "trace_id" in trace else _info_2(trace)
    tags = trace.pairs_with_nulls("tags")
    metadata = trace.pairs_with_nulls("trace_metadata" if "trace_metadata" in trace else "request_metadata")
    trace_id, experiment_id = info["trace_id"], info["experiment_id"]
    kept_tags, kept_metadata = dict(tags), dict(metadata)
    info |= take_columns(kept_tags, kept_metadata)
    rows: dict[str, list[Row]] = {
        "traces": [info],
        "trace_tags": pair_rows(kept_tags, trace_id=trace_id),
        "trace_metadata": pair_rows(kept_metadata, trace_id=trace_id),
        "assessments": [
            assessment_row(assessment, trace_id, experiment_id, info["request_time"])
            for assessment in trace.objects("assessments")
        ],
    }
    return TraceRecord(
        trace_id=trace_id, experiment_id=experiment_id, info=info, tags=tags, metadata=metadata, rows=rows
    )


def _info_3(trace: Fields) -> Row:
    location = trace.object("trace_location")
    location.known("type")  # an experiment, in every MLflow that keeps its traces itself
    duration = trace.text("execution_duration")
    return {
        "trace_id": trace.required("trace_id"),
        "experiment_id": location.object("mlflow_experiment").required("experiment_id"),
        "request_time": milliseconds(trace.required("request_time")),
        "execution_duration_ms": None if duration is None else _duration(duration),
        "state": trace.text("state") or "STATE_UNSPECIFIED",
        **{name: trace.text(name) for name in ("client_request_id", "request_preview", "response_preview")},
    }


def _info_2(trace: Fields) -> Row:
    return {
        "trace_id": trace.required("request_id"),
        "experiment_id": trace.required("experiment_id"),
        "request_time": int(trace.required("timestamp_ms")),
        "execution_duration_ms": trace.integer("execution_time_ms"),
        "state": trace.text("status") or "TRACE_STATUS_UNSPECIFIED",
    }


def _duration(value: str) -> int:
    """Return a protobuf duration such as ``1.250s`` in milliseconds."""
    return int(Decimal(value.removesuffix("s")) * 1000)
