"""``mlflow-archive undo``: take back what a receipt says was done."""

from __future__ import annotations

from pathlib import Path

import click

from mlflow_archive.api.retiring import undo
from mlflow_archive_cli.commands.retire import tell_what_stays
from mlflow_archive_cli.output import output
from mlflow_archive_cli.parameters import LOCAL_PATH
from mlflow_archive_cli.progress import watch
from mlflow_archive_cli.selecting import json_option, progress_option, quiet_option
from mlflow_archive_cli.table import pairs


@click.command("undo")
@click.argument("receipt", type=LOCAL_PATH)
@click.option(
    "--to",
    "uri",
    metavar="URI",
    help="The server or database of the receipt, which holds no passwords; by default its URI as it stands there.",
)
@json_option
@progress_option
@quiet_option
@click.pass_context
def command(ctx: click.Context, /, receipt: Path, uri: str | None, as_json: bool, form: str, quiet: bool) -> None:
    """Bring back what RECEIPT, of `retire`, says was deleted.

    What is not there any more, as somebody has purged it, is named, and the exit code is 3.

    \b
    Example:
      mlflow-archive undo retired.json
    """
    with watch("undo", quiet=quiet, form=form) as progress:
        done = undo(receipt, uri, progress=progress)
    if not quiet or as_json:
        counts = {name.replace("_", " "): count for name, count in done.counts.items()}
        output(as_json=as_json).document(done.details, [pairs(f"undid {receipt}", counts)])
    tell_what_stays(done)
    if not done.complete:
        ctx.exit(3)
