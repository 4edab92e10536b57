"""Options that several verbs share: what of a source is meant, and how much is shown meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import click

from mlflow_archive.kinds import KINDS
from mlflow_archive_cli.parameters import LOCAL_PATH

WORDS: Final = tuple(dict.fromkeys(kind.word for kind in KINDS.values() if kind.word))
"""What ``--only`` and ``--without`` name; prompts are in the registry."""

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
progress_option = click.option(
    "--progress",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    help="How progress is told on stderr: for people, or each second as a line of JSON.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
csv_option = click.option("--csv", "as_csv", is_flag=True, help="Answer in CSV.")
signers_option = click.option(
    "--signers",
    type=LOCAL_PATH,
    metavar="FILE",
    help="Check the signatures beside the archive against this list of allowed signers, as ssh-keygen takes it.",
)
tsa_ca_option = click.option(
    "--tsa-ca",
    type=LOCAL_PATH,
    metavar="FILE",
    help="Check time-stamps of signatures against these certificates of authorities (PEM), down to their roots.",
)

model_option = click.option(
    "--model",
    "models",
    metavar="PATTERN",
    multiple=True,
    help="Only registered models and prompts with this name, or whose name matches this glob, and the runs, logged "
    "models and experiments they stand on. Repeatable.",
)
only_option = click.option(
    "--only", type=click.Choice(WORDS), multiple=True, help="Only objects of this kind. Repeatable."
)
without_option = click.option(
    "--without", type=click.Choice(WORDS), multiple=True, help="Leave out objects of this kind. Repeatable."
)


def selected_kinds(only: Sequence[str], without: Sequence[str]) -> tuple[str, ...]:
    """Return the kinds that ``--only`` and ``--without`` leave, empty for all. Raises UsageError where none is left."""
    if not only and not without:
        return ()
    words = [word for word in WORDS if (not only or word in only) and word not in without]
    kinds_left = [kind.name for kind in KINDS.values() if kind.word in words]
    if not kinds_left:
        raise click.UsageError("--only and --without leave nothing to take")
    return tuple(kinds_left)
