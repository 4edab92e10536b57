"""What one run will be in the target, how that differs from the run of the target, and the run on its way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mlflow_archive.format import refusals
from mlflow_archive.format.source_tags import PREFIX, ExportFacts, beyond_the_export, run_source_tags
from mlflow_archive.kinds import RUN
from mlflow_archive.sinks.replay.options import ReplayOptions
from mlflow_archive.sinks.replay.places.experiments import STATE, Bound
from mlflow_archive.sinks.replay.runs.run_fitting import RunFitter, newest, order
from mlflow_archive.sinks.replay.runs.run_rows import DatasetKey, RunRows
from mlflow_archive.sinks.replay.target.target import DatasetInput, Point, TargetArtifacts, TargetRun
from mlflow_archive.sinks.replay.writing.artifact_copy import ArtifactOwner
from mlflow_archive.sinks.replay.writing.earlier_imports import RUN_IDENTITY
from mlflow_archive.sinks.replay.writing.fitting import key_is_taken, plain_tags
from mlflow_archive.sinks.replay.writing.receipt import Receipt
from mlflow_archive.sinks.replay.writing.references import (
    HISTORY,
    PARENT,
    RUN_NAME,
    USER,
    fit_history,
    remap_history,
    remap_linked_prompts,
    without_model_ids,
)
from mlflow_archive.sinks.replay.writing.rows import Row

PARAM: Final = PREFIX + "param."
"""Start of the key of a source tag with a whole param that is too long for one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRun:
    """A run as it will be. ``name`` is empty where the source has none: the target then invents one.

    ``history`` is ``mlflow.log-model.history`` with the source's id, to be remapped once the new id is known.
    """

    source_id: str
    name: str
    user_id: str
    start_time: int
    status: str | None
    end_time: int | None
    deleted: bool
    tags: Mapping[str, str]
    history: str | None
    params: Sequence[tuple[str, str]]
    inputs: Sequence[DatasetInput]
    tag_limit: int

    def late_tags(self, target_id: str) -> dict[str, str]:
        """Return the tags that name the run itself; logged models in them are remapped once these are there."""
        if self.history is None:
            return {}
        remapped = remap_history(self.history, {self.source_id: target_id}.get)
        return {HISTORY: fit_history(remapped, self.tag_limit)}


@dataclass(slots=True, kw_only=True)
class OpenRun:
    """A run under way. ``outcome`` is created, updated, skipped or refused.

    ``target`` is the run of the target, None where a dry run would create it; ``existed`` says that it was there
    before. ``place`` and ``sizes`` are where its artifacts go and what lies there, once that was needed.
    """

    plan: PlannedRun
    bound: Bound
    outcome: str
    target: TargetRun | None
    existed: bool
    place: TargetArtifacts | None = None
    sizes: Mapping[str, int] | None = None

    @property
    def owner(self) -> ArtifactOwner:
        """The owner of its artifacts: in MLmodel files only the id of the run itself is known yet."""
        target_id = "" if self.target is None else self.target.run_id
        return ArtifactOwner(kind=RUN, source_id=self.plan.source_id, mapped={self.plan.source_id: target_id}.get)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlanner:
    """Makes a PlannedRun of rows; ``importer`` is the user who imports, or None to keep the source's."""

    options: ReplayOptions
    receipt: Receipt
    importer: str | None

    def plan(
        self, rows: RunRows, info: Row, *, parent: str | None, datasets: Mapping[DatasetKey, Row], source: SourceOfRun
    ) -> PlannedRun:
        """Fit a run; ``parent`` is the target's id of its parent, None where it has none or it is not there."""
        limits = self.options.limits
        fitter = RunFitter(limits, self.receipt, rows.run_id)
        tags = remap_linked_prompts(plain_tags(rows.tags), source.model_name)
        history = tags.pop(HISTORY, None)
        if history is not None and len(history) > limits.tag:
            self.receipt.shortened(rows.run_id, "tag", HISTORY, len(history))
        self._set_parent(rows, tags, parent)
        name = self._name(info, tags, fitter)
        user = fitter.text("user", "user_id", self._user(info, tags), limits.user)
        fitted = {**fitter.tags("tag", tags, limits.tag), **self._identity(rows, info, source, fitter)}
        for column in ("start_time", "status"):
            self.receipt.changed(f"run_without_{column}", int(info[column] is None))
        return PlannedRun(
            source_id=rows.run_id,
            name=name,
            user_id=user,
            start_time=info["start_time"] or 0,
            status=info["status"],
            end_time=info["end_time"],
            deleted=info["lifecycle_stage"] == "deleted",
            tags=fitted,
            history=history,
            params=fitter.params(rows.params),
            inputs=self._inputs(rows, info, datasets, fitter),
            tag_limit=limits.tag,
        )

    def _set_parent(self, rows: RunRows, tags: dict[str, str | None], parent: str | None) -> None:
        original = rows.tags.get(PARENT)
        if not original:
            return
        if parent is not None:
            tags[PARENT] = parent
            return
        self.receipt.missing_parent(rows.run_id, original)
        if self.options.source_tags:  # it stays in the source tags; a parent that is not there would confuse the UI
            del tags[PARENT]

    def _name(self, info: Row, tags: dict[str, str | None], fitter: RunFitter) -> str:
        tag = tags.pop(RUN_NAME, None)
        name: str = info["run_name"] or tag or ""
        if not name:
            self.receipt.changed("run_without_name")
            return ""
        self.receipt.changed("run_name_tag", int(tag is not None and tag != name))
        tags[RUN_NAME] = fitted = fitter.text("run name", "run_name", name, self.options.limits.run_name)
        return fitted

    def _user(self, info: Row, tags: dict[str, str | None]) -> str:
        if self.importer is None:
            return info["user_id"] or ""
        if USER in tags:
            tags[USER] = self.importer
        return self.importer

    def _identity(self, rows: RunRows, info: Row, source: SourceOfRun, fitter: RunFitter) -> dict[str, str]:
        if not self.options.source_tags:
            return {RUN_IDENTITY: rows.run_id}
        limits = self.options.limits
        source_tags = run_source_tags(info, rows.tags, experiment_name=source.experiment_name, export=source.export)
        long = {key: value for key, value in rows.params if limits.param < len(value) <= limits.tag}
        source_tags |= {PARAM + key: value for key, value in long.items() if key_is_taken(key)}
        return fitter.tags("source tag", source_tags, limits.tag)

    def _inputs(
        self, rows: RunRows, info: Row, datasets: Mapping[DatasetKey, Row], fitter: RunFitter
    ) -> list[DatasetInput]:
        inputs = []
        for (name, digest), tags in rows.inputs.items():
            row = datasets.get((info["experiment_id"], name, digest))
            if row is None:
                reason = f"the archive does not hold the dataset {name!r} with digest {digest!r}"
                self.receipt.refuse(RUN, rows.run_id, name, refusals.INPUT_REFUSED, reason)
            else:
                inputs.append(fitter.dataset(row, tags))
        return inputs


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOfRun:
    """What tags need beside the run: its experiment's name there, the export that holds it, and the names that
    registered models of its workspace get."""

    experiment_name: str
    export: ExportFacts
    model_name: Callable[[str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What a run of the target lacks of a plan. ``conflicting`` params hold another value and cannot be changed."""

    incomplete: bool
    tags: Mapping[str, str]
    params: Sequence[tuple[str, str]]
    conflicting: Sequence[str]
    inputs: Sequence[DatasetInput]
    info: bool

    def __bool__(self) -> bool:
        return bool(self.incomplete or self.tags or self.params or self.inputs or self.info)


def compare(plan: PlannedRun, run: TargetRun, bound: Bound) -> Difference:
    """Compare a plan with the run of the target; what that has beyond the plan is not a difference."""
    tags = {**plan.tags, **plan.late_tags(run.run_id)}
    return Difference(
        incomplete=STATE in run.tags,
        tags=beyond_the_export(
            {key: value for key, value in tags.items() if not _is_equal(key, run.tags.get(key), value)}, run.tags
        ),
        params=[(key, value) for key, value in plan.params if key not in run.params],
        conflicting=[key for key, value in plan.params if run.params.get(key, value) != value],
        inputs=[item for item in plan.inputs if (item.name, item.digest) not in run.inputs],
        info=_info_differs(plan, run, bound),
    )


def _info_differs(plan: PlannedRun, run: TargetRun, bound: Bound) -> bool:
    same_status = plan.status is None or plan.status == run.status
    same_end = not plan.end_time or plan.end_time == run.end_time  # the API does not show an end at 0
    same_stage = bound.ends_deleted or plan.deleted == run.deleted
    same_name = not plan.name or plan.name == run.name
    return not (same_status and same_end and same_stage and same_name)


def _is_equal(key: str, target_value: str | None, value: str) -> bool:
    if key == HISTORY and target_value is not None:
        # The models that a history names may come later than the run, and are remapped then.
        return without_model_ids(target_value) == without_model_ids(value)
    return target_value == value


def lacks_points(points: Sequence[Point], run: TargetRun) -> bool:
    """Return whether any metric has a newer point than the newest of the target's run."""
    return any(key not in run.latest or order(point) > order(run.latest[key]) for key, point in newest(points).items())


def settable(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags that can be set on a run that exists."""
    return {key: value for key, value in tags.items() if key_is_taken(key)}
