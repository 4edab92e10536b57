"""Traces in all three homes of their payload, with assessments, attachments and links."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import mlflow
from mlflow import MlflowClient
from mlflow.entities import AssessmentError, AssessmentSource, AssessmentSourceType, SpanEvent, SpanType
from mlflow.entities.span import Span
from mlflow.tracing.attachments import Attachment
from mlflow.tracing.otel.otel_archival import spans_to_traces_data_pb

from tests.support.filling.http import Http
from tests.support.filling.registry import Registry
from tests.support.filling.runs import Runs

LONG_TAG = "t" * 5000
LONG_METADATA = "m" * 700
_BEGIN = 1_700_000_000_000_000_123
_PICTURE = b"\x89PNG " + bytes(range(256))


@dataclass(kw_only=True)
class Traces:
    """Ids by name."""

    traces: dict[str, str] = field(default_factory=dict)
    attachments: dict[str, str] = field(default_factory=dict)
    assessments: dict[str, str] = field(default_factory=dict)


def fill_traces(client: MlflowClient, http: Http, runs: Runs, registry: Registry) -> Traces:
    """Make traces in the experiment ``main``; ``old`` has an id as MLflow 2 gave them.

    ``agent``, ``failed`` and ``linked`` have spans in the database, ``file`` and ``old`` a ``traces.json``,
    ``archived`` a ``traces.pb``, ``running`` nothing.
    """
    made = Traces()
    main = runs.experiments["main"]
    mlflow.set_experiment(experiment_id=main)
    _agent(made)
    _failed(made)
    with mlflow.start_span("linked", span_type=SpanType.LLM) as span:
        span.set_inputs({"question": "ü"})
        mlflow.update_current_trace(metadata={"mlflow.trace.session": "session ü", "mlflow.trace.user": "ada"})
    made.traces["linked"] = span.trace_id
    mlflow.flush_trace_async_logging()
    _by_hand(http, made, runs)
    _assess(made, runs)
    ids = [made.traces[name] for name in ("linked", "file")]
    client.link_traces_to_run(ids, runs.runs["evaluation"])
    text, chat = registry.prompts[0], registry.prompts[1]
    versions = [client.get_prompt_version(text, "3"), client.get_prompt_version(chat, "1")]
    client.link_prompt_versions_to_trace([each for each in versions if each], made.traces["linked"])
    http.send(
        "PATCH", f"3.0/mlflow/traces/{made.traces['linked']}/tags", {"key": "just at the limit", "value": "e" * 4096}
    )
    return made


def _agent(made: Traces) -> None:
    """Make a trace with children of many kinds, exact times, events, links, costs and an attachment."""
    attachment = Attachment(content_type="image/png", content_bytes=_PICTURE)
    usage = {"input_tokens": 11, "output_tokens": 7, "total_tokens": 18}
    client = MlflowClient()
    root = mlflow.start_span_no_context(
        "agent ü", SpanType.AGENT, inputs={"q": "ü", "n": 3}, start_time_ns=_BEGIN, tags={"long": "l" * 4000}
    )
    llm = mlflow.start_span_no_context(
        "llm", SpanType.LLM, parent_span=root, inputs={"picture": attachment}, start_time_ns=_BEGIN + 1001
    )
    llm.set_attributes({"mlflow.chat.tokenUsage": usage, "mlflow.llm.model": "gpt-4o", "huge": 2**60, "half": 0.5})
    llm.set_attributes({"mlflow.llm.provider": "openai", "none": None, "list": [1, "a", None], "text": "no JSON"})
    llm.set_attributes({"mlflow.llm.cost": {"input_cost": 0.1, "output_cost": 0.2, "total_cost": 0.3}})
    llm.add_event(SpanEvent("token", timestamp=_BEGIN + 1500, attributes={"index": 1}))
    llm.end(outputs={"answer": "42"}, end_time_ns=_BEGIN + 2_000_007)
    tool = mlflow.start_span_no_context("tool", SpanType.TOOL, parent_span=root, start_time_ns=_BEGIN + 3_000_000)
    tool.record_exception(ValueError("tool broke"))
    tool.end(status="ERROR", end_time_ns=_BEGIN + 3_000_001)
    root.end(outputs="done", end_time_ns=_BEGIN + 5_000_000_009)
    mlflow.flush_trace_async_logging()
    made.traces["agent"] = root.trace_id
    made.attachments["agent"] = attachment.id
    client.set_trace_tag(root.trace_id, "reviewed", "ü")


def _failed(made: Traces) -> None:
    with suppress(ZeroDivisionError), mlflow.start_span("failed") as span:
        made.traces["failed"] = span.trace_id
        1 / 0  # noqa: B018


def _by_hand(http: Http, made: Traces, runs: Runs) -> None:
    """Make traces over REST: what no client of today writes any more, and ids of its own."""
    main = runs.experiments["main"]
    names = {"file": f"tr-{uuid4().hex}", "old": uuid4().hex, "archived": f"tr-{uuid4().hex}"}
    made.traces |= {**names, "running": f"tr-{uuid4().hex}"}
    schema = {"mlflow.trace_schema.version": "3"}
    _start(http, main, names["file"], tags={"plain": "ü"}, metadata={**schema, "mlflow.sourceRun": runs.runs["child"]})
    _start(http, main, names["old"], tags={"long": LONG_TAG}, metadata={"long": LONG_METADATA, "short": "s"})
    _start(http, main, made.traces["running"], state="IN_PROGRESS", duration=None)
    for name in ("file", "old"):
        data = json.dumps({"spans": [_span(names[name]), _span(names[name], parent=True)]}).encode()
        http.put_file(f"{main}/traces/{names[name]}/artifacts/traces.json", data)
    made.attachments["file"] = str(uuid4())
    http.put_file(f"{main}/traces/{names['file']}/artifacts/attachments/{made.attachments['file']}", _PICTURE)
    place = f"archive-of-traces/{main}/traces/{names['archived']}/artifacts"
    archived = {
        "mlflow.trace.spansLocation": "ARCHIVE_REPO",
        "mlflow.trace.archiveLocation": f"mlflow-artifacts:/{place}",
    }
    _start(http, main, names["archived"], tags=archived, metadata=schema)
    spans = [Span.from_dict(_span(names["archived"], parent=parent)) for parent in (False, True)]
    http.put_file(f"{place}/traces.pb", spans_to_traces_data_pb(spans))


def _start(
    http: Http,
    experiment_id: str,
    trace_id: str,
    *,
    state: str = "OK",
    duration: str | None = "1.250s",
    tags: dict[str, str] | None = None,
    metadata: dict[str, str] | None = None,
) -> None:
    info: dict[str, Any] = {
        "trace_id": trace_id,
        "client_request_id": f"client {trace_id[:9]}",
        "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment_id}},
        "request_preview": "What is ü?",
        "response_preview": "A letter.",
        "request_time": "2023-11-14T22:13:20.500Z",
        "state": state,
        "trace_metadata": metadata or {},
        "tags": tags or {},
    }
    if duration is not None:
        info["execution_duration"] = duration
    http.post("3.0/mlflow/traces", trace={"trace_info": info})


def _span(trace_id: str, *, parent: bool = False) -> dict[str, Any]:
    """Return a span as ``traces.json`` holds it: of two, the parent or the child."""
    number = UUID(trace_id.removeprefix("tr-")).bytes
    own, other = (b"\x01" * 8, b"\x02" * 8) if parent else (b"\x02" * 8, b"\x01" * 8)
    return {
        "trace_id": base64.b64encode(number).decode(),
        "span_id": base64.b64encode(own).decode(),
        "parent_span_id": None if parent else base64.b64encode(other).decode(),
        "name": "by hand ü",
        "start_time_unix_nano": _BEGIN,
        "end_time_unix_nano": _BEGIN + 77,
        "events": [],
        "status": {"code": "STATUS_CODE_OK", "message": ""},
        "attributes": {
            "mlflow.traceRequestId": json.dumps(trace_id),
            "mlflow.spanType": json.dumps("CHAIN"),
            "mlflow.spanInputs": json.dumps({"x": "ü"}, ensure_ascii=False),
        },
    }


def _assess(made: Traces, runs: Runs) -> None:
    """Give every kind of feedback and expectation to ``agent``."""
    trace_id = made.traces["agent"]
    human = AssessmentSource(source_type=AssessmentSourceType.HUMAN, source_id="ada")
    judge = AssessmentSource(source_type=AssessmentSourceType.LLM_JUDGE, source_id="judge ü")
    values: dict[str, Any] = {
        "number": 0.25,
        "whole": 3,
        "truth": False,
        "words": "ü",
        "list": [1, "a", None],
        "nested": {"a": {"b": [True]}},
    }
    for name, value in values.items():
        made.assessments[name] = mlflow.log_feedback(
            trace_id=trace_id, name=name, value=value, source=human, rationale="Because ü.", metadata={"m": "1"}
        ).assessment_id
        made.assessments[f"expected {name}"] = mlflow.log_expectation(
            trace_id=trace_id, name=f"expected {name}", value=value, source=human
        ).assessment_id
    error = AssessmentError(error_code="RATE_LIMIT", error_message="too many ü", stack_trace="line 1\nline 2")
    made.assessments["error"] = mlflow.log_feedback(
        trace_id=trace_id, name="error", error=error, source=judge
    ).assessment_id
    made.assessments["of run"] = mlflow.log_feedback(
        trace_id=made.traces["linked"],
        name="of run",
        value=True,
        source=judge,
        metadata={"mlflow.assessment.sourceRunId": runs.runs["evaluation"]},
    ).assessment_id
    made.assessments["override"] = mlflow.override_feedback(
        trace_id=trace_id, assessment_id=made.assessments["number"], value=0.75, source=human, rationale="Better."
    ).assessment_id


def refer_to_issue(http: Http, made: Traces, issue_id: str) -> None:
    """Add a reference to an issue to ``failed``."""
    answer = http.post(
        f"3.0/mlflow/traces/{made.traces['failed']}/assessments",
        assessment={
            "assessment_name": issue_id,
            "trace_id": made.traces["failed"],
            "source": {"source_type": "LLM_JUDGE", "source_id": "finder"},
            "issue": {"issue_name": "Slow"},
        },
    )
    made.assessments["issue"] = answer["assessment"]["assessment_id"]
