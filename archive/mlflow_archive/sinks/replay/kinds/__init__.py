"""Writers of all kinds but experiments and runs, one module a family, in the order in which their objects come."""

from __future__ import annotations

from mlflow_archive.sinks.replay.kinds.evaluation_datasets import EvaluationDatasetWriter
from mlflow_archive.sinks.replay.kinds.gateway import GatewayWriter
from mlflow_archive.sinks.replay.kinds.gateway_names import GatewayNames
from mlflow_archive.sinks.replay.kinds.guards import BudgetWriter, GuardrailWriter
from mlflow_archive.sinks.replay.kinds.issues import IssueWriter
from mlflow_archive.sinks.replay.kinds.mcp import McpServerWriter
from mlflow_archive.sinks.replay.kinds.review import LabelSchemaWriter, ReviewQueueWriter
from mlflow_archive.sinks.replay.kinds.scorers import ScorerWriter
from mlflow_archive.sinks.replay.kinds.traces import TraceWriter
from mlflow_archive.sinks.replay.kinds.writer import KindWriter, ReplayContext

__all__ = ["KindWriter", "ReplayContext", "kind_writers"]


def kind_writers(context: ReplayContext) -> tuple[KindWriter, ...]:
    """Return a writer for each family of kinds that a replay brings in."""
    names = GatewayNames()
    return (
        IssueWriter(context),
        TraceWriter(context),
        EvaluationDatasetWriter(context),
        GatewayWriter(context, names),
        ScorerWriter(context, names),
        GuardrailWriter(context, names),
        BudgetWriter(context, names),
        LabelSchemaWriter(context),
        ReviewQueueWriter(context),
        McpServerWriter(context),
    )
