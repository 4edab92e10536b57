"""One trace on its way into the target: made there, or found and completed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from mlflow_archive.errors import ItemError, ServerError
from mlflow_archive.format import refusals
from mlflow_archive.format.source_tags import beyond_the_export
from mlflow_archive.kinds import TRACE
from mlflow_archive.sinks.replay.context import ReplayContext
from mlflow_archive.sinks.replay.places.experiments import Bound
from mlflow_archive.sinks.replay.target.target import Api
from mlflow_archive.sinks.replay.traces.assessments import AssessmentPlan, PlannedAssessment, When
from mlflow_archive.sinks.replay.traces.trace_info import FINALIZED, PlannedTrace
from mlflow_archive.sinks.replay.traces.trace_lookup import (
    SHOWN_METADATA,
    SHOWN_TAG,
    TRACES,
    Info,
    experiment_of,
    is_as_imported,
    was_imported,
)
from mlflow_archive.sinks.replay.traces.trace_rows import TraceRows
from mlflow_archive.sinks.replay.writing.failures import check_one_item, get_or_none, is_about_one_item, once
from mlflow_archive.sinks.replay.writing.fitting import key_is_taken

_PREVIEWS: Final = ("request_preview", "response_preview")
_FIELDS: Final = ("client_request_id", *_PREVIEWS, "request_time", "execution_duration", "state")


@dataclass(slots=True, kw_only=True)
class TraceJob:
    """``info`` is the TraceInfo that the target has; ``existed`` says that it had it before.

    ``late`` are assessments that are made after the trace, each by a request of its own.
    """

    rows: TraceRows
    plan: PlannedTrace
    assessments: AssessmentPlan
    bound: Bound
    late: list[PlannedAssessment]
    info: Info | None = None
    existed: bool = False
    outcome: str = "skipped"

    @property
    def experiment_id(self) -> str:
        """The experiment of the target in which it is."""
        return "" if self.info is None else experiment_of(self.info)

    @property
    def is_untouched(self) -> bool:
        """Whether it is as an import made it, so that nothing is lost where it is made again."""
        if not self.existed or self.info is None:
            return True
        return is_as_imported(
            self.info, self.plan, {assessment.assessment_id for assessment in self.assessments.planned}
        )

    @property
    def has_gained(self) -> bool:
        """Whether the target has made up something from the spans that the trace never had."""
        info = self.info or {}
        metadata = info.get("trace_metadata", {}).keys() - self.plan.metadata.keys() - {FINALIZED}
        return bool(metadata) or any(name in info and name not in self.plan.info for name in _PREVIEWS)

    def wrote(self) -> None:
        """Note that something was added to a trace that existed."""
        if self.existed:
            self.outcome = "updated"


class TraceMaker:
    """Creates traces and completes those that are there. Usable by several threads."""

    def __init__(self, context: ReplayContext) -> None:
        self._context = context

    def create(self, job: TraceJob, experiment_id: str | None = None) -> None:
        """Create a trace with all that can be made together with it. Safe to repeat: MLflow merges.

        ``experiment_id`` is one of the target, by default that of the trace.
        """
        job.outcome = "created"
        experiment_id = experiment_id or job.bound.target_id
        if self._context.options.dry_run or experiment_id is None:
            return
        self._context.experiments.make_writable(job.bound)
        with_trace = job.assessments.at(When.WITH_TRACE)
        try:
            self._post(job, experiment_id, with_trace)
        except ServerError as exc:
            if not with_trace or not is_about_one_item(exc):
                raise
            self._post(job, experiment_id, [])
            job.late = [*with_trace, *job.late]

    def _post(self, job: TraceJob, experiment_id: str, assessments: Sequence[PlannedAssessment]) -> None:
        body = job.plan.body(experiment_id, [assessment.body for assessment in assessments])
        job.info = self._context.api.post(TRACES, body)["trace"]["trace_info"]

    def restate(self, job: TraceJob) -> Info:
        """State the times of a trace once more, as MLflow took those of its spans; return what it has now."""
        body = job.plan.body(job.experiment_id, [])
        body["trace"]["trace_info"] |= {"tags": {}, "trace_metadata": {}}
        info: Info = self._context.api.post(TRACES, body)["trace"]["trace_info"]
        return info

    def complete(self, job: TraceJob, info: Info) -> None:
        """Add what a trace of the target lacks; what no import of it made keeps what it has."""
        ours = was_imported(info, job.plan)
        self._check_experiment(job, info, ours=ours)
        job.info, job.existed = info, True
        assessed = {assessment.get("assessment_id") for assessment in info.get("assessments", [])}
        missing = [
            assessment for assessment in job.assessments.at(When.WITH_TRACE) if assessment.assessment_id not in assessed
        ]
        job.late = [assessment for assessment in job.late if assessment.assessment_id not in assessed]
        tags = _differing(job.plan.tags, info.get("tags", {}), SHOWN_TAG)
        if not ours:
            kept_keys = tags.keys() & info.get("tags", {}).keys()
            self._context.receipt.changed("trace_tags_kept_as_in_target", len(kept_keys))
            tags = {key: value for key, value in tags.items() if key not in kept_keys}
        changed = ours and _info_differs(job.plan, info)
        if not (tags or missing or job.late or changed):
            return
        job.wrote()
        if self._context.options.dry_run:
            return
        if ours:
            try:
                self._post(job, experiment_of(info), missing)
            except ServerError as exc:  # MLflow merges only into traces that it has not archived meanwhile
                check_one_item(exc)
            else:
                return
        job.late = [*missing, *job.late]
        self._set_tags(job, tags)

    def _check_experiment(self, job: TraceJob, info: Info, *, ours: bool) -> None:
        experiment_id = experiment_of(info)
        if experiment_id == job.bound.target_id:
            return
        if not ours:
            raise IdTakenError(
                f"experiment {experiment_id} of the target has a trace of this id, and no import of it made that"
            )
        self._context.receipt.changed("traces_in_experiment_of_earlier_import")

    def _set_tags(self, job: TraceJob, tags: dict[str, str]) -> None:
        for key, value in tags.items():
            if key_is_taken(key):
                self._context.api.patch(f"{_path(job.plan.trace_id)}/tags", {"key": key, "value": value})
            else:
                reason = f"MLflow takes a tag named {key!r} only when a trace is created, and this one exists"
                self._context.receipt.refuse(TRACE, job.plan.source_id, key, refusals.TAG_REFUSED, reason)

    def add_late(self, job: TraceJob) -> None:
        """Make the assessments that come after their trace; each that is refused is reported."""
        for planned in job.late:
            with self._context.refusing(
                TRACE, job.plan.source_id, refusals.ASSESSMENT_REFUSED, path=planned.assessment_id
            ):
                make_assessment(self._context.api, job.plan.trace_id, planned.body)
                self._context.receipt.count("assessments")


class IdTakenError(ItemError):
    """The target has another trace of the same id."""


def make_assessment(api: Api, trace_id: str, body: dict[str, Any]) -> None:
    """Make an assessment exactly once, also where it is unknown whether the first request was carried out."""
    path = f"{_path(trace_id)}/assessments"
    once(
        lambda: api.post(path, {"assessment": body}, idempotent=False),
        lambda: get_or_none(api, f"{path}/{quote(body['assessment_id'], safe='')}"),
    )


def _path(trace_id: str) -> str:
    return f"{TRACES}/{quote(trace_id, safe='')}"


def _differing(values: Any, existing: Any, limit: int) -> dict[str, str]:
    """Return what is missing or other, as far as the API shows values."""
    differ = {key: value for key, value in values.items() if existing.get(key, None) != value[:limit]}
    return beyond_the_export(differ, existing)


def _info_differs(plan: PlannedTrace, info: Info) -> bool:
    if any(plan.info.get(name) != info.get(name) for name in _FIELDS if name in plan.info):
        return True
    metadata = {key: value for key, value in plan.metadata.items() if key not in plan.unkept}
    return bool(_differing(metadata, info.get("trace_metadata", {}), SHOWN_METADATA))
