"""Assessments that wait: for the ids of issues, or until the runs they name have been deleted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from mlflow_archive.format import refusals
from mlflow_archive.kinds import ISSUE, TRACE
from mlflow_archive.sinks.replay.context import ReplayContext
from mlflow_archive.sinks.replay.traces.assessments import PlannedAssessment, When
from mlflow_archive.sinks.replay.traces.trace_job import TraceJob, make_assessment
from mlflow_archive.sinks.replay.traces.trace_lookup import TraceLookup
from mlflow_archive.sinks.replay.writing.waiting import Waiting

_TRACES_AT_ONCE: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class _WaitingAssessment:
    source_id: str
    trace_id: str
    planned: PlannedAssessment


class WaitingAssessments:
    """Collects assessments from several threads, and makes them when their time has come."""

    def __init__(self, context: ReplayContext, lookup: TraceLookup) -> None:
        self._context = context
        self._lookup = lookup
        self._waiting = Waiting[When, _WaitingAssessment]()

    def add(self, job: TraceJob) -> None:
        """Take those assessments of a trace that must wait."""
        for planned in job.assessments.planned:
            if planned.when >= When.AFTER_ISSUES:
                later = _WaitingAssessment(source_id=job.plan.source_id, trace_id=job.plan.trace_id, planned=planned)
                self._waiting.add(planned.when, later)

    def make(self, when: When) -> None:
        """Make those whose time this is and that are not there. MLflow deletes some whenever it deletes their run."""
        due = self._waiting.pop(when)
        if self._context.options.dry_run:
            return
        for group in _by_trace(due):
            infos = self._lookup.infos(list(group))
            for trace_id, waiting in group.items():
                existing = {
                    assessment.get("assessment_id") for assessment in infos.get(trace_id, {}).get("assessments", [])
                }
                for assessment in waiting:
                    if assessment.planned.assessment_id not in existing:
                        self._make(assessment)

    def _make(self, waiting: _WaitingAssessment) -> None:
        planned = waiting.planned
        code = refusals.ASSESSMENT_REFUSED
        with self._context.refusing(TRACE, waiting.source_id, code, path=planned.assessment_id):
            make_assessment(self._context.api, waiting.trace_id, self._body(planned))
            self._context.receipt.count("assessments")

    def _body(self, planned: PlannedAssessment) -> dict[str, Any]:
        if planned.issue_id is None:
            return planned.body
        issue_id = self._context.mapped(ISSUE, planned.issue_id)
        self._context.receipt.changed("issue_references_without_issue", issue_id is None)
        return planned.body if issue_id is None else {**planned.body, "assessment_name": issue_id}


def _by_trace(waiting: Iterable[_WaitingAssessment]) -> list[dict[str, list[_WaitingAssessment]]]:
    """Group by trace, some traces at once; within a trace the order stays: replaced ones first."""
    groups: list[dict[str, list[_WaitingAssessment]]] = []
    for assessment in waiting:
        if not groups or (assessment.trace_id not in groups[-1] and len(groups[-1]) >= _TRACES_AT_ONCE):
            groups.append({})
        groups[-1].setdefault(assessment.trace_id, []).append(assessment)
    return groups
