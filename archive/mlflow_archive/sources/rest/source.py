"""The REST source: everything a tracking server holds, as shards and chunks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final

from mlflow_archive.errors import SelectionError
from mlflow_archive.flow.chunk import Chunk, Gap, Known, Shard
from mlflow_archive.flow.report import Progress, Quiet
from mlflow_archive.flow.source import SourceFacts
from mlflow_archive.http.server import probe
from mlflow_archive.http.session import TrackingSession
from mlflow_archive.kinds import (
    AFTER_RUNS,
    BUDGET_POLICY,
    DEFAULT_WORKSPACE,
    EVALUATION_DATASET,
    GATEWAY_ENDPOINT,
    GATEWAY_SECRET,
    GUARDRAIL,
    ISSUE,
    LABEL_SCHEMA,
    LOGGED_MODEL,
    MCP_SERVER,
    MODEL_DEFINITION,
    REGISTERED_MODEL,
    REVIEW_QUEUE,
    RUN,
    SCORER,
    TRACE,
    WEBHOOK,
)
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.rest.artifacts import Artifacts
from mlflow_archive.sources.rest.cells import Json, Row
from mlflow_archive.sources.rest.logged_models import plan_logged_models
from mlflow_archive.sources.rest.objects.evaluation import (
    plan_datasets,
    plan_hidden_scorers,
    plan_issues,
    plan_scorers,
)
from mlflow_archive.sources.rest.objects.gateway import (
    plan_budgets,
    plan_endpoints,
    plan_guardrails,
    plan_model_definitions,
    plan_secrets,
)
from mlflow_archive.sources.rest.objects.mcp import plan_mcp_servers
from mlflow_archive.sources.rest.objects.review import plan_label_schemas, plan_review_queues
from mlflow_archive.sources.rest.paging import all_experiments
from mlflow_archive.sources.rest.registry.registry import plan_registry, stand_on
from mlflow_archive.sources.rest.registry.webhooks import plan_webhooks
from mlflow_archive.sources.rest.runs.records import experiment_tables
from mlflow_archive.sources.rest.runs.runs import Runs, check_filter
from mlflow_archive.sources.rest.runs.selected_runs import experiments_of, named_runs
from mlflow_archive.sources.rest.scope import Batch, Scope, chunk_of
from mlflow_archive.sources.rest.traces.traces import check_trace_filter, plan_traces
from mlflow_archive.sources.rest.workspaces import Workspaces, all_workspaces, has_workspaces

_EXPERIMENTS: Final = 1000
_SHOWN: Final = 5

PLANS: Final[Mapping[str, tuple[Callable[[Scope], Iterator[Batch]], ...]]] = MappingProxyType(
    {
        LOGGED_MODEL: (plan_logged_models,),
        TRACE: (plan_traces,),
        REGISTERED_MODEL: (plan_registry,),
        WEBHOOK: (plan_webhooks,),
        EVALUATION_DATASET: (plan_datasets,),
        SCORER: (plan_scorers, plan_hidden_scorers),
        LABEL_SCHEMA: (plan_label_schemas,),
        REVIEW_QUEUE: (plan_review_queues,),
        ISSUE: (plan_issues,),
        GATEWAY_SECRET: (plan_secrets,),
        MODEL_DEFINITION: (plan_model_definitions,),
        GATEWAY_ENDPOINT: (plan_endpoints,),
        GUARDRAIL: (plan_guardrails,),
        BUDGET_POLICY: (plan_budgets,),
        MCP_SERVER: (plan_mcp_servers,),
    }
)
"""How each kind that comes after runs is planned, in one or more stages."""


class RestSource:
    """A tracking server as a :class:`mlflow_archive.flow.source.Source`; owns the session and closes it.

    Of a server with workspaces all are read, or the one that MLFLOW_WORKSPACE names. ``artifact_map`` holds (from, to)
    prefixes of artifact URIs, for artifacts that lie elsewhere now. Large files are held in ``folder`` while they are
    on their way, by default where temporary files go.
    """

    def __init__(
        self,
        session: TrackingSession,
        *,
        artifact_map: Sequence[tuple[str, str]] = (),
        progress: Progress | None = None,
        folder: Path | None = None,
    ) -> None:
        self._session = session
        self._progress: Progress = progress or Quiet()
        self._artifacts = Artifacts(session, artifact_map, folder)
        self._version: str | None = None

    def facts(self) -> SourceFacts:
        """Say which server this is; raise ServerError where it is none or refuses us."""
        self._version = probe(self._session)
        return SourceFacts(kind="rest", uri=self._session.uri, mlflow_version=self._version)

    def plan(self, selection: Selection, progress: Progress) -> Iterator[Shard]:
        """Yield workspaces, experiments, a shard for each page of runs, then all other kinds, as the plan goes on."""
        if selection.runs and selection.filter_string:
            raise SelectionError("runs are named by id, so there is nothing to filter; leave out --filter or --run")
        self._artifacts.check()
        spaces, scopes = self._scopes(selection)
        self._find_experiments(scopes, selection)
        if selection.models:
            stand_on(scopes)
        runs = {id(scope): Runs(scope) for scope in scopes}
        named = named_runs(scopes, runs)
        if selection.filter_string and scopes[0].experiments:
            check_filter(runs[id(scopes[0])].pagers()[0], selection.filter_string)
        if selection.wants_kind(TRACE):
            for scope in scopes:
                check_trace_filter(scope)
        carried = {id(scope): _carried_experiments(scope, named.get(id(scope))) for scope in scopes}
        used = {scope.workspace for scope in scopes if carried[id(scope)] or (scope.standing and scope.standing.names)}
        if spaces is not None:
            rows = [row for row in spaces.rows if scopes[0].everything or row["name"] in used]
            batch = Batch(name="workspaces", read=partial(_read_workspaces, rows, spaces.lost))
            yield Shard(name=batch.name, payload=batch)
        yield from _shards(1, (batch for some in carried.values() for batch in _experiments(some)))
        if selection.wants_kind(RUN) or selection.wants_kind(TRACE) or scopes[0].only_of_runs:
            weigh = selection.wants_kind(RUN)
            number = 0
            for scope in scopes:
                reader = runs[id(scope)]
                for part in reader.parts(named.get(id(scope))):
                    weight = len(part.runs) if weigh else 0
                    progress.expect("runs", weight)
                    batch = Batch(name=f"runs-{number:05d}", read=partial(reader.read, part))
                    yield Shard(name=batch.name, stage=2, weight=weight, payload=batch)
                    number += 1
        plans = [plan for kind in AFTER_RUNS if selection.wants_kind(kind) for plan in PLANS[kind]]
        for stage, plan in enumerate(plans, start=3):
            yield from _shards(stage, (batch for scope in scopes for batch in plan(scope)))

    def read(self, shard: Shard, known: Known) -> Iterator[Chunk]:
        """Yield the chunks of a shard of this source's own plan."""
        batch = shard.payload
        if not isinstance(batch, Batch):
            message = f"shard {shard.name} is of another source"
            raise TypeError(message)
        yield from batch.read(known)

    def close(self) -> None:
        """Close the session."""
        self._session.close()

    def _scopes(self, selection: Selection) -> tuple[Workspaces | None, list[Scope]]:
        """Return the workspaces, None where there are none, and a scope for each."""
        number = re.match(r"(\d+)\.(\d+)", self._version or "")
        version = (int(number[1]), int(number[2])) if number else (0, 0)

        def scope(session: TrackingSession, workspace: str) -> Scope:
            artifacts = self._artifacts.within(session)
            return Scope(session, selection, artifacts, self._progress, workspace=workspace, version=version)

        if not has_workspaces(self._session):
            return None, [scope(self._session, DEFAULT_WORKSPACE)]
        spaces = all_workspaces(self._session, only=self._session.workspace)
        return spaces, [scope(self._session.in_workspace(row["name"]), row["name"]) for row in spaces.rows]

    def _find_experiments(self, scopes: Sequence[Scope], selection: Selection) -> None:
        """Put the selected experiments into each scope. Raises SelectionError."""
        found: dict[int, list[Json]] = {}
        for scope in scopes:
            found[id(scope)] = list(all_experiments(scope.session, deleted=selection.deleted))
            scope.all_experiments = [str(raw["experiment_id"]) for raw in found[id(scope)]]
        names = [_name(raw) for rows in found.values() for raw in rows]
        if unmatched := selection.unmatched_experiments(names):
            some = ", ".join(repr(name) for _, name in names[:_SHOWN]) or "no experiment"
            hidden = "" if selection.deleted else "; deleted ones are left out"
            raise SelectionError(
                f"{self._session.uri} has no experiment {', '.join(map(repr, unmatched))}; it has {some}"
                f"{' and others' if len(names) > _SHOWN else ''}{hidden}"
            )
        for scope in scopes:
            scope.experiments = [raw for raw in found[id(scope)] if selection.matches_experiment(*_name(raw))]


def _name(experiment: Json) -> tuple[str, str]:
    return str(experiment["experiment_id"]), str(experiment.get("name", ""))


def _carried_experiments(scope: Scope, named: Sequence[Json] | None) -> list[Json]:
    """Return the experiments that come: only those of some runs and their models where these are named."""
    if named is None:
        return scope.experiments
    used = experiments_of(scope, named)
    return [raw for raw in scope.experiments if str(raw["experiment_id"]) in used]


def _experiments(wanted: Sequence[Json]) -> Iterator[Batch]:
    for at in range(0, len(wanted), _EXPERIMENTS):
        some = wanted[at : at + _EXPERIMENTS]
        yield Batch(name=f"experiments-{at // _EXPERIMENTS:05d}", read=partial(_read_experiments, some))


def _read_workspaces(rows: Sequence[Row], lost: Sequence[Gap], known: Known) -> Iterator[Chunk]:
    yield chunk_of({"workspaces": rows}, lost)


def _read_experiments(experiments: Sequence[Json], known: Known) -> Iterator[Chunk]:
    yield Chunk(tables=experiment_tables(experiments))


def _shards(stage: int, batches: Iterator[Batch]) -> Iterator[Shard]:
    for batch in batches:
        yield Shard(name=batch.name, stage=stage, payload=batch)
