"""What the target must hold of traces, with their spans, assessments and links."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from typing import Any, Final

from mlflow_archive.api.proof.assessments import expected_assessments
from mlflow_archive.api.proof.comparing import Cut, Excused, Expected
from mlflow_archive.api.proof.planning import RowsByTable, Share
from mlflow_archive.api.proof.rules import Rule
from mlflow_archive.format.gaps import VALUE_CUT
from mlflow_archive.format.json_text import parse_json
from mlflow_archive.kinds import EXPERIMENT, RUN, TRACE
from mlflow_archive.kinds.traces import COSTS, TOKENS
from mlflow_archive.sinks.replay.traces import otlp
from mlflow_archive.sinks.replay.traces.moments import nearest
from mlflow_archive.sinks.replay.traces.span_payload import remap_span
from mlflow_archive.sinks.replay.traces.trace_info import SPANS_LOCATION
from mlflow_archive.sinks.replay.traces.trace_job import TraceJob
from mlflow_archive.sinks.replay.traces.trace_lookup import SHOWN_METADATA, SHOWN_TAG
from mlflow_archive.sinks.replay.traces.trace_payload import IN_TABLE, Home
from mlflow_archive.sinks.replay.traces.trace_rows import TraceRows, take_traces
from mlflow_archive.sinks.replay.traces.traces import TraceWriter
from mlflow_archive.sinks.replay.writing.rows import Row
from mlflow_archive.sources.reading.trace_columns import take_columns

_PREVIEWS: Final = ("request_preview", "response_preview")
_OF_SPANS: Final = (*_PREVIEWS, *TOKENS, *COSTS)
"""Columns that MLflow fills from the spans of a trace where it has no value for them."""

Tables = dict[str, list[Expected]]


class ExpectedTraces:
    """Plans traces as the replay does."""

    def __init__(self, writer: TraceWriter) -> None:
        self._writer = writer

    def rows(self, part: Share) -> RowsByTable:
        """Return all rows of traces."""
        names = ("traces", "trace_tags", "trace_metadata", "assessments", "spans", "trace_links", "artifacts")
        tables: Tables = {name: [] for name in names}
        traces: dict[str, TraceRows] = {}
        take_traces(part.chunk, traces)
        originals = {source["trace_id"]: row for row, source in part.pairs("traces")}
        cut = {(row["owner_id"], row["path"]) for row in part.target_rows("gaps") if row["code"] == VALUE_CUT}
        in_table = {
            row["trace_id"]
            for row in part.target_rows("trace_tags")
            if row["key"] == SPANS_LOCATION and row["value"] == IN_TABLE
        }
        with ExitStack() as stack:
            for rows in traces.values():
                stack.enter_context(closing(rows.spans))
            for rows in traces.values():
                job = self._writer.job(rows)
                original = originals[rows.trace_id]
                self._add(part, job, original, cut, tables)
                home = Home.TABLE if original["trace_id"] in in_table else Home.FILE
                tables["spans"] += _spans(part, original["trace_id"], home)
                tables["artifacts"] += self._files(part, job, home)
        tables["trace_links"] += _links(part)
        return tables

    def _add(self, part: Share, job: TraceJob, original: Row, cut: set[tuple[str, str]], tables: Tables) -> None:
        trace_id = original["trace_id"]
        tags: dict[str, Any] = dict(job.plan.tags)
        metadata: dict[str, Any] = {
            key: value for key, value in job.plan.metadata.items() if key not in job.plan.unkept
        }
        columns = take_columns(tags, metadata)
        tables["traces"].append(Expected(_info(job, original, columns), original))
        for name, path, values, length in (
            ("trace_tags", "tags", tags, SHOWN_TAG),
            ("trace_metadata", "metadata", metadata, SHOWN_METADATA),
        ):
            is_cut = {key: (trace_id, f"{path}/{key}") in cut for key in values}
            texts = {key: Cut(text, length) if is_cut[key] else text for key, text in values.items()}
            tables[name] += part.tags(name, {"trace_id": trace_id}, texts)
        rows = [row for row in part.originals("assessments") if row["trace_id"] == trace_id]
        tables["assessments"] += expected_assessments(rows, job.assessments, part.sides.ids)

    def _files(self, part: Share, job: TraceJob, home: Home) -> Iterator[Expected]:
        """Yield the rows of a trace's files: those it has, and spans that go into one."""
        trace_id = job.plan.trace_id
        rows = {row["path"]: row for row in part.originals("artifacts") if row["owner_id"] == trace_id}
        for file in self._writer.payloads.files(job, home):
            origin = rows.get(file.path)
            if origin is not None and file.size is not None:
                yield Expected(origin, origin)
                continue
            with file.open() as data:
                data.seek(0)
                content = data.read()
            digest = hashlib.sha256(content).hexdigest()
            row = {"owner_id": trace_id, "owner_kind": TRACE, "path": file.path, "size": len(content), "digest": digest}
            yield Expected(row, origin, Rule.SPANS_ELSEWHERE)


def _info(job: TraceJob, original: Row, columns: Mapping[str, Any]) -> Row:
    info = job.plan.info
    row = {
        **original,
        "request_time": nearest(original["request_time"]),
        "state": info["state"],
        "client_request_id": info.get("client_request_id"),
        **{name: info.get(name) for name in _PREVIEWS},
        **{name: columns.get(name) for name in ("trace_name", "session_id", *TOKENS, *COSTS)},
    }
    if len(job.rows.spans):
        row |= {name: Excused(Rule.MADE_UP) for name in _OF_SPANS if row[name] is None}
    return row


def _spans(part: Share, trace_id: str, home: Home) -> Iterator[Expected]:
    """Yield the rows of spans, which the target has in its table, or all of them in a file."""
    experiments = part.sides.ids.of(EXPERIMENT)
    for row in part.originals("spans"):
        if row["trace_id"] == trace_id and home is Home.FILE:
            yield Expected(row, row, unseen=Rule.SPANS_ELSEWHERE)
        elif row["trace_id"] == trace_id:
            span = otlp.with_links(parse_json(remap_span(row["content"], experiments.get)))
            yield Expected({**row, "content": json.dumps(span)}, row, Rule.REFERENCE)


def _links(part: Share) -> Iterator[Expected]:
    for row, source in part.pairs("trace_links"):
        if source["destination_type"] == "run":
            is_known = source["destination_id"] in part.sides.ids.of(RUN)
            yield Expected(row, row, unseen=None if is_known else Rule.LEFT_OUT)
        elif source["destination_type"] == "prompt_version":
            name, _, version = source["destination_id"].rpartition("/")
            prompt = part.context.model_name(name, part.source_workspace)
            target_version = part.context.prompt_version(name, version, part.source_workspace)
            unseen = Rule.LEFT_OUT if target_version is None else None
            yield Expected(
                {**row, "destination_id": f"{prompt}/{target_version or version}"}, row, Rule.REFERENCE, unseen
            )
