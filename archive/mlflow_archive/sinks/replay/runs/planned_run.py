"""What one run will be in the target, and how that differs from what is there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mlflow_archive.format import refusals
from mlflow_archive.format.source_tags import ExportFacts, run_source_tags
from mlflow_archive.sinks.replay.options import ReplayOptions
from mlflow_archive.sinks.replay.places.experiments import STATE, Bound
from mlflow_archive.sinks.replay.runs.run_index import IDENTITY
from mlflow_archive.sinks.replay.target.target import DatasetInput, Point, TargetRun
from mlflow_archive.sinks.replay.writing.fitting import Fitter, key_is_taken, newest, order, plain_tags
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
from mlflow_archive.sinks.replay.writing.rows import DatasetKey, Row, RunRows


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Planner:
    """Makes a PlannedRun of rows; ``importer`` is the user who imports, or None to keep the source's."""

    options: ReplayOptions
    receipt: Receipt
    importer: str | None

    def plan(
        self, rows: RunRows, info: Row, *, parent: str | None, datasets: Mapping[DatasetKey, Row], source: SourceOfRun
    ) -> PlannedRun:
        """Fit a run; ``parent`` is the target's id of its parent, None where it has none or it is not there."""
        limits = self.options.limits
        fitter = Fitter(limits, self.receipt, rows.run_id)
        wanted = remap_linked_prompts(plain_tags(rows.tags), source.model_name)
        history = wanted.pop(HISTORY, None)
        if history is not None and len(history) > limits.tag:
            self.receipt.shortened(rows.run_id, "tag", HISTORY, len(history))
        self._set_parent(rows, wanted, parent)
        name = self._name(info, wanted, fitter)
        user = self._user(info, wanted)
        tags = fitter.tags("tag", wanted, limits.tag)
        tags.update(self._identity(rows, info, source, fitter))
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
            tags=tags,
            history=history,
            params=fitter.params(rows.params),
            inputs=self._inputs(rows, info, datasets, fitter),
            tag_limit=limits.tag,
        )

    def _set_parent(self, rows: RunRows, wanted: dict[str, str | None], parent: str | None) -> None:
        original = rows.tags.get(PARENT)
        if not original:
            return
        if parent is not None:
            wanted[PARENT] = parent
            return
        self.receipt.missing_parent(rows.run_id, original)
        if self.options.source_tags:  # it stays in the source tags; a parent that is not there would confuse the UI
            del wanted[PARENT]

    def _name(self, info: Row, wanted: dict[str, str | None], fitter: Fitter) -> str:
        tag = wanted.pop(RUN_NAME, None)
        name: str = info["run_name"] or tag or ""
        if not name:
            self.receipt.changed("run_without_name")
            return ""
        self.receipt.changed("run_name_tag", int(tag is not None and tag != name))
        wanted[RUN_NAME] = fitter.text("run name", "run_name", name, self.options.limits.run_name)
        return wanted[RUN_NAME] or ""

    def _user(self, info: Row, wanted: dict[str, str | None]) -> str:
        if self.importer is None:
            return info["user_id"] or ""
        if USER in wanted:
            wanted[USER] = self.importer
        return self.importer

    def _identity(self, rows: RunRows, info: Row, source: SourceOfRun, fitter: Fitter) -> dict[str, str]:
        if not self.options.source_tags:
            return {IDENTITY: rows.run_id}
        found = run_source_tags(info, rows.tags, experiment_name=source.experiment_name, export=source.export)
        return fitter.tags("source tag", found, self.options.limits.tag)

    def _inputs(
        self, rows: RunRows, info: Row, datasets: Mapping[DatasetKey, Row], fitter: Fitter
    ) -> list[DatasetInput]:
        inputs = []
        for (name, digest), tags in rows.inputs.items():
            row = datasets.get((info["experiment_id"], name, digest))
            if row is None:
                reason = f"the archive does not hold the dataset {name!r} with digest {digest!r}"
                self.receipt.refuse("run", rows.run_id, name, refusals.INPUT_REFUSED, reason)
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


def compare(plan: PlannedRun, held: TargetRun, bound: Bound) -> Difference:
    """Compare a plan with the run that is there; what the target has beyond the plan is no difference."""
    wanted = {**plan.tags, **plan.late_tags(held.run_id)}
    wanted_state = plan.status is None or plan.status == held.status
    end = not plan.end_time or plan.end_time == held.end_time  # the API does not show an end at 0
    lifecycle = bound.ends_deleted or plan.deleted == held.deleted
    named = not plan.name or plan.name == held.name
    return Difference(
        incomplete=STATE in held.tags,
        tags={key: value for key, value in wanted.items() if not _equal(key, held.tags.get(key), value)},
        params=[(key, value) for key, value in plan.params if key not in held.params],
        conflicting=[key for key, value in plan.params if held.params.get(key, value) != value],
        inputs=[item for item in plan.inputs if (item.name, item.digest) not in held.inputs],
        info=not (wanted_state and end and lifecycle and named),
    )


def _equal(key: str, held: str | None, wanted: str) -> bool:
    if key == HISTORY and held is not None:
        return without_model_ids(held) == without_model_ids(wanted)
    return held == wanted


def lacks_points(points: Sequence[Point], held: TargetRun) -> bool:
    """Say whether any metric has a newer point than the target's newest."""
    return any(
        key not in held.latest or order(point) > order(held.latest[key]) for key, point in newest(points).items()
    )


def settable(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags that can be set on a run that exists."""
    return {key: value for key, value in tags.items() if key_is_taken(key)}
