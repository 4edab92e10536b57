"""``mlflow-archive restore``: from an archive into a backend database, with every id kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mlflow_archive.api.restoring import restore_archive
from mlflow_archive.format.earlier import At
from mlflow_archive.format.location import ArchivePlace
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sinks.restore import RestoreOptions, RestoreRefusedError
from mlflow_archive_cli.opening import at_option, base_option, opened_archive
from mlflow_archive_cli.output import TextOutput, list_gaps
from mlflow_archive_cli.parameters import ARCHIVE, output_file
from mlflow_archive_cli.progress import watch
from mlflow_archive_cli.receipt import ReceiptFile
from mlflow_archive_cli.selecting import experiment_option, progress_option, quiet_option, run_option
from mlflow_archive_cli.table import pairs


@click.command("restore")
@click.argument("archive", type=ARCHIVE)
@base_option
@at_option
@click.option(
    "--to",
    "uri",
    metavar="URI",
    required=True,
    help="A backend database: sqlite:///PATH, postgresql://USER:PASSWORD@HOST/NAME or mysql://…. A SQLite file need "
    "not be there; an empty database gets the schema of the installed MLflow.",
)
@click.option(
    "--artifact-root",
    metavar="DIR_OR_URL",
    help="Where the artifacts are written and the locations in the database point to from now on: a folder, s3://…, "
    "or mlflow-artifacts:/ together with --artifacts-destination.",
)
@click.option(
    "--artifacts-destination",
    metavar="DIR_OR_URL",
    help="The folder or URL behind an mlflow-artifacts: root, the same word as in `mlflow server`.",
)
@click.option(
    "--keep-artifact-uris",
    is_flag=True,
    help="Write no artifacts and leave their locations as they are: they still lie there.",
)
@experiment_option
@run_option
@click.option("--trace", "traces", metavar="ID", multiple=True, help="Only the trace with this id. Repeatable.")
@click.option("--merge", is_flag=True, help="Add to a database that holds data what is missing there.")
@click.option("--jobs", type=click.IntRange(1, 64), default=2, show_default=True, help="How many threads work.")
@click.option("--dry-run", is_flag=True, help="Write nothing; say what would be restored, or what stands against it.")
@click.option(
    "--receipt",
    type=output_file,
    metavar="FILE",
    help="Write counts, and every conflict, to this file, as JSON; in any case.",
)
@progress_option
@quiet_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    archive: ArchivePlace,
    base: ArchivePlace | None,
    at: At | None,
    receipt: Path | None,
    quiet: bool,
    **options: Any,
) -> None:
    """Put ARCHIVE into a backend database as it was: same ids, same times, same version numbers.

    Everything is checked before anything is written. A conflict of ids, or a value that the database cannot hold, is
    named and the database stays as it is. An error half-way leaves it as it was, too.

    \b
    Example:
      mlflow-archive restore backup.mlfa --to sqlite:///mlflow.db --artifact-root ./mlartifacts
    """
    if (options["artifact_root"] is None) == (not options["keep_artifact_uris"]):
        message = "give either --artifact-root DIR_OR_URL or --keep-artifact-uris"
        raise click.UsageError(message)
    manner = RestoreOptions(
        artifact_root=options["artifact_root"],
        artifacts_destination=options["artifacts_destination"],
        merge=options["merge"],
        dry_run=options["dry_run"],
        jobs=options["jobs"],
    )
    selection = Selection(experiments=options["experiments"], runs=options["runs"], traces=options["traces"])
    with opened_archive(archive, base, at) as opened:
        facts = {"archive": str(archive), "archive_id": opened.id, "dry_run": options["dry_run"]}
        with ReceiptFile(receipt, facts) as file:
            try:
                progress = watch("restore", quiet=quiet, form=options["form"])
                done = restore_archive(opened, options["uri"], manner, selection, progress=progress)
            except RestoreRefusedError as error:
                file.add(obstacles=[obstacle.to_json() for obstacle in error.obstacles])
                raise
            file.add(refusals=[{name: getattr(gap, name) for name in gap.__slots__} for gap in done.gaps])
            file.end(done)
    if not quiet:
        verb = "would restore" if options["dry_run"] else "restored"
        counts = {name.replace("_", " "): count for name, count in done.counts.items() if count}
        TextOutput().document({}, [pairs(f"{verb} {archive} to {done.details['target']}", counts)])
    if not done.complete:
        list_gaps(done.gaps, len(done.gaps), sentence="things could not be restored", option="--receipt")
        ctx.exit(3)
