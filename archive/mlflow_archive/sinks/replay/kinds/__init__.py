"""Writers of all kinds but experiments and runs, one module a family, in the order in which their objects come."""

from __future__ import annotations

from mlflow_archive.sinks.replay.kinds.evaluation_datasets import EvaluationDatasetWriter
from mlflow_archive.sinks.replay.kinds.traces import TraceWriter
from mlflow_archive.sinks.replay.kinds.writer import KindWriter, ReplayContext

__all__ = ["KindWriter", "ReplayContext", "kind_writers"]


def kind_writers(context: ReplayContext) -> tuple[KindWriter, ...]:
    """Return a writer for each family of kinds that a replay brings in."""
    return (TraceWriter(context), EvaluationDatasetWriter(context))
