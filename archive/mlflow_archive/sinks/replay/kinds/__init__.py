"""Writers of all kinds but experiments and runs, one module a family."""

from __future__ import annotations

from mlflow_archive.sinks.replay.kinds.logged_model_index import LoggedModelIndex
from mlflow_archive.sinks.replay.kinds.logged_models import LoggedModelWriter
from mlflow_archive.sinks.replay.kinds.registry import RegistryWriter
from mlflow_archive.sinks.replay.kinds.webhooks import WebhookWriter
from mlflow_archive.sinks.replay.kinds.writer import KindWriter, ReplayContext

__all__ = ["KindWriter", "ReplayContext", "kind_writers"]


def kind_writers(context: ReplayContext) -> tuple[KindWriter, ...]:
    """Return a writer for each family of kinds that a replay brings in, in the order in which they finish.

    Logged models come last: those that are deleted at the source are deleted when nothing refers to them any more.
    """
    models = LoggedModelIndex(context.api, context.receipt)
    return (RegistryWriter(context, models), WebhookWriter(context), LoggedModelWriter(context, models))
