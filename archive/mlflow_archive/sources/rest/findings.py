"""What the runs of a workspace tell about traces and logged models, which are read after them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from threading import Lock


@dataclass(slots=True)
class RunFindings:
    """What is learned from the runs of one workspace; the only thing that kinds hand on to each other. Thread-safe.

    All of it comes from runs, whose stage is done before that of any other kind but experiments begins (see ``Shard``):

    ===============  =============================================  ================================================
    field            filled while                                   used by
    ===============  =============================================  ================================================
    ``run_ids``      runs are planned, where a selection names      traces of runs; logged models of runs
                     runs, a filter, models or a time, or leaves
                     out deleted ones
    ``trace_runs``   runs are read (``TraceLinkSearch.look_for``)   traces: their links to runs
    ``model_ids``    runs are read                                  logged models: those of runs, and deleted ones,
                                                                    which no list shows
    ===============  =============================================  ================================================
    """

    run_ids: set[str] = field(default_factory=set)
    """The selected runs."""
    trace_runs: dict[str, set[str]] = field(default_factory=dict)
    """Trace id -> ids of the runs that it belongs to."""
    model_ids: set[str] = field(default_factory=set)
    """The logged models that runs name as inputs or outputs."""
    _lock: Lock = field(default_factory=Lock)

    def add_trace(self, trace_id: str, run_id: str) -> None:
        """Add a trace of a run."""
        with self._lock:
            self.trace_runs.setdefault(trace_id, set()).add(run_id)

    def add_models(self, model_ids: Iterable[str]) -> None:
        """Add logged models that a run names."""
        with self._lock:
            self.model_ids.update(model_ids)
