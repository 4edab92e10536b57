"""Writers of all kinds but experiments and runs, one module a family."""

from __future__ import annotations

from mlflow_archive.sinks.replay.kinds.evaluation_datasets import EvaluationDatasetWriter
from mlflow_archive.sinks.replay.kinds.gateway import GatewayWriter
from mlflow_archive.sinks.replay.kinds.gateway_names import GatewayNames
from mlflow_archive.sinks.replay.kinds.guards import BudgetWriter, GuardrailWriter
from mlflow_archive.sinks.replay.kinds.issues import IssueWriter
from mlflow_archive.sinks.replay.kinds.logged_model_index import LoggedModelIndex
from mlflow_archive.sinks.replay.kinds.logged_models import LoggedModelWriter
from mlflow_archive.sinks.replay.kinds.mcp import McpServerWriter
from mlflow_archive.sinks.replay.kinds.registry import RegistryWriter
from mlflow_archive.sinks.replay.kinds.review import LabelSchemaWriter, ReviewQueueWriter
from mlflow_archive.sinks.replay.kinds.scorers import ScorerWriter
from mlflow_archive.sinks.replay.kinds.traces import TraceWriter
from mlflow_archive.sinks.replay.kinds.webhooks import WebhookWriter
from mlflow_archive.sinks.replay.kinds.writer import KindWriter, ReplayContext

__all__ = ["KindWriter", "ReplayContext", "kind_writers"]


def kind_writers(context: ReplayContext) -> tuple[KindWriter, ...]:
    """Return a writer for each family of kinds that a replay brings in, in the order in which they finish.

    Traces are linked to prompts, so the registry comes before them. Logged models come last: those that are deleted at
    the source are deleted when nothing refers to them any more.
    """
    names = GatewayNames()
    models = LoggedModelIndex(context.api, context.receipt)
    return (
        RegistryWriter(context, models),
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
        WebhookWriter(context),
        LoggedModelWriter(context, models),
    )
