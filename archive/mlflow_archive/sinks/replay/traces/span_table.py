"""Spans in the target's own table, where they can be searched: those that are the same there, read back to be sure.

MLflow has one way into that table, OpenTelemetry's protocol, and changes some spans on it. A trace whose spans came out
otherwise is made again without them: nobody has seen it yet, and its spans then go into its artifacts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from mlflow_archive.errors import ItemError, ServerError
from mlflow_archive.format.json_text import parse_json
from mlflow_archive.kinds import EXPERIMENT
from mlflow_archive.sinks.replay.context import ReplayContext
from mlflow_archive.sinks.replay.traces import otlp
from mlflow_archive.sinks.replay.traces.assessments import When
from mlflow_archive.sinks.replay.traces.span_payload import remap_span
from mlflow_archive.sinks.replay.traces.trace_job import TraceJob, TraceMaker
from mlflow_archive.sinks.replay.traces.trace_lookup import TRACES, Info, TraceLookup, comparable, same_spans
from mlflow_archive.sinks.replay.writing.failures import (
    came_through,
    check_one_item,
    is_unknown_there,
)

_LARGEST_TRACE: Final = 1024 * 1024
_LARGEST_REQUEST: Final = 4 * 1024 * 1024
_ENOUGH_TO_JUDGE: Final = 5

Spans = list[Any]
"""Of one trace, in MLflow's JSON."""


class SpanTable:
    """Writes and compares spans of the target's table. Usable by several threads."""

    def __init__(self, context: ReplayContext, lookup: TraceLookup, maker: TraceMaker) -> None:
        self._context = context
        self._lookup = lookup
        self._maker = maker
        self._in_use = context.options.spans_in_table

    def fitting(self, job: TraceJob) -> Spans | None:
        """Return the spans of a trace if all of them should stay the same in the table, else None."""
        texts = job.rows.spans
        if not self._in_use or not len(texts) or texts.size_bytes > _LARGEST_TRACE or not job.is_untouched:
            return None
        spans = []
        for text in texts:
            span = self._parsed(text)
            if not otlp.survives(span, job.plan.trace_id):
                return None
            spans.append(span)
        return spans

    def holds(self, job: TraceJob) -> bool:
        """Return whether the target's table has the spans of a trace as they are."""
        spans = [self._parsed(text) for text in job.rows.spans]
        try:
            return same_spans(self._lookup.spans(job.plan.trace_id), spans)
        except ItemError:
            return False

    def _parsed(self, text: str) -> Any:
        try:
            return otlp.with_links(parse_json(remap_span(text, self._context.receipt.ids(EXPERIMENT).get)))
        except ValueError:
            return None  # only JSON survives; text that is not JSON goes into a file as it is

    def send(self, waiting: Sequence[tuple[TraceJob, Spans]]) -> list[TraceJob]:
        """Write the spans of some traces; return the traces that must be written as files instead."""
        for_files: list[TraceJob] = []
        for batch in _batches(waiting):
            for_files += self._send(batch)
        return for_files

    def _send(self, batch: Sequence[tuple[TraceJob, Spans]]) -> list[TraceJob]:
        jobs = [job for job, _ in batch]
        if not self._in_use:
            return jobs
        headers = {"Content-Type": otlp.CONTENT_TYPE, otlp.EXPERIMENT_HEADER: jobs[0].experiment_id}
        try:
            data = otlp.encode(span for _, spans in batch for span in spans)
            self._context.api.post_bytes(otlp.PATH, data, headers)
        except ServerError as exc:
            if is_unknown_there(exc):
                self._in_use = False
                return jobs
            check_one_item(exc)
            if len(batch) == 1 or not came_through(exc):
                return jobs
            middle = len(batch) // 2
            return [*self._send(batch[:middle]), *self._send(batch[middle:])]
        return self._check(batch)

    def _check(self, batch: Sequence[tuple[TraceJob, Spans]]) -> list[TraceJob]:
        """Read back what was written; traces that are not as they were are made again without spans."""
        infos = self._lookup.infos([job.plan.trace_id for job, _ in batch])
        changed = []
        for job, spans in batch:
            info = infos.get(job.plan.trace_id)
            if info is not None and self._is_as_before(job, info) and self._as_sent(job, spans):
                job.wrote()
                self._context.receipt.count("spans", len(spans))
            else:
                self.remake(job)
                changed.append(job)
        if len(changed) == len(batch) >= _ENOUGH_TO_JUDGE:
            self._in_use = False  # another version of MLflow, which writes all spans otherwise
        return changed

    def _is_as_before(self, job: TraceJob, info: Info) -> bool:
        """Return whether the info of a trace is what it was before its spans came, once its times are set again."""
        before = job.info
        if before is None:
            return False
        if comparable(_timeless(info)) != comparable(_timeless(before)):
            return False
        return comparable(info) == comparable(before) or comparable(self._maker.restate(job)) == comparable(before)

    def _as_sent(self, job: TraceJob, spans: Spans) -> bool:
        if not self._in_use:
            return False
        try:
            return same_spans(self._lookup.spans(job.plan.trace_id), spans)
        except ItemError:
            self._in_use = False  # a version of MLflow that does not show what it has in its table
            return False

    def remake(self, job: TraceJob) -> None:
        """Delete a trace that this import, or an earlier one that was cut off, has just made, and make it again."""
        body = {"experiment_id": job.experiment_id, "request_ids": [job.plan.trace_id]}
        self._context.api.post(f"{TRACES}/delete-traces", body)
        outcome, job.late = job.outcome, job.assessments.at(When.AFTER_TRACE)
        self._maker.create(job, job.experiment_id)
        job.outcome = outcome
        job.wrote()


def _batches(waiting: Sequence[tuple[TraceJob, Spans]]) -> Iterator[list[tuple[TraceJob, Spans]]]:
    """Split into requests: of one experiment each, and not too large."""
    by_experiment: dict[str, list[tuple[TraceJob, Spans]]] = {}
    for job, spans in waiting:
        by_experiment.setdefault(job.experiment_id, []).append((job, spans))
    for group in by_experiment.values():
        batch: list[tuple[TraceJob, Spans]] = []
        size = 0
        for job, spans in group:
            if batch and size + job.rows.spans.size_bytes > _LARGEST_REQUEST:
                yield batch
                batch, size = [], 0
            batch.append((job, spans))
            size += job.rows.spans.size_bytes
        yield batch


def _timeless(info: Info) -> Info:
    return {name: value for name, value in info.items() if name not in ("request_time", "execution_duration")}
