"""Writes runs, one at a time a thread, so that one that was cut off is found and completed by the next import.

A run carries the tag that identifies it from the moment it exists, and a mark that it is incomplete until the last
request of it: that mark makes the difference between skipping and completing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from threading import Lock

from mlflow_archive.errors import ItemError, ServerError
from mlflow_archive.format import refusals
from mlflow_archive.format.source_tags import SOURCE_RUN_ID
from mlflow_archive.kinds import RUN
from mlflow_archive.sinks.replay.options import ReplayOptions
from mlflow_archive.sinks.replay.places.experiments import STATE, Bound, ExperimentMap
from mlflow_archive.sinks.replay.runs.naming_models import NamingModels
from mlflow_archive.sinks.replay.runs.open_run import OpenRun
from mlflow_archive.sinks.replay.runs.planned_run import Difference, PlannedRun, compare, lacks_points, settable
from mlflow_archive.sinks.replay.runs.run_index import IDENTITY, RunIndex
from mlflow_archive.sinks.replay.target.target import (
    MAX_ENTITIES,
    MAX_PARAMS,
    MAX_TAGS,
    DatasetInput,
    NewRun,
    Point,
    Target,
    TargetRun,
)
from mlflow_archive.sinks.replay.writing.artifact_copy import copy_artifacts, refuse_artifacts
from mlflow_archive.sinks.replay.writing.failures import is_about_one_item, once
from mlflow_archive.sinks.replay.writing.fitting import Fitter
from mlflow_archive.sinks.replay.writing.receipt import Receipt
from mlflow_archive.sinks.replay.writing.rows import RunRows

_INCOMPLETE = "incomplete"
_MAX_INPUTS = 100


class RunWriter:
    """Writes the runs of a replay. Usable by several threads, each with runs of its own."""

    def __init__(
        self, target: Target, experiments: ExperimentMap, index: RunIndex, options: ReplayOptions, receipt: Receipt
    ) -> None:
        self._target = target
        self._experiments = experiments
        self._index = index
        self._options = options
        self._receipt = receipt
        self._inputs_lock = Lock()
        self._to_delete: set[str] = set()
        self._datasets_there: set[tuple[str | None, str, str]] = set()
        self._active: set[str] = set()
        self.naming_models = NamingModels()

    def begin(self, plan: PlannedRun, bound: Bound, rows: RunRows) -> OpenRun:
        """Create the run, or find it and see what it lacks; write all but the artifacts of its first rows."""
        points = self._points(plan, rows)
        existing = self._index.lookup(bound, plan.source_id)
        if existing is None:
            return self._create(plan, bound, points)
        there = self._target.get_run(existing)
        self._receipt.mapped(RUN, plan.source_id, existing)
        difference = compare(plan, there, bound)
        for key in difference.conflicting:
            reason = "the target holds another value for this param, which MLflow does not let change"
            self._receipt.refuse("run", plan.source_id, key, refusals.PARAM_REFUSED, reason)
        run = OpenRun(plan=plan, bound=bound, outcome="skipped", there=there, found=True)
        if difference or lacks_points(points, there):
            self._reopen(run, difference)
            self._log(run, points, difference.params, {})
        return run

    def go_on(self, run: OpenRun, rows: RunRows, *, first: bool) -> None:
        """Write what the chunk holds beside the first rows: artifacts, and points of a later chunk."""
        if not first:
            points = self._points(run.plan, rows)
            if run.outcome == "skipped" and run.there is not None and lacks_points(points, run.there):
                self._reopen(run, compare(run.plan, run.there, run.bound))
            if run.outcome != "skipped":
                self._log(run, points, [], {})
        if run.outcome == "skipped":
            self.naming_models.note_found(rows.artifacts, run)
            return
        if self._options.dry_run or run.there is None or not rows.artifacts:
            return
        try:
            if run.place is None:
                run.place = self._target.artifacts(run.there)
            if run.sizes is None:
                run.sizes = run.place.sizes() if run.found else {}
        except ItemError as exc:
            refuse_artifacts(rows.artifacts, run.owner, exc, self._receipt)
            return
        unresolved = copy_artifacts(rows.artifacts, run.owner, run.place, run.sizes, self._receipt)
        self.naming_models.note_files(unresolved, run)

    def end(self, run: OpenRun) -> None:
        """Set status, end and stage, and take the mark off, unless files of the run wait for logged models."""
        there = run.there
        if run.outcome != "skipped" and there is not None and not self._options.dry_run:
            plan = run.plan
            status = plan.status if plan.status != there.status else None
            end_time = plan.end_time if plan.end_time != there.end_time else None
            name = plan.name if plan.name and plan.name != there.name else None
            if status is not None or end_time is not None or name is not None:
                self._target.update_run(there.run_id, status=status, end_time=end_time, name=name)
            if there.run_id not in self.naming_models.files:
                self.complete(there.run_id)
            self._active.add(there.run_id)
            if plan.deleted:
                self._to_delete.add(there.run_id)
        run.ended = True
        self.naming_models.note_history(run)
        if not self.naming_models.waits(run):
            self._receipt.done(run.outcome)

    def complete(self, run_id: str) -> None:
        """Take the mark off a run of the target."""
        self._target.delete_tag(run_id, STATE)

    def make_writable(self, bound: Bound, run_id: str) -> None:
        """Make a run of the target active that is deleted there, until ``finish``, for what belongs to it."""
        with self._inputs_lock:
            if run_id in self._active or self._options.dry_run:
                return
            self._experiments.make_writable(bound)
            if self._target.get_run(run_id).deleted:
                self._target.restore_run(run_id)
                self._to_delete.add(run_id)
            self._active.add(run_id)

    def finish(self) -> None:
        """Delete the runs that are deleted at the source; till now other objects could be written to them."""
        for run_id in sorted(self._to_delete):
            self._target.delete_run(run_id)
        self._to_delete.clear()
        self._active.clear()

    def _points(self, plan: PlannedRun, rows: RunRows) -> list[Point]:
        return Fitter(self._options.limits, self._receipt, plan.source_id).metrics(rows)

    def _create(self, plan: PlannedRun, bound: Bound, points: Sequence[Point]) -> OpenRun:
        run = OpenRun(plan=plan, bound=bound, outcome="created", there=None, found=False)
        if self._options.dry_run or bound.target_id is None:
            self._receipt.mapped(RUN, plan.source_id, None)
            return run
        self._experiments.make_writable(bound)
        new = NewRun(
            experiment_id=bound.target_id,
            name=plan.name,
            user_id=plan.user_id,
            start_time=plan.start_time,
            tags={**plan.tags, STATE: _INCOMPLETE},
        )
        run.there = self._create_once(new, bound, plan.source_id)
        self._receipt.mapped(RUN, plan.source_id, run.there.run_id)
        self._log(run, points, plan.params, plan.late_tags(run.there.run_id))
        self._log_inputs(run, plan.inputs)
        return run

    def _create_once(self, new: NewRun, bound: Bound, source_id: str) -> TargetRun:
        key = SOURCE_RUN_ID if self._options.source_tags else IDENTITY
        return once(lambda: self._target.create_run(new), lambda: self._index.search(bound, key, source_id))

    def _reopen(self, run: OpenRun, difference: Difference) -> None:
        """Make a run that is there writable and mark it incomplete."""
        run.outcome = "updated"
        there = run.there
        if self._options.dry_run or there is None:
            return
        self._experiments.make_writable(run.bound)
        if there.deleted:
            self._target.restore_run(there.run_id)
        tags = settable(difference.tags)
        for key in difference.tags.keys() - tags.keys():
            reason = f"MLflow takes a tag named {key!r} only when a run is created, and this one exists"
            self._receipt.refuse("run", run.plan.source_id, key, refusals.TAG_REFUSED, reason)
        self._target.log_batch(there.run_id, metrics=(), params=(), tags={STATE: _INCOMPLETE})
        self._log(run, (), (), tags)
        self._log_inputs(run, difference.inputs)

    def _log(
        self, run: OpenRun, points: Sequence[Point], params: Sequence[tuple[str, str]], tags: Mapping[str, str]
    ) -> None:
        if self._options.dry_run or run.there is None:
            return
        for batch in _batches(points, params, tags):
            self._log_batch(run, *batch)
        self._receipt.count("points", len(points))

    def _log_batch(
        self,
        run: OpenRun,
        points: Sequence[Point],
        params: Sequence[tuple[str, str]],
        tags: Sequence[tuple[str, str]],
    ) -> None:
        """Log a batch; where it is refused, log it by halves to find what the target does not take."""
        if run.there is None:
            return
        try:
            self._target.log_batch(run.there.run_id, metrics=points, params=params, tags=dict(tags))
        except ServerError as exc:
            if not is_about_one_item(exc):
                raise
            entities = len(points) + len(params) + len(tags)
            if entities > 1:
                for half in _halves(points, params, tags):
                    self._log_batch(run, *half)
                return
            self._refuse_entity(run, points, params, tags, str(exc))

    def _refuse_entity(
        self,
        run: OpenRun,
        points: Sequence[Point],
        params: Sequence[tuple[str, str]],
        tags: Sequence[tuple[str, str]],
        reason: str,
    ) -> None:
        for entities, code in (
            (points, refusals.METRIC_REFUSED),
            (params, refusals.PARAM_REFUSED),
            (tags, refusals.TAG_REFUSED),
        ):
            for entity in entities:
                self._receipt.refuse("run", run.plan.source_id, str(entity[0]), code, reason)

    def _log_inputs(self, run: OpenRun, inputs: Sequence[DatasetInput]) -> None:
        if not inputs or run.there is None:
            return
        names = {(run.bound.target_id, item.name, item.digest) for item in inputs}
        if names <= self._datasets_there:
            self._log_input_batches(run, inputs)
            return
        with self._inputs_lock:  # two threads that both make the same dataset run into the target's primary key
            self._log_input_batches(run, inputs)
            self._datasets_there |= names

    def _log_input_batches(self, run: OpenRun, inputs: Sequence[DatasetInput]) -> None:
        if run.there is None:
            return
        for start in range(0, len(inputs), _MAX_INPUTS):
            batch = inputs[start : start + _MAX_INPUTS]
            try:
                self._target.log_inputs(run.there.run_id, batch)
            except ServerError as exc:
                if not is_about_one_item(exc):
                    raise
                if len(batch) > 1:
                    for item in batch:
                        self._log_input_batches(run, [item])
                else:
                    self._receipt.refuse("run", run.plan.source_id, batch[0].name, refusals.INPUT_REFUSED, str(exc))


_Batch = tuple[Sequence[Point], Sequence[tuple[str, str]], Sequence[tuple[str, str]]]


def _batches(points: Sequence[Point], params: Sequence[tuple[str, str]], tags: Mapping[str, str]) -> Iterator[_Batch]:
    """Split into the fewest batches that MLflow takes."""
    all_tags = list(tags.items())
    point = param = tag = 0
    while point < len(points) or param < len(params) or tag < len(all_tags):
        some_params = params[param : param + MAX_PARAMS]
        some_tags = all_tags[tag : tag + MAX_TAGS]
        some_points = points[point : point + MAX_ENTITIES - len(some_params) - len(some_tags)]
        yield some_points, some_params, some_tags
        point, param, tag = point + len(some_points), param + len(some_params), tag + len(some_tags)


def _halves(
    points: Sequence[Point], params: Sequence[tuple[str, str]], tags: Sequence[tuple[str, str]]
) -> Iterator[_Batch]:
    """Split a refused batch: by kind where it has several, else in the middle."""
    kinds: list[_Batch] = [(points, (), ()), ((), params, ()), ((), (), tags)]
    filled = [batch for batch in kinds if any(batch)]
    if len(filled) > 1:
        yield from filled
        return
    middle = (len(points) + len(params) + len(tags)) // 2
    yield points[:middle], params[:middle], tags[:middle]
    yield points[middle:], params[middle:], tags[middle:]
