"""Writers of all kinds but experiments and runs, one module a family."""

from __future__ import annotations

from mlflow_archive.sinks.replay.context import KindWriter, ReplayContext
from mlflow_archive.sinks.replay.logged_models.logged_model_index import LoggedModelIndex
from mlflow_archive.sinks.replay.logged_models.logged_models import LoggedModelWriter
from mlflow_archive.sinks.replay.objects.evaluation_datasets import EvaluationDatasetWriter
from mlflow_archive.sinks.replay.objects.gateway import GatewayWriter
from mlflow_archive.sinks.replay.objects.gateway_names import GatewayNames
from mlflow_archive.sinks.replay.objects.guards import BudgetWriter, GuardrailWriter
from mlflow_archive.sinks.replay.objects.issues import IssueWriter
from mlflow_archive.sinks.replay.objects.mcp import McpServerWriter
from mlflow_archive.sinks.replay.objects.review import LabelSchemaWriter, ReviewQueueWriter
from mlflow_archive.sinks.replay.objects.scorers import ScorerWriter
from mlflow_archive.sinks.replay.registry.registry import RegistryWriter
from mlflow_archive.sinks.replay.registry.webhooks import WebhookWriter
from mlflow_archive.sinks.replay.traces.traces import TraceWriter

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
