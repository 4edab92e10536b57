"""What of a server is needed by something else there: asked before anything is deleted."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from mlflow_archive.errors import ServerError
from mlflow_archive.flow.chunk import nothing_known
from mlflow_archive.selecting.chosen_versions import ChosenVersions
from mlflow_archive.selecting.model_versions import ModelDependencies
from mlflow_archive.selecting.registered import names_in_registry
from mlflow_archive.selecting.selection import ALL
from mlflow_archive.sources.rest.catalog import ServerCatalog
from mlflow_archive.sources.rest.cells import Json
from mlflow_archive.sources.rest.lists import pages
from mlflow_archive.sources.rest.objects.review import plan_review_queues
from mlflow_archive.sources.rest.scope import Scope
from mlflow_archive.sources.rest.traces.trace_links import trace_id_of
from mlflow_archive.sources.rest.traces.traces import PAGE, TraceSearch

_SOURCE_RUN: Final = "mlflow.assessment.sourceRunId"


def stood_on(scopes: Sequence[Scope]) -> ModelDependencies:
    """Return what the versions of all registered models stand on."""
    catalog = ServerCatalog(scopes)
    return catalog.dependencies(sorted(set(names_in_registry(catalog, ALL))), ChosenVersions())


def assessed_runs(scopes: Sequence[Scope], experiments: Collection[str] | None) -> set[str]:
    """Return the runs that assessments name as their source: of all traces, or of those in some experiments.

    Raises ServerError where some traces cannot be listed, as nobody knows what theirs name.
    """
    run_ids: set[str] = set()
    for scope in scopes:
        _choose(scope, experiments)
        for trace in _traces(scope):
            run_ids.update(_sources(trace))
    return run_ids


def queued_traces(scopes: Sequence[Scope], experiments: Collection[str] | None) -> set[str]:
    """Return the traces that review queues of some experiments have, of all where it is None.

    Raises ServerError where some queues cannot be read.
    """
    trace_ids: set[str] = set()
    for scope in scopes:
        _choose(scope, experiments)
        for batch in plan_review_queues(scope):
            for chunk in batch.read(scope, batch.request, nothing_known):
                if "gaps" in chunk.tables:
                    reason = chunk.tables["gaps"]["reason"][0].as_py()
                    raise ServerError(
                        f"{scope.session.uri} cannot list its review queues ({reason}), so that nobody knows which "
                        "traces they have; nothing was deleted"
                    )
                if "review_queue_items" in chunk.tables:
                    trace_ids.update(chunk.tables["review_queue_items"]["item_id"].to_pylist())
    return trace_ids


def _choose(scope: Scope, experiments: Collection[str] | None) -> None:
    """Have a scope look at some experiments, at all where it is None."""
    scope.experiments = [
        raw for raw in scope.all_experiments if experiments is None or raw["experiment_id"] in experiments
    ]


def _traces(scope: Scope) -> Iterator[Json]:
    search = TraceSearch.of(scope)
    if search is None or not search.newer:
        return  # MLflow 2 has no assessments
    for ids in scope.groups():
        for page in pages(search.ask(ids, filtered=False), trace_id_of, size=PAGE):
            if page.losses:
                raise ServerError(
                    f"{scope.session.uri} cannot list its traces ({page.losses[0].reason}), so that nobody knows which "
                    "runs their assessments come from; nothing was deleted"
                )
            yield from page.rows


def _sources(trace: Json) -> Iterator[str]:
    for assessment in trace.get("assessments") or ():
        metadata = assessment.get("metadata") if isinstance(assessment, Mapping) else None
        if isinstance(metadata, Mapping) and metadata.get(_SOURCE_RUN):
            yield str(metadata[_SOURCE_RUN])
