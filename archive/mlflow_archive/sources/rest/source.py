"""The REST source: everything a tracking server holds, as shards and chunks.

``plan`` decides workspace by workspace what is selected (a ``Scope`` each), then has each kind plan its own batches.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final, cast

from mlflow_archive.flow.absences import absences
from mlflow_archive.flow.chunk import Chunk, Known, Shard
from mlflow_archive.flow.report import Progress, Quiet
from mlflow_archive.flow.source import SourceFacts
from mlflow_archive.http.server import probe
from mlflow_archive.http.session import TrackingSession
from mlflow_archive.http.tried import untried
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
    SKILL,
    TRACE,
    WEBHOOK,
    WORKSPACE,
)
from mlflow_archive.selecting.model_versions import ModelDependencies
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.reading.unknown_fields import Counts, UnknownFields
from mlflow_archive.sources.rest.artifacts import Artifacts
from mlflow_archive.sources.rest.catalog import select, select_again
from mlflow_archive.sources.rest.findings import RunFindings
from mlflow_archive.sources.rest.logged_models import plan_logged_models, read_model
from mlflow_archive.sources.rest.needed import assessed_runs, queued_traces, stood_on
from mlflow_archive.sources.rest.objects.evaluation import plan_datasets, plan_issues
from mlflow_archive.sources.rest.objects.gateway import (
    plan_budgets,
    plan_endpoints,
    plan_guardrails,
    plan_model_definitions,
    plan_secrets,
)
from mlflow_archive.sources.rest.objects.mcp import plan_mcp_servers
from mlflow_archive.sources.rest.objects.review import plan_label_schemas, plan_review_queues
from mlflow_archive.sources.rest.objects.scorers import plan_scorers
from mlflow_archive.sources.rest.objects.skills import plan_skills
from mlflow_archive.sources.rest.paging import all_experiments
from mlflow_archive.sources.rest.registry.registry import plan_registry
from mlflow_archive.sources.rest.registry.webhooks import plan_webhooks
from mlflow_archive.sources.rest.runs.paging import RunPage
from mlflow_archive.sources.rest.runs.records import read_experiments
from mlflow_archive.sources.rest.runs.runs import RunReader
from mlflow_archive.sources.rest.scope import Batch, Scope, ScopeFacts, chunk_of
from mlflow_archive.sources.rest.traces.trace_links import TraceLinkSearch
from mlflow_archive.sources.rest.traces.traces import plan_traces, read_trace
from mlflow_archive.sources.rest.workspaces import WorkspaceList, workspaces_of

_EXPERIMENTS: Final = 1000

PLANS: Final[Mapping[str, Callable[[Scope], Iterator[Batch]]]] = MappingProxyType(
    {
        LOGGED_MODEL: plan_logged_models,
        TRACE: plan_traces,
        REGISTERED_MODEL: plan_registry,
        WEBHOOK: plan_webhooks,
        EVALUATION_DATASET: plan_datasets,
        SCORER: plan_scorers,
        LABEL_SCHEMA: plan_label_schemas,
        REVIEW_QUEUE: plan_review_queues,
        ISSUE: plan_issues,
        GATEWAY_SECRET: plan_secrets,
        MODEL_DEFINITION: plan_model_definitions,
        GATEWAY_ENDPOINT: plan_endpoints,
        GUARDRAIL: plan_guardrails,
        BUDGET_POLICY: plan_budgets,
        MCP_SERVER: plan_mcp_servers,
        SKILL: plan_skills,
    }
)
"""How each kind that comes after runs is planned."""


Findings = list[tuple[str, RunFindings, Counts]]
"""By workspace: what runs tell of other kinds, and values in fields that are not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestPlan:
    """What others must know of a plan. ``divided`` says whether workspaces are read each on its own."""

    selection: Selection
    version: str | None
    divided: bool
    workspaces: tuple[ScopeFacts, ...]


class RestSource:
    """A tracking server as a :class:`mlflow_archive.flow.source.Source`; owns the session and closes it.

    Of a server with workspaces all are read, or the one that MLFLOW_WORKSPACE names. ``artifact_map`` holds (from, to)
    prefixes of artifact URIs, for artifacts that lie elsewhere now. While large files are on their way, they lie in
    ``folder``, by default where temporary files go.
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
        self._selection = Selection()
        self._divided = False
        """Whether each workspace is read with its name in every request."""
        self._scope_of: dict[str, Scope] = {}

    def facts(self) -> SourceFacts:
        """Return which server this is. Raises ServerError where it is not an MLflow server, or refuses us."""
        self._version = probe(self._session)
        if sentence := untried(self._version):
            self._progress.note(sentence)
        return SourceFacts(kind="rest", uri=self._session.uri, mlflow_version=self._version)

    def plan(self, selection: Selection, progress: Progress) -> Iterator[Shard]:
        """Yield workspaces, experiments, a shard for each page of runs, then all other kinds, as the plan goes on."""
        self._artifacts.check()
        workspaces, scopes = self._scopes(selection)
        self._scope_of = {scope.workspace: scope for scope in scopes}
        for scope in scopes:
            scope.experiments = scope.all_experiments = list(all_experiments(scope, deleted=selection.deleted))
        yield from absences(select(scopes, selection).missing)
        yield from _workspace_shards(workspaces, scopes)
        yield from _shards(1, scopes, _plan_experiments, progress)
        yield from _run_shards(scopes, progress)
        for stage, kind in enumerate(filter(selection.wants_kind, AFTER_RUNS), start=3):
            yield from _shards(stage, scopes, PLANS[kind], progress)
        yield scopes[0].unknown.shard(3 + len(AFTER_RUNS))

    def read(self, shard: Shard, known: Known) -> Iterator[Chunk]:
        """Yield the chunks of a shard of this source's own plan."""
        batch = shard.payload
        if not isinstance(batch, Batch):
            message = f"shard {shard.name} belongs to another source"
            raise TypeError(message)
        scope = self._scope_of[batch.workspace]
        if batch.findings is not None:
            scope.findings = batch.findings
        yield from batch.read(scope, batch.request, known)
        if batch.findings is not None:
            scope.findings = RunFindings()  # they are known where they came from

    @property
    def has_moment(self) -> bool:
        return False

    def lend(self, folder: Path | None = None) -> RestPlan:
        return RestPlan(
            selection=self._selection,
            version=self._version,
            divided=self._divided,
            workspaces=tuple(scope.lend() for scope in self._scope_of.values()),
        )

    def borrow(self, lent: object) -> None:
        plan = cast(RestPlan, lent)
        self._artifacts.check()
        self._selection, self._version, self._divided = plan.selection, plan.version, plan.divided
        self._scope_of.clear()
        for workspace in plan.workspaces:
            scope = self._scope(workspace.name, UnknownFields())
            scope.borrow(workspace)
            self._scope_of[workspace.name] = scope
        select_again(list(self._scope_of.values()), plan.selection)

    def ready(self, shard: Shard) -> Shard:
        batch = shard.payload
        if not isinstance(batch, Batch) or batch.needs is None:
            return shard
        findings = batch.needs(self._scope_of[batch.workspace].findings, batch.request)
        return replace(shard, payload=replace(batch, findings=findings, needs=None))

    def take_findings(self) -> Findings:
        scopes = self._scope_of.values()
        return [(scope.workspace, scope.take_findings(), scope.unknown.take()) for scope in scopes]

    def add_findings(self, findings: object) -> None:
        for workspace, findings_there, unknown in cast(Findings, findings):
            self._scope_of[workspace].findings.add(findings_there)
            self._scope_of[workspace].unknown.add_counts(unknown)

    def registered(self) -> ModelDependencies:
        """Return what the versions of all registered models stand on. Raises ServerError."""
        return stood_on(self._whole())

    def assessed_runs(self, experiments: Collection[str] | None) -> set[str]:
        """Return the runs that assessments of traces in some experiments, None for all, come from.

        Raises ServerError.
        """
        return assessed_runs(self._whole(), experiments)

    def queued_traces(self, experiments: Collection[str] | None) -> set[str]:
        """Return the traces that review queues of some experiments, None for all, have. Raises ServerError."""
        return queued_traces(self._whole(), experiments)

    def by_id(self, kind: str, object_id: str, workspace: str | None) -> Iterator[Chunk]:
        """Yield a logged model, deleted or not, or a trace without its links, as it is now; nothing if it is not there.

        ``workspace`` is None where the server does not divide. Raises ServerError.
        """
        self._selection, self._divided = Selection(), workspace is not None
        read = {LOGGED_MODEL: read_model, TRACE: read_trace}[kind]
        yield from read(self._scope(workspace or DEFAULT_WORKSPACE, UnknownFields()), object_id)

    def close(self) -> None:
        """Close the session, and those with servers beside it."""
        self._artifacts.close()
        self._session.close()

    def _whole(self) -> list[Scope]:
        """Return a scope for each workspace with all its experiments."""
        _, scopes = self._scopes(Selection())
        for scope in scopes:
            scope.experiments = scope.all_experiments = list(all_experiments(scope, deleted=True))
        return scopes

    def _scopes(self, selection: Selection) -> tuple[WorkspaceList | None, list[Scope]]:
        """Return the workspaces, None where there are none, and a scope for each."""
        self._selection, unknown = selection, UnknownFields()
        workspaces = workspaces_of(self._session)
        for name, fields in workspaces.unread if workspaces is not None else ():
            unknown.add(WORKSPACE, name, fields)
        self._divided = workspaces is not None and workspaces.divided
        names = [row["name"] for row in workspaces.rows] if workspaces and self._divided else [DEFAULT_WORKSPACE]
        return workspaces, [self._scope(name, unknown) for name in names]

    def _scope(self, workspace: str, unknown: UnknownFields) -> Scope:
        number = re.match(r"(\d+)\.(\d+)", self._version or "")
        version = (int(number[1]), int(number[2])) if number else (0, 0)
        session = self._session.in_workspace(workspace) if self._divided else self._session
        artifacts = self._artifacts.within(session)
        scope = Scope(session, self._selection, artifacts, self._progress, workspace=workspace, version=version)
        scope.unknown = unknown
        return scope


def _workspace_shards(workspaces: WorkspaceList | None, scopes: Sequence[Scope]) -> Iterator[Shard]:
    """Yield the workspaces that come: all, or those of which something is carried."""
    if workspaces is not None:
        used = {s.workspace for s in scopes if _has_anything(s)}
        rows = [row for row in workspaces.rows if scopes[0].everything or row["name"] in used]
        yield Shard(name="workspaces", payload=chunk_of({"workspaces": rows}, workspaces.gaps))


def _has_anything(scope: Scope) -> bool:
    """Return whether a workspace has an experiment, a registered model or an evaluation dataset that comes."""
    in_registry = scope.dependencies is not None and scope.dependencies.names
    return bool(scope.carried_experiments or in_registry or scope.dataset_ids)


def _plan_experiments(scope: Scope) -> Iterator[Batch]:
    for at in range(0, len(scope.carried_experiments), _EXPERIMENTS):
        page = scope.carried_experiments[at : at + _EXPERIMENTS]
        yield Batch(name=f"experiments-{at // _EXPERIMENTS:05d}", read=read_experiments, request=page)


def _run_shards(scopes: Sequence[Scope], progress: Progress) -> Iterator[Shard]:
    """Yield the shards of runs, which are read for what they tell of other kinds even if no run is carried."""
    selection, number = scopes[0].selection, 0
    carried = selection.wants_kind(RUN)
    for_models = selection.wants_kind(LOGGED_MODEL) and not selection.only_named
    if not (carried or selection.wants_kind(TRACE) or for_models):
        return
    for scope in scopes:
        for page in scope.once(_run_reader).pages():
            weight, own = len(page.runs) if carried else 0, scope.workspace
            batch = Batch(name=f"runs-{number:05d}", read=_read_runs, request=page, weight=weight, workspace=own)
            yield batch.shard(2, progress)
            number += 1


def _run_reader(scope: Scope) -> RunReader:
    return RunReader(scope, TraceLinkSearch(scope).look_for)


def _read_runs(scope: Scope, page: RunPage, known: Known) -> Iterator[Chunk]:
    yield from scope.once(_run_reader).read(page, known)


def _shards(
    stage: int, scopes: Sequence[Scope], plan: Callable[[Scope], Iterator[Batch]], progress: Progress
) -> Iterator[Shard]:
    for scope in scopes:
        for batch in plan(scope):
            yield replace(batch, workspace=scope.workspace).shard(stage, progress)
