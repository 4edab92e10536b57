"""The sink that replays: any source into any MLflow server or store, through MLflow's API, under new ids."""

from __future__ import annotations

import getpass
from collections import Counter
from collections.abc import Callable
from threading import Lock, local
from typing import Final

from mlflow_archive.errors import ItemError, ServerError
from mlflow_archive.flow.chunk import Chunk, Known, nothing_known
from mlflow_archive.flow.report import Progress, Quiet, Report
from mlflow_archive.flow.source import SourceFacts
from mlflow_archive.format import refusals
from mlflow_archive.format.source_tags import ExportFacts
from mlflow_archive.kinds import DATASET, DEFAULT_WORKSPACE, EXPERIMENT, RUN, TABLES, WORKSPACE, is_identity
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sinks.replay.options import ReplayOptions
from mlflow_archive.sinks.replay.places.experiments import Bound, ExperimentMap
from mlflow_archive.sinks.replay.runs.open_run import OpenRun
from mlflow_archive.sinks.replay.runs.planned_run import Planner, SourceOfRun
from mlflow_archive.sinks.replay.runs.run_index import RunIndex
from mlflow_archive.sinks.replay.runs.run_writer import RunWriter
from mlflow_archive.sinks.replay.target.target import Target
from mlflow_archive.sinks.replay.writers import ReplayContext, kind_writers
from mlflow_archive.sinks.replay.writing.failures import is_about_one_item
from mlflow_archive.sinks.replay.writing.receipt import Receipt
from mlflow_archive.sinks.replay.writing.references import PARENT
from mlflow_archive.sinks.replay.writing.rows import DatasetKey, Row, RunRows, rows_of, runs_of

_ALWAYS: Final = (EXPERIMENT, RUN, DATASET)

FactsOfRow = Callable[[Row], ExportFacts]


class ReplaySink:
    """Writes into a target; safe to repeat, and to go on with after a kill.

    ``facts_of`` says of a row of ``runs`` or ``experiments`` by which export it came, where an archive holds several;
    by default all came by the one that the source's facts describe: ``extra["exported_ms"]`` is its time, and
    ``extra["tracking_uri"]`` the server where the source is another tool's export of it.
    ``receipt`` is for several sinks that report together.
    ``kinds`` are those of ``format.tables`` that it writes; workspaces are made by WorkspaceSink.
    Experiments and datasets must come before the runs that are in them, parents before their children.
    """

    def __init__(
        self,
        target: Target,
        *,
        options: ReplayOptions | None = None,
        progress: Progress | None = None,
        facts_of: FactsOfRow | None = None,
        receipt: Receipt | None = None,
    ) -> None:
        self._target = target
        self._options = options or ReplayOptions()
        self._progress = progress or Quiet()
        self._facts_of = facts_of
        self._receipt = receipt or Receipt(target.uri, dry_run=self._options.dry_run)
        self._experiments = ExperimentMap(target, self._options, self._receipt)
        self._index = RunIndex(target, self._receipt)
        self._writer = RunWriter(target, self._experiments, self._index, self._options, self._receipt)
        importer = getpass.getuser() if self._options.user == "importer" else None
        self._planner = Planner(options=self._options, receipt=self._receipt, importer=importer)
        self._names: dict[str, str] = {}
        self._workspaces: dict[str, str] = {}
        self._context = ReplayContext(
            target=target,
            options=self._options,
            receipt=self._receipt,
            experiments=self._experiments,
            index=self._index,
            runs=self._writer,
            export_of=self._export_of,
            experiment_names=self._names,
            workspaces=self._workspaces,
        )
        self._kinds = kind_writers(self._context)
        self.kinds = frozenset((*_ALWAYS, *(kind for writer in self._kinds for kind in writer.kinds)))
        self._datasets: dict[DatasetKey, Row] = {}
        self._left_out: Counter[str] = Counter()
        self._lock = Lock()
        self._thread = local()

    def begin(self, facts: SourceFacts, selection: Selection) -> Known:
        """Make sure that the target answers. All that is selected is wanted: the target's copies are compared here."""
        self._target.check()
        if self._facts_of is None:
            exported = facts.extra.get("exported_ms")
            export = ExportFacts(
                tracking_uri=facts.extra.get("tracking_uri", facts.uri),
                mlflow_version=facts.mlflow_version,
                exported_ms=None if exported is None else int(exported),
            )
            self._facts_of = lambda row: export
        return nothing_known

    def write(self, chunk: Chunk) -> None:
        """Write a chunk; what cannot be written of it is refused in the receipt."""
        self._take_experiments(chunk)
        with self._lock:
            for row in rows_of(chunk, "datasets"):
                self._datasets[row["experiment_id"], row["name"], row["digest"]] = row
        gaps = chunk.tables.get("gaps")
        if gaps is not None and gaps.num_rows:
            self._receipt.count("gaps_in_source", gaps.num_rows)
        self._count_left_out(chunk)
        under_way = self._under_way()
        for rows in runs_of(chunk):
            self._write_run(rows, under_way)
            if chunk.complete:
                self._end(rows.run_id, under_way)
        if chunk.complete:
            for run_id in list(under_way):
                self._end(run_id, under_way)
        for writer in self._kinds:
            writer.write(chunk)

    def _count_left_out(self, chunk: Chunk) -> None:
        for name, rows in chunk.tables.items():
            table = TABLES[name]
            kind = table.entity or ""
            if is_identity(table) and kind not in self.kinds and rows.num_rows:
                there = (
                    rows.num_rows
                    if kind != WORKSPACE
                    else sum(n != DEFAULT_WORKSPACE for n in rows["name"].to_pylist())
                )
                with self._lock:
                    self._left_out[kind] += there

    def finish(self) -> Report:
        """Delete the runs and experiments that are deleted at the source, and report."""
        try:
            for writer in self._kinds:
                writer.finish()
            self._writer.finish()
            self._experiments.finish()
            for writer in self._kinds:
                writer.after_deletion()
            why = " of the archive; `mlflow-archive restore` brings them in"
            self._receipt.refuse_many(self._left_out, refusals.KIND_REFUSED, why)
        finally:
            self._target.close()
        return self._receipt.report()

    def abort(self) -> None:
        """Leave all as it is: runs that are not complete are marked, and completed when the import is repeated."""
        self._target.close()

    def _under_way(self) -> dict[str, OpenRun | None]:
        found: dict[str, OpenRun | None] | None = getattr(self._thread, "under_way", None)
        if found is None:
            found = self._thread.under_way = {}
        return found

    def _take_experiments(self, chunk: Chunk) -> None:
        tags: dict[str, dict[str, str | None]] = {}
        for row in rows_of(chunk, "experiment_tags"):
            tags.setdefault(row["experiment_id"], {})[row["key"]] = row["value"]
        for row in rows_of(chunk, "experiments"):
            self._names[row["experiment_id"]] = row["name"]
            self._workspaces[row["experiment_id"]] = row["workspace"]
            self._experiments.add(row, tags.get(row["experiment_id"], {}), self._export_of(row))

    def _export_of(self, row: Row) -> ExportFacts:
        if self._facts_of is None:
            message = "begin() comes before write()"
            raise RuntimeError(message)
        return self._facts_of(row)

    def _write_run(self, rows: RunRows, under_way: dict[str, OpenRun | None]) -> None:
        """Write what a chunk holds of a run; a run that is refused is None in ``under_way`` until it ends."""
        first = rows.run_id not in under_way
        try:
            if first:
                under_way[rows.run_id] = None
                under_way[rows.run_id] = self._begin_run(rows)
            run = under_way[rows.run_id]
            if run is not None:
                self._writer.go_on(run, rows, first=first)
                self._progress.advance("points", len(rows.metrics))
                self._progress.advance("artifacts", len(rows.artifacts))
        except (ItemError, ServerError) as exc:
            self._refuse(rows.run_id, exc, under_way)

    def _begin_run(self, rows: RunRows) -> OpenRun:
        if rows.info is None:
            message = f"there are rows of run {rows.run_id} but not the run itself"
            raise ItemError(message)
        experiment_id = rows.info["experiment_id"]
        bound = self._experiments.bind(experiment_id)
        source = SourceOfRun(
            experiment_name=self._names[experiment_id],
            export=self._export_of(rows.info),
            model_name=lambda name: self._context.model_name(name, experiment_id),
        )
        plan = self._planner.plan(
            rows, rows.info, parent=self._parent(rows, bound), datasets=self._datasets, source=source
        )
        return self._writer.begin(plan, bound, rows)

    def _parent(self, rows: RunRows, bound: Bound) -> str | None:
        """Return the target's id of the parent; in a dry run the source's, where it would be created."""
        parent = rows.tags.get(PARENT)
        if not parent:
            return None
        runs = self._receipt.ids(RUN)
        if parent in runs:
            return runs[parent] or parent
        return self._index.lookup(bound, parent)

    def _end(self, run_id: str, under_way: dict[str, OpenRun | None]) -> None:
        run = under_way.get(run_id)
        try:
            if run is not None:
                self._writer.end(run)
        except (ItemError, ServerError) as exc:
            self._refuse(run_id, exc, under_way)
        under_way.pop(run_id, None)

    def _refuse(self, run_id: str, exc: ItemError | ServerError, under_way: dict[str, OpenRun | None]) -> None:
        if not is_about_one_item(exc):
            raise exc
        under_way[run_id] = None
        self._receipt.refuse("run", run_id, "", refusals.RUN_REFUSED, str(exc))
        self._receipt.done("refused")
