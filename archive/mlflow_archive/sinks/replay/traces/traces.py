"""Traces with all that belongs to them. They keep their ids.

Each is made by one request, with its tags, metadata and assessments; then its payload follows. One that the target has
already is compared and completed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from threading import local
from typing import Any

from mlflow_archive.errors import ItemError, ServerError
from mlflow_archive.flow.chunk import Chunk
from mlflow_archive.format import refusals
from mlflow_archive.kinds import TRACE
from mlflow_archive.sinks.replay.context import ReplayContext
from mlflow_archive.sinks.replay.traces.assessments import AssessmentPlan, When, plan_assessments
from mlflow_archive.sinks.replay.traces.span_table import SpanTable
from mlflow_archive.sinks.replay.traces.trace_info import plan_trace, target_trace_id
from mlflow_archive.sinks.replay.traces.trace_job import IdTakenError, TraceJob, TraceMaker
from mlflow_archive.sinks.replay.traces.trace_links import TraceLinker
from mlflow_archive.sinks.replay.traces.trace_lookup import Info, TraceLookup
from mlflow_archive.sinks.replay.traces.trace_payload import TracePayloads
from mlflow_archive.sinks.replay.traces.trace_rows import TraceRows, take_traces
from mlflow_archive.sinks.replay.traces.waiting_assessments import WaitingAssessments
from mlflow_archive.sinks.replay.writing.failures import is_unknown_there
from mlflow_archive.sinks.replay.writing.kind_writer import KindWriter
from mlflow_archive.sinks.replay.writing.rows import Row


class _Thread(local):
    def __init__(self) -> None:
        self.traces: dict[str, TraceRows] = {}


class TraceWriter(KindWriter):
    """Writes traces; a trace whose spans come in several chunks is written with the last of them."""

    kinds = (TRACE,)

    def __init__(self, context: ReplayContext) -> None:
        self._context = context
        self._lookup = TraceLookup(context.api)
        self._maker = TraceMaker(context)
        self.payloads = TracePayloads(context, SpanTable(context, self._lookup, self._maker))
        self._links = TraceLinker(context)
        self._waiting = WaitingAssessments(context, self._lookup)
        self._thread = _Thread()

    def write(self, chunk: Chunk) -> None:
        """Take the rows of a chunk, and write the traces that end with it."""
        take_traces(chunk, self._thread.traces)
        if not chunk.complete or not self._thread.traces:
            return
        traces = list(self._thread.traces.values())
        self._thread.traces.clear()
        try:
            self._write(traces)
        finally:
            for rows in traces:
                rows.spans.close()

    def _write(self, traces: Sequence[TraceRows]) -> None:
        jobs = self._each(traces, self.job, lambda rows: rows.trace_id)
        try:
            infos = self._lookup.infos([job.plan.trace_id for job in jobs])
        except ServerError as exc:
            if not is_unknown_there(exc):
                raise
            for _ in jobs:
                self._context.receipt.unknown(TRACE)
            return
        jobs = self._each(jobs, lambda job: self._begin(job, infos.get(job.plan.trace_id)), _source_id)
        if not self._context.options.dry_run:
            self.payloads.write(jobs)
            for job in jobs:
                self._maker.add_late(job)
        self._links.link(jobs)
        for job in jobs:
            self._waiting.add(job)
            self._context.receipt.done(job.outcome, TRACE)

    def _each(
        self, items: Iterable[Any], step: Callable[[Any], TraceJob], source_id: Callable[[Any], str]
    ) -> list[TraceJob]:
        """Return what ``step`` makes of each; what fails is refused."""
        done = []
        for item in items:
            try:
                done.append(step(item))
            except (ItemError, ServerError) as exc:
                code = refusals.TRACE_ID_TAKEN if isinstance(exc, IdTakenError) else refusals.TRACE_REFUSED
                self._context.refuse(TRACE, source_id(item), code, exc)
        return done

    def job(self, rows: TraceRows) -> TraceJob:
        """Return a trace as it will be. Raises ItemError where it cannot be."""
        if rows.info is None:
            message = f"there are rows of trace {rows.trace_id} but not the trace itself"
            raise ItemError(message)
        row = rows.info
        bound = self._context.experiments.bind(row["experiment_id"])
        assessments = self._assessments(rows, row)
        plan = plan_trace(rows, row, self._context, losses=assessments.losses)
        late = assessments.at(When.AFTER_TRACE)
        return TraceJob(rows=rows, plan=plan, assessments=assessments, bound=bound, late=late)

    def _assessments(self, rows: TraceRows, row: Row) -> AssessmentPlan:
        limits = self._context.options.limits
        plan = plan_assessments(
            rows.assessments,
            target_trace_id(rows.trace_id, limits.trace_id),
            run_of=lambda run_id: self._context.run_id(run_id, row["experiment_id"]),
            deleted_runs=self._context.runs.ending_deleted,
            limits=limits,
        )
        self._context.receipt.changed("assessment_fields", sum(len(loss) - 1 for loss in plan.losses))
        for assessment_id, reason in plan.refused:
            self._context.receipt.refuse(TRACE, rows.trace_id, assessment_id, refusals.ASSESSMENT_REFUSED, reason)
        return plan

    def _begin(self, job: TraceJob, info: Info | None) -> TraceJob:
        if info is None:
            self._maker.create(job)
        else:
            self._maker.complete(job, info)
        target_id = None if self._context.options.dry_run and info is None else job.plan.trace_id
        self._context.receipt.mapped(TRACE, job.plan.source_id, target_id)
        if info is None and target_id is not None:
            self._context.receipt.made(TRACE, target_id)
        if job.rows.info is not None:
            experiment_id = job.rows.info["experiment_id"]
            self._context.link_again(TRACE, job.plan.source_id, job.rows.tags, job.bound, experiment_id)
        return job

    def finish(self) -> None:
        self._links.finish()
        self._waiting.make(When.AFTER_ISSUES)

    def after_deletion(self) -> None:
        self._waiting.make(When.AFTER_DELETION)


def _source_id(job: TraceJob) -> str:
    return job.plan.source_id
