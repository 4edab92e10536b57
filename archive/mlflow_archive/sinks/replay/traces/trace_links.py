"""Links of traces to runs and to prompt versions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from mlflow_archive.errors import ItemError, ServerError
from mlflow_archive.format import refusals
from mlflow_archive.kinds import REGISTERED_MODEL, TRACE, named_owner
from mlflow_archive.sinks.replay.context import ReplayContext
from mlflow_archive.sinks.replay.traces.trace_job import TraceJob
from mlflow_archive.sinks.replay.writing.waiting import Waiting

_PER_REQUEST: Final = 100
_TO_RUN: Final = "/api/2.0/mlflow/traces/link-to-run"
_TO_PROMPTS: Final = "/api/2.0/mlflow/traces/link-prompts"


@dataclass(frozen=True, slots=True, kw_only=True)
class _PromptLink:
    """``owner`` is how the archive refers to the prompt, ``name`` and ``version`` are the source's."""

    owner: str
    name: str
    version: str
    workspace: str | None


class TraceLinker:
    """Links traces; repeating that changes nothing. Usable by several threads."""

    def __init__(self, context: ReplayContext) -> None:
        self._context = context
        self._waiting = Waiting[tuple[str, str], _PromptLink]()

    def link(self, jobs: Iterable[TraceJob]) -> None:
        """Link traces to their runs, and take note of their prompts, which come later."""
        by_run: dict[str, list[tuple[str, str]]] = {}
        for job in jobs:
            ids = (job.rows.trace_id, job.plan.trace_id)
            for link in job.rows.links:
                if link["destination_type"] == "run":
                    run_id = self._run(link["destination_id"], job)
                    if run_id is not None:
                        by_run.setdefault(run_id, []).append(ids)
                elif link["destination_type"] == "prompt_version":
                    self._waiting.add(ids, self._prompt(link["destination_id"], job))
                else:
                    reason = f"MLflow's API links no trace to a {link['destination_type']}"
                    self._context.receipt.refuse(TRACE, ids[0], "", refusals.TRACE_LINK_REFUSED, reason)
        if self._context.options.dry_run:
            return
        for run_id, traces in by_run.items():
            for at in range(0, len(traces), _PER_REQUEST):
                self._link_run(run_id, traces[at : at + _PER_REQUEST])

    def _run(self, source_id: str, job: TraceJob) -> str | None:
        info = job.rows.info or {}
        run_id = self._context.run_id(source_id, info["experiment_id"])
        if run_id is None and not self._context.options.dry_run:
            self._context.receipt.changed("trace_links_without_run")
        return run_id

    def _prompt(self, destination: str, job: TraceJob) -> _PromptLink:
        info = job.rows.info or {}
        name, _, version = destination.rpartition("/")
        workspace = self._context.experiments.workspace(info["experiment_id"])
        return _PromptLink(owner=named_owner(name, workspace), name=name, version=version, workspace=workspace)

    def _link_run(self, run_id: str, traces: Sequence[tuple[str, str]]) -> None:
        body = {"run_id": run_id, "trace_ids": [target_id for _, target_id in traces]}
        try:
            self._context.api.post(_TO_RUN, body)
        except ServerError as exc:
            for source_id, _ in traces:
                self._refuse(source_id, f"run {run_id}", exc)
        else:
            self._context.receipt.count("trace_links", len(traces))

    def finish(self) -> None:
        """Link traces to prompt versions, which are all there now."""
        if self._context.options.dry_run:
            return
        for source_id, target_id in self._waiting.needs():
            links = self._waiting.pop((source_id, target_id))
            in_target = [self._version(link) for link in links]
            self._count_missing(links, in_target)
            versions = [version for version in in_target if version is not None]
            if not versions:
                continue
            try:
                self._context.api.post(_TO_PROMPTS, {"trace_id": target_id, "prompt_versions": versions})
            except ServerError as exc:
                self._refuse(source_id, ", ".join(f"{link.owner}/{link.version}" for link in links), exc)
            else:
                self._context.receipt.count("trace_links", len(versions))

    def _count_missing(self, links: Sequence[_PromptLink], in_target: Sequence[dict[str, str] | None]) -> None:
        prompts = self._context.receipt.ids(REGISTERED_MODEL)
        pairs = zip(links, in_target, strict=True)
        missing = sum(link.owner not in prompts or version is None for link, version in pairs)
        self._context.receipt.changed("trace_links_without_prompt", missing)

    def _version(self, link: _PromptLink) -> dict[str, str] | None:
        """Return a prompt version as the target calls it, None where it may be another one that has the number."""
        version = self._context.prompt_version(link.name, link.version, link.workspace)
        if version is None:
            return None
        return {"name": self._context.model_name(link.name, link.workspace), "version": version}

    def _refuse(self, source_id: str, path: str, exc: ItemError | ServerError) -> None:
        self._context.refuse(TRACE, source_id, refusals.TRACE_LINK_REFUSED, exc, path=path)
