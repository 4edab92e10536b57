"""Where in the target each workspace of the archive went, and what the objects in it must be there."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mlflow_archive.api.proof.left_out import LeftOut
from mlflow_archive.api.proof.logged_models import expected_logged_models
from mlflow_archive.api.proof.objects import ExpectedObjects
from mlflow_archive.api.proof.planning import RowsByTable, Share, Sides, planning_context
from mlflow_archive.api.proof.registry import expected_registered_models
from mlflow_archive.api.proof.runs import ExpectedRuns, expected_experiments
from mlflow_archive.api.proof.traces import ExpectedTraces
from mlflow_archive.flow.chunk import Chunk
from mlflow_archive.flow.report import Quiet
from mlflow_archive.kinds import (
    DATASET,
    DEFAULT_WORKSPACE,
    EXPERIMENT,
    LOGGED_MODEL,
    REGISTERED_MODEL,
    RUN,
    TABLES,
    TRACE,
    WORKSPACE,
)
from mlflow_archive.sinks.replay.context import ReplayContext
from mlflow_archive.sinks.replay.locate import facts_by_export, only_workspace
from mlflow_archive.sinks.replay.options import ReplayOptions
from mlflow_archive.sinks.replay.places.routing import Router
from mlflow_archive.sinks.replay.runs.runs import RunWriter
from mlflow_archive.sinks.replay.traces.traces import TraceWriter
from mlflow_archive.sinks.replay.writing.receipt import Receipt


class Place:
    """What the objects of one workspace of the archive must be in the target."""

    def __init__(self, context: ReplayContext, workspace: str) -> None:
        self.context, self.workspace = context, workspace
        runs = ExpectedRuns(RunWriter(context, Quiet()))
        self._families: dict[str, Callable[[Share], RowsByTable]] = {
            EXPERIMENT: expected_experiments,
            DATASET: runs.datasets,
            RUN: runs.rows,
            LOGGED_MODEL: expected_logged_models,
            REGISTERED_MODEL: expected_registered_models,
            TRACE: ExpectedTraces(TraceWriter(context)).rows,
            **ExpectedObjects(context).families,
        }

    def expected(self, part: Share) -> RowsByTable:
        """Return the rows that the target must hold, of the tables that are compared."""
        return self._families[part.kind](part)


class Places:
    """The places of all workspaces."""

    def __init__(self, sides: Sides, options: ReplayOptions, receipt: Receipt) -> None:
        self._sides, self._options, self._receipt = sides, options, receipt
        self._facts = facts_by_export(sides.archive)
        self._only = only_workspace(sides.archive)
        self._names = set(sides.target.table("workspaces", columns=["name"])["name"].to_pylist())
        self._router = Router()
        keeps_apart = bool(self._names - {DEFAULT_WORKSPACE}) and options.workspace is None
        self._left_out = LeftOut(sides.archive, workspaces=keeps_apart)
        self._places: dict[str, Place] = {}

    def split(self, kind: str, chunk: Chunk) -> Iterator[Share]:
        """Yield the objects of a kind that a chunk holds, by workspace."""
        names = [name for name, table in TABLES.items() if table.entity == kind]
        if kind == WORKSPACE:
            yield self._part(kind, chunk, DEFAULT_WORKSPACE)
            return
        own = Chunk(
            tables={name: chunk.tables[name] for name in names if name in chunk.tables}, artifacts=chunk.artifacts
        )
        for workspace, part in self._router.split(own):
            yield self._part(kind, part, workspace)

    def _part(self, kind: str, chunk: Chunk, workspace: str) -> Share:
        place = self._place(workspace)
        return Share(
            kind=kind,
            chunk=chunk,
            context=place.context,
            sides=self._sides,
            workspace=place.workspace,
            source_workspace=workspace,
            left_out=self._left_out,
        )

    def expected(self, part: Share) -> RowsByTable:
        """Return the rows that the target must hold of a part."""
        return self._place(part.source_workspace).expected(part)

    def _place(self, workspace: str) -> Place:
        if workspace not in self._places:
            name, prefix = self._target_of(workspace)
            options = self._options.behind(prefix)
            context = planning_context(self._sides.target, options, self._receipt, self._facts, self._sides.ids)
            self._places[workspace] = Place(context, name)
        return self._places[workspace]

    def _target_of(self, workspace: str) -> tuple[str, str]:
        """Return the workspace of the target, and what is put before names there (``places.workspaces``)."""
        prefix = "" if workspace in (DEFAULT_WORKSPACE, self._only) else workspace
        workspace_of_all = self._options.workspace
        if workspace_of_all is not None:
            return (workspace_of_all if workspace_of_all in self._names else DEFAULT_WORKSPACE), prefix
        if workspace == DEFAULT_WORKSPACE:
            return DEFAULT_WORKSPACE, ""
        return (workspace, "") if workspace in self._names else (DEFAULT_WORKSPACE, prefix)
