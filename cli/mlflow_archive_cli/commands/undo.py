"""``mlflow-archive undo``: take back what a receipt says was done."""

from __future__ import annotations

from pathlib import Path

import click

from mlflow_archive.api.undoing import undo
from mlflow_archive.format.location import ArchivePlace
from mlflow_archive_cli.commands.retire import tell_what_stays
from mlflow_archive_cli.output import list_gaps, output
from mlflow_archive_cli.parameters import ARCHIVE, LOCAL_PATH, output_file
from mlflow_archive_cli.progress import watch
from mlflow_archive_cli.selecting import json_option, progress_option, quiet_option
from mlflow_archive_cli.table import pairs


@click.command("undo")
@click.argument("done", metavar="RECEIPT", type=LOCAL_PATH)
@click.option(
    "--to",
    "uri",
    metavar="URI",
    help="The server or database of RECEIPT, which holds no passwords; by default its URI as it stands there. What was "
    "retired at a server comes back at its database, too.",
)
@click.option(
    "--archive", type=ARCHIVE, metavar="ARCHIVE", help="The archive that was imported, where it lies elsewhere now."
)
@click.option(
    "--yes", is_flag=True, help="Of an import: delete. Without it nothing is, and the numbers say what would."
)
@click.option(
    "--receipt",
    type=output_file,
    metavar="FILE",
    help="Of an import: write what becomes of each object to this file, as JSON, by which the undo can be undone.",
)
@json_option
@progress_option
@quiet_option
@click.pass_context
def command(  # noqa: PLR0913 - click gives each option by its name
    ctx: click.Context,
    /,
    done: Path,
    uri: str | None,
    archive: ArchivePlace | None,
    yes: bool,
    receipt: Path | None,
    as_json: bool,
    form: str,
    quiet: bool,
) -> None:
    """Take back what RECEIPT says was done: by a retirement, or by an import.

    What `retire` has deleted comes back at once; what is not there any more, as somebody has purged it, is named. Of
    `import` what it made and nobody has changed since is deleted: runs, logged models and experiments softly, traces,
    registered models, prompts, versions, evaluation datasets and webhooks for good. Exit code 3: something is left.

    \b
    Example:
      mlflow-archive undo retired.json
      mlflow-archive undo imported.json --receipt undone.json --yes
    """
    if yes and receipt is None:
        raise click.UsageError("--yes deletes, so what went must be written down: give --receipt FILE")
    with watch("undo", quiet=quiet, form=form) as progress:
        report = undo(done, uri, archive=archive, receipt=receipt, yes=yes, progress=progress)
    if not quiet or as_json:
        counts = {name.replace("_", " "): count for name, count in report.counts.items()}
        verb = "would undo" if report.details["state"] == "planned" else "undid"
        output(as_json=as_json).document(report.details, [pairs(f"{verb} {done}", counts)])
    if report.details["state"] != "brought back":
        tell_what_stays(report)
    elif not report.complete:
        list_gaps(report.gaps, len(report.gaps), sentence="objects did not come back", option="--json")
    if not report.complete:
        ctx.exit(3)
