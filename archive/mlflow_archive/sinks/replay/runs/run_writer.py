"""Writes runs, one at a time a thread, so that one that was cut off is found and completed by the next import.

A run carries the tag that identifies it from the moment it exists, and a mark that it is incomplete until the last
request of it: that mark makes the difference between skipping and completing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from threading import Lock
from typing import Final

from mlflow_archive.errors import ItemError, ServerError
from mlflow_archive.flow.chunk import ArtifactFile
from mlflow_archive.format import refusals
from mlflow_archive.format.source_tags import SOURCE_RUN_ID
from mlflow_archive.kinds import RUN
from mlflow_archive.sinks.replay.context import ReplayContext
from mlflow_archive.sinks.replay.places.experiments import INCOMPLETE, STATE, Bound
from mlflow_archive.sinks.replay.runs.planned_run import (
    Difference,
    OpenRun,
    PlannedRun,
    compare,
    lacks_points,
    settable,
)
from mlflow_archive.sinks.replay.runs.run_fitting import RunFitter
from mlflow_archive.sinks.replay.runs.run_rows import RunRows
from mlflow_archive.sinks.replay.target.target import (
    MAX_ENTITIES,
    MAX_PARAMS,
    MAX_TAGS,
    DatasetInput,
    NewRun,
    Point,
    TargetRun,
)
from mlflow_archive.sinks.replay.writing.artifact_copy import copy_artifacts, refuse_artifacts
from mlflow_archive.sinks.replay.writing.earlier_imports import RUN_IDENTITY
from mlflow_archive.sinks.replay.writing.failures import came_through, is_about_one_item, once
from mlflow_archive.sinks.replay.writing.references import HISTORY, is_mlmodel, models_in_history
from mlflow_archive.sinks.replay.writing.waiting import MISSING

_MAX_INPUTS = 100


class RunMaker:
    """Creates runs and completes those that exist. Usable by several threads, each with runs of its own."""

    def __init__(self, context: ReplayContext) -> None:
        self._context = context
        self._target = context.target
        self._options = context.options
        self._receipt = context.receipt
        self._inputs_lock = Lock()
        self._known_datasets: set[tuple[str | None, str, str]] = set()

    def begin(self, plan: PlannedRun, bound: Bound, rows: RunRows) -> OpenRun:
        """Create the run, or find it and see what it lacks; write all but the artifacts of its first rows."""
        points = self._points(plan, rows)
        existing = self._context.run_index.lookup(bound, plan.source_id)
        if existing is None:
            return self._create(plan, bound, points)
        target = self._target.get_run(existing)
        self._receipt.mapped(RUN, plan.source_id, existing)
        difference = compare(plan, target, bound)
        for key in difference.conflicting:
            reason = "the target holds another value for this param, which MLflow does not let change"
            self._receipt.refuse(RUN, plan.source_id, key, refusals.PARAM_REFUSED, reason)
        run = OpenRun(plan=plan, bound=bound, outcome="skipped", target=target, existed=True)
        if difference or lacks_points(points, target):
            self._reopen(run, difference)
            self._log(run, points, difference.params, {})
        return run

    def go_on(self, run: OpenRun, rows: RunRows, *, first: bool) -> None:
        """Write what the chunk holds beside the first rows: artifacts, and points of a later chunk."""
        if not first:
            points = self._points(run.plan, rows)
            if run.outcome == "skipped" and run.target is not None and lacks_points(points, run.target):
                self._reopen(run, compare(run.plan, run.target, run.bound))
            if run.outcome != "skipped":
                self._log(run, points, [], {})
        if run.outcome == "skipped":
            self._note_unresolved(run, rows)
            return
        if self._options.dry_run or run.target is None or not rows.artifacts:
            return
        self._copy(run, run.target, rows.artifacts)

    def _copy(self, run: OpenRun, target: TargetRun, artifacts: Sequence[ArtifactFile]) -> None:
        try:
            if run.place is None:
                run.place = self._target.artifacts(target)
            if run.sizes is None:
                run.sizes = run.place.sizes() if run.existed else {}
        except ItemError as exc:
            refuse_artifacts(artifacts, run.owner, exc, self._receipt)
            return
        unresolved = copy_artifacts(artifacts, run.owner, run.place, run.sizes, self._receipt)
        self._context.waiting.add_files(run.plan.source_id, run.bound, target, unresolved)

    def _note_unresolved(self, run: OpenRun, rows: RunRows) -> None:
        """Note the MLmodel files of a run that needs nothing else, where an earlier import left some as they were."""
        if run.target is not None and MISSING in run.target.tags:
            files = [file for file in rows.artifacts if is_mlmodel(file.path)]
            self._context.waiting.add_files(run.plan.source_id, run.bound, run.target, files)

    def end(self, run: OpenRun) -> None:
        """Set status, end and stage, and take the mark off, unless files of the run wait for logged models."""
        waiting = self._context.waiting
        files = None if run.target is None else waiting.files.get(run.target.run_id)
        if run.outcome != "skipped" and run.target is not None and not self._options.dry_run:
            self._set_end(run.plan, run.target)
            if files is None and self._receipt.has_files(RUN, run.plan.source_id):
                self._context.runs.complete(run.target.run_id)
            self._context.runs.wrote(run.target.run_id, deleted=run.plan.deleted)
        if run.target is not None and _names_models(run, run.target):
            waiting.histories.add(run.target.run_id, run.bound)
        if files is not None:
            files.ended = True
            # Whether a run that needed nothing is updated all the same is known when its logged models have come.
            files.waits = run.outcome == "skipped"
        if files is None or not files.waits:
            self._receipt.done(run.outcome)

    def _set_end(self, plan: PlannedRun, target: TargetRun) -> None:
        status = plan.status if plan.status != target.status else None
        end_time = plan.end_time if plan.end_time != target.end_time else None
        name = plan.name if plan.name and plan.name != target.name else None
        if status is not None or end_time is not None or name is not None:
            self._target.update_run(target.run_id, status=status, end_time=end_time, name=name)

    def _points(self, plan: PlannedRun, rows: RunRows) -> list[Point]:
        return RunFitter(self._options.limits, self._receipt, plan.source_id).metrics(rows)

    def _create(self, plan: PlannedRun, bound: Bound, points: Sequence[Point]) -> OpenRun:
        run = OpenRun(plan=plan, bound=bound, outcome="created", target=None, existed=False)
        if self._options.dry_run or bound.target_id is None:
            self._receipt.mapped(RUN, plan.source_id, None)
            return run
        self._context.experiments.make_writable(bound)
        new = NewRun(
            experiment_id=bound.target_id,
            name=plan.name,
            user_id=plan.user_id,
            start_time=plan.start_time,
            tags={**plan.tags, STATE: INCOMPLETE},
        )
        run.target = self._create_once(new, bound, plan.source_id)
        self._receipt.mapped(RUN, plan.source_id, run.target.run_id)
        self._receipt.made(RUN, run.target.run_id)
        self._log(run, points, plan.params, plan.late_tags(run.target.run_id))
        self._log_inputs(run, plan.inputs)
        return run

    def _create_once(self, new: NewRun, bound: Bound, source_id: str) -> TargetRun:
        key = SOURCE_RUN_ID if self._options.source_tags else RUN_IDENTITY
        return once(lambda: self._target.create_run(new), lambda: self._context.run_index.search(bound, key, source_id))

    def _reopen(self, run: OpenRun, difference: Difference) -> None:
        """Make an existing run writable and mark it incomplete."""
        run.outcome = "updated"
        target = run.target
        if self._options.dry_run or target is None:
            return
        self._context.experiments.make_writable(run.bound)
        if target.deleted:
            self._target.restore_run(target.run_id)
        tags = settable(difference.tags)
        for key in difference.tags.keys() - tags.keys():
            reason = f"MLflow takes a tag named {key!r} only when a run is created, and this one exists"
            self._receipt.refuse(RUN, run.plan.source_id, key, refusals.TAG_REFUSED, reason)
        self._target.log_batch(target.run_id, metrics=(), params=(), tags={STATE: INCOMPLETE})
        self._log(run, (), (), tags)
        self._log_inputs(run, difference.inputs)

    def _log(
        self, run: OpenRun, points: Sequence[Point], params: Sequence[tuple[str, str]], tags: Mapping[str, str]
    ) -> None:
        if self._options.dry_run or run.target is None:
            return
        for batch in _batches(points, params, list(tags.items())):
            self._log_batch(run, batch)
        self._receipt.count("points", len(points))

    def _log_batch(self, run: OpenRun, batch: _Batch) -> None:
        """Log a batch; where it is refused, log it by halves to find what the target does not take."""
        if run.target is None:
            return
        points, params, tags = batch
        try:
            self._target.log_batch(run.target.run_id, metrics=points, params=params, tags=dict(tags))
        except ServerError as exc:
            if not is_about_one_item(exc) or not came_through(exc):
                raise
            if sum(map(len, batch)) > 1:
                for half in _halves(batch):
                    self._log_batch(run, half)
                return
            for entities, code in zip(batch, _REFUSED, strict=True):
                for entity in entities:
                    self._receipt.refuse(RUN, run.plan.source_id, str(entity[0]), code, str(exc))

    def _log_inputs(self, run: OpenRun, inputs: Sequence[DatasetInput]) -> None:
        if not inputs or run.target is None:
            return
        names = {(run.bound.target_id, item.name, item.digest) for item in inputs}
        if names <= self._known_datasets:
            self._log_input_batches(run, inputs)
            return
        with self._inputs_lock:  # two threads that both make the same dataset run into the target's primary key
            self._log_input_batches(run, inputs)
            self._known_datasets |= names

    def _log_input_batches(self, run: OpenRun, inputs: Sequence[DatasetInput]) -> None:
        if run.target is None:
            return
        for start in range(0, len(inputs), _MAX_INPUTS):
            batch = inputs[start : start + _MAX_INPUTS]
            try:
                self._target.log_inputs(run.target.run_id, batch)
            except ServerError as exc:
                if not is_about_one_item(exc) or not came_through(exc):
                    raise
                if len(batch) > 1:
                    for item in batch:
                        self._log_input_batches(run, [item])
                else:
                    self._receipt.refuse(RUN, run.plan.source_id, batch[0].name, refusals.INPUT_REFUSED, str(exc))


def _names_models(run: OpenRun, target: TargetRun) -> bool:
    """Return whether the history of a run in the target names, or is about to name, logged models of the source."""
    history = run.plan.history or ""
    models = models_in_history(history)
    if run.existed:
        models &= models_in_history(target.tags.get(HISTORY, history))
    return bool(models)


_Pairs = Sequence[tuple[str, str]]
_Batch = tuple[Sequence[Point], _Pairs, _Pairs]
"""Points, params and tags of a run."""
_REFUSED: Final = (refusals.METRIC_REFUSED, refusals.PARAM_REFUSED, refusals.TAG_REFUSED)
"""The codes of a batch that is refused, in its order."""


def _batches(points: Sequence[Point], params: _Pairs, tags: _Pairs) -> Iterator[_Batch]:
    """Split into the fewest batches that MLflow takes."""
    point = param = tag = 0
    while point < len(points) or param < len(params) or tag < len(tags):
        some_params = params[param : param + MAX_PARAMS]
        some_tags = tags[tag : tag + MAX_TAGS]
        some_points = points[point : point + MAX_ENTITIES - len(some_params) - len(some_tags)]
        yield some_points, some_params, some_tags
        point, param, tag = point + len(some_points), param + len(some_params), tag + len(some_tags)


def _halves(batch: _Batch) -> Iterator[_Batch]:
    """Split a refused batch: by kind where it has several, else in the middle."""
    points, params, tags = batch
    kinds: list[_Batch] = [(points, (), ()), ((), params, ()), ((), (), tags)]
    filled = [kind for kind in kinds if any(kind)]
    if len(filled) > 1:
        yield from filled
        return
    middle = sum(map(len, batch)) // 2
    yield points[:middle], params[:middle], tags[:middle]
    yield points[middle:], params[middle:], tags[middle:]
