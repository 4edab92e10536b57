"""Options that several verbs share: what of a source is meant, and how much is told meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import click

from mlflow_archive.kinds import (
    BUDGET_POLICY,
    EVALUATION_DATASET,
    GATEWAY_ENDPOINT,
    GATEWAY_SECRET,
    GUARDRAIL,
    ISSUE,
    LABEL_SCHEMA,
    LOGGED_MODEL,
    MCP_SERVER,
    MODEL_DEFINITION,
    REGISTERED_MODEL,
    REVIEW_QUEUE,
    RUN,
    SCORER,
    TRACE,
    WEBHOOK,
)

KINDS: Final = {
    "runs": (RUN,),
    "logged-models": (LOGGED_MODEL,),
    "traces": (TRACE,),
    "registry": (REGISTERED_MODEL,),
    "evaluation-datasets": (EVALUATION_DATASET,),
    "scorers": (SCORER,),
    "issues": (ISSUE,),
    "label-schemas": (LABEL_SCHEMA,),
    "review-queues": (REVIEW_QUEUE,),
    "webhooks": (WEBHOOK,),
    "gateway": (GATEWAY_SECRET, MODEL_DEFINITION, GATEWAY_ENDPOINT, GUARDRAIL, BUDGET_POLICY),
    "mcp-servers": (MCP_SERVER,),
}
"""What ``--only`` and ``--without`` name, and the kinds of the archive behind it; prompts are in the registry."""

experiment_option = click.option(
    "--experiment",
    "experiments",
    metavar="PATTERN",
    multiple=True,
    help="Only experiments with this id or name, or whose name matches this glob. Repeatable.",
)
run_option = click.option("--run", "runs", metavar="ID", multiple=True, help="Only the run with this id. Repeatable.")
quiet_option = click.option(
    "-q", "--quiet", is_flag=True, help="Show no progress and no summary, only what went wrong."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
csv_option = click.option("--csv", "as_csv", is_flag=True, help="Answer in CSV.")

model_option = click.option(
    "--model",
    "models",
    metavar="PATTERN",
    multiple=True,
    help="Only registered models and prompts with this name, or whose name matches this glob, and the runs, logged "
    "models and experiments they stand on. Repeatable.",
)
only_option = click.option(
    "--only", type=click.Choice(list(KINDS)), multiple=True, help="Only objects of this kind. Repeatable."
)
without_option = click.option(
    "--without", type=click.Choice(list(KINDS)), multiple=True, help="Leave out objects of this kind. Repeatable."
)


def selected_kinds(only: Sequence[str], without: Sequence[str]) -> tuple[str, ...]:
    """Return the kinds that ``--only`` and ``--without`` leave, empty for all. Raises UsageError where none is left."""
    if not only and not without:
        return ()
    kinds_left = [
        kind for name, kinds in KINDS.items() if (not only or name in only) and name not in without for kind in kinds
    ]
    if not kinds_left:
        raise click.UsageError("--only and --without leave nothing to take")
    return tuple(kinds_left)
