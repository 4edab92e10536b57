"""Runs by the chunk: which run a chunk begins, goes on with or ends, and what of it must be refused."""

from __future__ import annotations

import getpass
from threading import Lock, local

from mlflow_archive.errors import ItemError, ServerError
from mlflow_archive.flow.chunk import Chunk
from mlflow_archive.flow.report import Progress
from mlflow_archive.format import refusals
from mlflow_archive.kinds import DATASET, RUN
from mlflow_archive.sinks.replay.context import ReplayContext
from mlflow_archive.sinks.replay.places.experiments import Bound
from mlflow_archive.sinks.replay.runs.planned_run import OpenRun, PlannedRun, RunPlanner, SourceOfRun
from mlflow_archive.sinks.replay.runs.run_rows import DatasetKey, RunRows, runs_of
from mlflow_archive.sinks.replay.runs.run_writer import RunMaker
from mlflow_archive.sinks.replay.writing.failures import check_one_item
from mlflow_archive.sinks.replay.writing.kind_writer import KindWriter
from mlflow_archive.sinks.replay.writing.references import PARENT
from mlflow_archive.sinks.replay.writing.rows import Row, rows_of
from mlflow_archive.sinks.replay.writing.waiting import model_links_of

OpenRuns = dict[str, OpenRun | None]
"""The runs that the shard of a thread is at, by source id; one that was refused is None until it ends."""


class _Thread(local):
    def __init__(self) -> None:
        self.runs: OpenRuns = {}


class RunWriter(KindWriter):
    """Writes runs; one may come in several chunks, and ends with the last of them."""

    kinds = (RUN, DATASET)

    def __init__(self, context: ReplayContext, progress: Progress) -> None:
        self._context = context
        self._progress = progress
        self._maker = RunMaker(context)
        importer = getpass.getuser() if context.options.user == "importer" else None
        self._planner = RunPlanner(options=context.options, receipt=context.receipt, importer=importer)
        self._datasets: dict[DatasetKey, Row] = {}
        self._lock = Lock()
        self._thread = _Thread()

    def write(self, chunk: Chunk) -> None:
        """Write the runs of a chunk, and keep what they say of logged models, which come later."""
        self.take_datasets(chunk)
        runs = self._thread.runs
        for rows in runs_of(chunk):
            self._write(rows, runs)
            if chunk.complete:
                self._end(rows.run_id, runs)
        if chunk.complete:
            for run_id in list(runs):
                self._end(run_id, runs)
        for link in model_links_of(chunk):
            self._context.waiting.links.add(link.model_id, link)

    def take_datasets(self, chunk: Chunk) -> None:
        """Keep the datasets of a chunk for the runs that have them as inputs."""
        with self._lock:
            for row in rows_of(chunk, "datasets"):
                self._datasets[row["experiment_id"], row["name"], row["digest"]] = row

    def delete(self) -> None:
        """Delete the runs that are deleted at the source; till now other objects could be written to them."""
        self._context.runs.delete()

    def _write(self, rows: RunRows, runs: OpenRuns) -> None:
        first = rows.run_id not in runs
        try:
            if first:
                runs[rows.run_id] = None
                runs[rows.run_id] = self._begin(rows)
            run = runs[rows.run_id]
            if run is not None:
                self._maker.go_on(run, rows, first=first)
                self._progress.advance("points", len(rows.metrics))
                self._progress.advance("artifacts", len(rows.artifacts))
        except (ItemError, ServerError) as exc:
            self._refuse(rows.run_id, exc, runs)

    def _begin(self, rows: RunRows) -> OpenRun:
        plan, bound = self.plan(rows)
        run = self._maker.begin(plan, bound, rows)
        if rows.info is not None:
            self._context.link_again(RUN, rows.run_id, rows.tags, bound, rows.info["experiment_id"])
        return run

    def plan(self, rows: RunRows) -> tuple[PlannedRun, Bound]:
        """Return what a run will be, and where. Raises ItemError where it cannot be."""
        if rows.info is None:
            message = f"there are rows of run {rows.run_id} but not the run itself"
            raise ItemError(message)
        context, experiment_id = self._context, rows.info["experiment_id"]
        context.runs.learn(rows.info)
        bound = context.experiments.bind(experiment_id)
        source = SourceOfRun(
            experiment_name=context.experiments.rows[experiment_id]["name"],
            export=context.export_of(rows.info),
            linked_prompts=lambda tags: context.linked_prompts(tags, experiment_id),
        )
        parent = self._parent(rows, bound)
        plan = self._planner.plan(rows, rows.info, parent=parent, datasets=self._datasets, source=source)
        return plan, bound

    def _parent(self, rows: RunRows, bound: Bound) -> str | None:
        """Return the target's id of the parent; in a dry run the source's, where it would be created."""
        parent = rows.tags.get(PARENT)
        if not parent:
            return None
        ids = self._context.receipt.ids(RUN)
        if parent in ids:
            return ids[parent] or parent
        return self._context.run_index.lookup(bound, parent)

    def _end(self, run_id: str, runs: OpenRuns) -> None:
        run = runs.get(run_id)
        try:
            if run is not None:
                self._maker.end(run)
        except (ItemError, ServerError) as exc:
            self._refuse(run_id, exc, runs)
        runs.pop(run_id, None)

    def _refuse(self, run_id: str, exc: ItemError | ServerError, runs: OpenRuns) -> None:
        # Not by context.refuse: every target knows runs, so a 404 is about this run.
        check_one_item(exc)
        runs[run_id] = None
        self._context.receipt.refuse(RUN, run_id, "", refusals.RUN_REFUSED, str(exc))
        self._context.receipt.done("refused")
