"""The writers of all kinds that a replay brings in."""

from __future__ import annotations

from mlflow_archive.flow.report import Progress
from mlflow_archive.sinks.replay.context import ReplayContext
from mlflow_archive.sinks.replay.logged_models.logged_models import LoggedModelWriter
from mlflow_archive.sinks.replay.objects.evaluation_datasets import EvaluationDatasetWriter
from mlflow_archive.sinks.replay.objects.gateway import DefinitionWriter, EndpointWriter, SecretWriter
from mlflow_archive.sinks.replay.objects.gateway_names import GatewayNames
from mlflow_archive.sinks.replay.objects.guards import BudgetWriter, GuardrailWriter
from mlflow_archive.sinks.replay.objects.issues import IssueWriter
from mlflow_archive.sinks.replay.objects.mcp import McpServerWriter
from mlflow_archive.sinks.replay.objects.review import LabelSchemaWriter, ReviewQueueWriter
from mlflow_archive.sinks.replay.objects.scorers import ScorerWriter
from mlflow_archive.sinks.replay.objects.skills import SkillWriter
from mlflow_archive.sinks.replay.registry.registry import RegistryWriter
from mlflow_archive.sinks.replay.registry.webhooks import WebhookWriter
from mlflow_archive.sinks.replay.runs.runs import RunWriter
from mlflow_archive.sinks.replay.traces.traces import TraceWriter
from mlflow_archive.sinks.replay.writing.kind_writer import KindWriter


def kind_writers(context: ReplayContext, progress: Progress) -> tuple[KindWriter, ...]:
    """Return a writer for each family of kinds, in the order in which they write and finish.

    Traces are linked to prompts, so the registry comes before them. Logged models come last: those that are deleted at
    the source are deleted when nothing refers to them any more.
    """
    names = GatewayNames(context)
    return (
        context.experiments,
        RunWriter(context, progress),
        RegistryWriter(context),
        IssueWriter(context),
        TraceWriter(context),
        EvaluationDatasetWriter(context),
        SecretWriter(context, names),
        DefinitionWriter(context, names),
        EndpointWriter(context, names),
        ScorerWriter(context, names),
        GuardrailWriter(context, names),
        BudgetWriter(context, names),
        LabelSchemaWriter(context),
        ReviewQueueWriter(context),
        McpServerWriter(context),
        SkillWriter(context),
        WebhookWriter(context),
        LoggedModelWriter(context),
    )
