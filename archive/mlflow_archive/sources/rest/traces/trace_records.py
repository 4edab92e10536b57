"""From a trace in the server's JSON, of either version of the API, to its rows.

Rows are those of the database behind the server, as MLflow 3.17 has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from mlflow_archive.sources.reading.trace_columns import take_columns
from mlflow_archive.sources.rest.cells import Json, Row, milliseconds, text
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


def parse_trace(raw: Json) -> TraceRecord:
    """Check a trace of a search answer and build its rows; raise one of UNREADABLE_ROW where it is malformed."""
    info = _info_3(raw) if "trace_id" in raw else _info_2(raw)
    tags = _pairs(raw.get("tags", {}))
    metadata = _pairs(raw.get("trace_metadata", raw.get("request_metadata", {})))
    trace_id, experiment_id = info["trace_id"], info["experiment_id"]
    kept_tags, kept_metadata = dict(tags), dict(metadata)
    info |= take_columns(kept_tags, kept_metadata)
    rows: dict[str, list[Row]] = {
        "traces": [info],
        "trace_tags": [{"trace_id": trace_id, "key": key, "value": value} for key, value in kept_tags.items()],
        "trace_metadata": [{"trace_id": trace_id, "key": key, "value": value} for key, value in kept_metadata.items()],
        "assessments": [
            assessment_row(assessment, trace_id, experiment_id, info["request_time"])
            for assessment in raw.get("assessments", [])
        ],
    }
    return TraceRecord(
        trace_id=trace_id, experiment_id=experiment_id, info=info, tags=tags, metadata=metadata, rows=rows
    )


def _info_3(raw: Json) -> Row:
    return {
        "trace_id": str(raw["trace_id"]),
        "experiment_id": str(raw["trace_location"]["mlflow_experiment"]["experiment_id"]),
        "request_time": milliseconds(raw["request_time"]),
        "execution_duration_ms": None
        if raw.get("execution_duration") is None
        else _duration(raw["execution_duration"]),
        "state": str(raw.get("state") or "STATE_UNSPECIFIED"),
        "client_request_id": text(raw.get("client_request_id")),
        "request_preview": text(raw.get("request_preview")),
        "response_preview": text(raw.get("response_preview")),
    }


def _info_2(raw: Json) -> Row:
    duration = raw.get("execution_time_ms")
    return {
        "trace_id": str(raw["request_id"]),
        "experiment_id": str(raw["experiment_id"]),
        "request_time": int(raw["timestamp_ms"]),
        "execution_duration_ms": None if duration is None else int(duration),
        "state": str(raw.get("status") or "TRACE_STATUS_UNSPECIFIED"),
    }


def _duration(value: str) -> int:
    """Return a protobuf duration such as ``1.250s`` in milliseconds."""
    return int(Decimal(value.removesuffix("s")) * 1000)


def _pairs(value: Any) -> dict[str, str | None]:
    if isinstance(value, Mapping):
        return {str(key): text(content) for key, content in value.items()}
    return {str(pair["key"]): text(pair.get("value")) for pair in value}
