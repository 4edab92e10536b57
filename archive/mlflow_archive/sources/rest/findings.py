"""What is learned from the runs of a workspace, and what a batch of another kind needs of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any


@dataclass(slots=True)
class RunFindings:
    """What is learned from the runs of one workspace; the only thing that kinds hand on to each findings. Thread-safe.

    All of it comes from runs, whose stage is done before that of any other kind but experiments begins (see ``Shard``):

    ===============  =============================================  ================================================
    field            filled while                                   used by
    ===============  =============================================  ================================================
    ``run_ids``      runs are planned, where a selection names      traces of runs; logged models of runs
                     runs, a filter, models or a time, or leaves
                     out deleted ones
    ``trace_runs``   runs are read (``TraceLinkSearch.look_for``)   traces: their links to runs
    ``prompts``      traces are planned                             traces: their links to prompts
    ``model_ids``    runs are read                                  logged models: those of runs, and deleted ones,
                                                                    which no list shows
    ===============  =============================================  ================================================
    """

    run_ids: set[str] = field(default_factory=set)
    """The selected runs."""
    trace_runs: dict[str, set[str]] = field(default_factory=dict)
    """Trace id -> ids of the runs that it belongs to."""
    prompts: dict[str, set[str]] = field(default_factory=dict)
    """Trace id -> the versions of prompts that it is linked to, as ``name/version``."""
    model_ids: set[str] = field(default_factory=set)
    """The logged models that runs name as inputs or outputs."""
    _lock: Lock = field(default_factory=Lock, compare=False, repr=False)

    def add_trace(self, trace_id: str, run_id: str) -> None:
        """Add a trace of a run."""
        with self._lock:
            self.trace_runs.setdefault(trace_id, set()).add(run_id)

    def add_models(self, model_ids: Iterable[str]) -> None:
        """Add logged models that a run names."""
        with self._lock:
            self.model_ids.update(model_ids)

    def add(self, findings: RunFindings) -> None:
        """Add what was found elsewhere."""
        with self._lock:
            self.run_ids |= findings.run_ids
            self.model_ids |= findings.model_ids
            for mine, theirs in ((self.trace_runs, findings.trace_runs), (self.prompts, findings.prompts)):
                for trace_id, links in theirs.items():
                    mine.setdefault(trace_id, set()).update(links)

    def of_traces(self, trace_ids: Iterable[object]) -> RunFindings:
        """Return what of them is about some traces."""
        ids = {str(trace_id) for trace_id in trace_ids}
        return RunFindings(
            trace_runs={trace_id: self.trace_runs[trace_id] for trace_id in ids & self.trace_runs.keys()},
            prompts={trace_id: self.prompts[trace_id] for trace_id in ids & self.prompts.keys()},
        )

    def __getstate__(self) -> tuple[Any, ...]:
        return self.run_ids, self.trace_runs, self.prompts, self.model_ids

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.run_ids, self.trace_runs, self.prompts, self.model_ids = state
        self._lock = Lock()


Needs = Callable[[RunFindings, Any], RunFindings]
"""A function of a module that says what a batch needs of the findings, by what it was request."""


def every_finding(findings: RunFindings, request: object) -> RunFindings:
    """The ``Needs`` of a batch that may ask for any of them."""
    return findings


def models_needed(findings: RunFindings, request: object) -> RunFindings:
    """The ``Needs`` of a batch for which ``Scope.wants_model`` is asked."""
    return RunFindings(run_ids=findings.run_ids, model_ids=findings.model_ids)
