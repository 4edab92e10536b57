"""Chunks of traces for the replay tests."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast
from uuid import uuid4

from mlflow_archive.flow.chunk import ArtifactFile, Chunk
from mlflow_archive.flow.report import Report
from tests.sinks.replayed import A, B
from tests.support.chunks import ChunkSource, artifact, chunk, experiment, run

BEGIN = 1_700_000_000_000_000_123


def new_id() -> str:
    return f"tr-{uuid4().hex}"


def trace(trace_id: str, experiment_id: str = "5", **columns: Any) -> dict[str, Any]:
    """Return a row of ``traces``."""
    return {
        "trace_id": trace_id,
        "experiment_id": experiment_id,
        "request_time": 1700000000123,
        "execution_duration_ms": 1259,
        "state": "OK",
        "request_preview": "What is ü?",
        "response_preview": "A letter.",
        "trace_name": "agent",
        **columns,
    }


def span(trace_id: str, number: int = 1, parent: int | None = None, **fields: Any) -> dict[str, Any]:
    """Return a span in MLflow's JSON, with fields as MLflow writes them but for those that are given."""
    return {
        "trace_id": base64.b64encode(bytes.fromhex(trace_id.removeprefix("tr-"))).decode(),
        "span_id": _span_id(number),
        "parent_span_id": None if parent is None else _span_id(parent),
        "name": f"span {number}",
        "start_time_unix_nano": BEGIN + number,
        "end_time_unix_nano": BEGIN + 1000 + number,
        "events": [],
        "status": {"code": "STATUS_CODE_OK", "message": ""},
        "attributes": {"mlflow.traceRequestId": json.dumps(trace_id), "mlflow.spanType": '"CHAIN"'},
        "links": [],
        **fields,
    }


def _span_id(number: int) -> str:
    return base64.b64encode(number.to_bytes(8, "big")).decode()


def span_row(trace_id: str, held: dict[str, Any]) -> dict[str, Any]:
    """Return a row of ``spans``."""
    return {
        "trace_id": trace_id,
        "span_id": base64.b64decode(held["span_id"]).hex(),
        "parent_span_id": held["parent_span_id"] and base64.b64decode(held["parent_span_id"]).hex(),
        "experiment_id": "5",
        "name": held["name"],
        "status": "OK",
        "start_time_unix_nano": held["start_time_unix_nano"],
        "end_time_unix_nano": held["end_time_unix_nano"],
        "content": json.dumps(held, ensure_ascii=False),
    }


def assessment(trace_id: str, assessment_id: str, value: Any = 1.0, **columns: Any) -> dict[str, Any]:
    """Return a row of ``assessments``: feedback, but where the columns say otherwise."""
    return {
        "trace_id": trace_id,
        "assessment_id": assessment_id,
        "name": "quality",
        "assessment_type": "feedback",
        "value": json.dumps(value),
        "created_timestamp": 1700000001001,
        "last_updated_timestamp": 1700000002002,
        "source_type": "HUMAN",
        "source_id": "ada",
        "valid": True,
        "is_numeric_value": False,
        **columns,
    }


def trace_file(trace_id: str, path: str, data: bytes) -> ArtifactFile:
    return replace(artifact(trace_id, path, data), owner_kind="trace")


def pairs_of(trace_id: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    """Return rows of ``trace_tags`` or ``trace_metadata``."""
    return [{"trace_id": trace_id, "key": key, "value": value} for key, value in values.items()]


def traces(
    name: str,
    rows: Sequence[dict[str, Any]],
    *,
    files: Sequence[ArtifactFile] = (),
    runs: Sequence[dict[str, Any]] = (),
    experiment_columns: Any = (),
    **tables: Any,
) -> ChunkSource:
    """Return a source with one experiment, some runs in it, then traces, each with all that belongs to it."""
    first = chunk(experiments=[experiment("5", name, **dict(experiment_columns))])
    return ChunkSource((0, [first]), (1, [chunk(runs=runs)]), (2, [chunk(files, traces=rows, **tables)]))


def outcomes(report: Report, kind: str = "trace") -> dict[str, int]:
    found = cast("dict[str, dict[str, int]]", report.details["outcomes"]).get(kind, {})
    return {what: number for what, number in found.items() if number}


def changed(report: Report) -> dict[str, int]:
    return cast("dict[str, int]", report.details["changed"])


def refusals(report: Report) -> list[tuple[str, str, str]]:
    return [(gap.owner_id, gap.path, gap.code) for gap in report.gaps]


def only(made: Chunk) -> ChunkSource:
    return ChunkSource((0, [made]))


def everything(name: str) -> tuple[ChunkSource, list[str]]:
    """Return traces of all homes, with runs, overrides, an issue reference, a deleted run, links; and their ids."""
    table, odd, file, bare = ids = [new_id() for _ in range(4)]
    metadata = json.dumps({"mlflow.assessment.sourceRunId": B})
    source = traces(
        name,
        [trace(trace_id) for trace_id in ids],
        runs=[run(A, "5", run_name="one"), run(B, "5", run_name="two", lifecycle_stage="deleted")],
        files=[trace_file(file, "traces.json", b'{"spans": []}'), trace_file(file, "attachments/1", b"\x00")],
        spans=[
            span_row(table, span(table)),
            span_row(table, span(table, 2, parent=1)),
            span_row(odd, span(odd, end_time_unix_nano=None)),
        ],
        trace_tags=[*pairs_of(table, {"t": "x" * 7000, "odd$": "kept", "null": None}), *pairs_of(bare, {"a": "1"})],
        trace_metadata=pairs_of(table, {"long": "m" * 2000, "mlflow.sourceRun": A}),
        assessments=[
            assessment(table, f"a{table}", valid=False),
            assessment(table, f"b{table}", 2.0, overrides=f"a{table}", valid=False),
            assessment(table, f"c{table}", 3.0, overrides=f"b{table}"),
            assessment(odd, f"i{odd}", {"issue_name": "slow"}, assessment_type="issue", name="iss-1"),
            assessment(odd, f"d{odd}", metadata=metadata),
        ],
        trace_links=[
            {"trace_id": table, "destination_type": "run", "destination_id": A},
            {"trace_id": bare, "destination_type": "prompt_version", "destination_id": "p/1"},
        ],
    )
    return source, ids
