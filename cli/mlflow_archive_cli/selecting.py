"""Options that several verbs share: what of a source is meant, and how much is told meanwhile."""

from __future__ import annotations

import click

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
