"""``mlflow-archive import``: from an archive into a tracking server or store."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click

from mlflow_archive.api.replaying import replay_archive
from mlflow_archive.flow.report import Report
from mlflow_archive.format.earlier import At
from mlflow_archive.format.location import ArchivePlace, without_password
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sinks.replay import ReplayOptions
from mlflow_archive_cli.escaping import one_line
from mlflow_archive_cli.naming import names_asked, naming_options
from mlflow_archive_cli.opening import at_option, base_option, opened_archive
from mlflow_archive_cli.output import TextOutput, list_gaps, warn
from mlflow_archive_cli.parameters import ARCHIVE, output_file
from mlflow_archive_cli.progress import watch
from mlflow_archive_cli.receipt import ReceiptFile
from mlflow_archive_cli.selecting import progress_option, quiet_option, selecting_options, what_is_named
from mlflow_archive_cli.table import pairs

_LISTED: Final = 20
_VARIABLE: Final = "MLFLOW_TRACKING_URI"
_FIRST: Final = ("experiments", "runs", "created", "updated", "skipped", "refused")


@click.command("import")
@click.argument("archive", type=ARCHIVE)
@base_option
@at_option
@click.option(
    "--to",
    "uri",
    metavar="URI",
    help="An http(s):// server, or a store such as sqlite:///mlflow.db that full MLflow opens in this process (needs "
    "mlflow-archive[server]). Without it, MLFLOW_TRACKING_URI is asked about on a terminal.",
)
@selecting_options
@naming_options
@click.option(
    "--workspace",
    metavar="NAME",
    envvar="MLFLOW_WORKSPACE",
    help="Put everything into this workspace of the server; by default each workspace gets one of its name.",
)
@click.option(
    "--merge-models",
    is_flag=True,
    help="Append versions to registered models and prompts that the target has otherwise: they take the next numbers.",
)
@click.option(
    "--move-aliases",
    is_flag=True,
    help="With --merge-models: set aliases that the target has on another version to the version imported.",
)
@click.option(
    "--user",
    type=click.Choice(["source", "importer"]),
    default="source",
    show_default=True,
    help="Whose name runs carry: that of the source, or yours.",
)
@click.option(
    "--no-source-tags",
    is_flag=True,
    help="Leave out the tags that say where runs come from. The identity tags mlflow_archive.source_… stay, by which "
    "a repeated import finds its objects.",
)
@click.option(
    "--acting-tags",
    is_flag=True,
    help="Set experiment tags on which a server may act, as schedules and retentions; else they are source tags only.",
)
@click.option(
    "--spans-as-files",
    is_flag=True,
    help="Write the spans of all traces as files: faster, but they cannot be searched in the target.",
)
@click.option(
    "--artifact-root", metavar="URI", help="Where a store without a server keeps the artifacts of new experiments."
)
@click.option("--jobs", type=click.IntRange(1, 64), default=4, show_default=True, help="How many threads write.")
@click.option("--dry-run", is_flag=True, help="Write nothing; say what would be created.")
@click.option(
    "--receipt",
    type=output_file,
    metavar="FILE",
    help="Write source and target ids, counts and refusals to this file, as JSON; every few seconds, and in any case "
    "when the import ends.",
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
    """Replay ARCHIVE into a tracking server or store.

    Runs and logged models get new ids and tags that say where they come from; all else is kept, version numbers of
    registered models and prompts, too, unless --merge-models appends them. Webhooks arrive switched off. Running it
    again changes nothing and completes what was interrupted. One thing that is refused does not stop the others; the
    exit code is 3 then.

    \b
    Example:
      mlflow-archive import backup.mlfa --to http://127.0.0.1:5000 --experiment-prefix old/
    """
    selection = Selection(**what_is_named(options))
    uri = _target(options["uri"])
    with opened_archive(archive, base, at) as opened:
        facts = {"archive": str(archive), "archive_id": opened.id}
        with ReceiptFile(receipt, facts) as file, watch("import", quiet=quiet, form=options["form"]) as progress:
            done = replay_archive(opened, uri, replay_asked(options), selection, progress=progress, begun=file.begin)
            file.end(done)
    if not quiet:
        verb = "would import" if options["dry_run"] else "imported"
        tell_what_came(f"{verb} {archive} to {done.details['target']}", done)
    if not done.complete:
        list_gaps(done.gaps, len(done.gaps), sentence="things could not be imported", option="--receipt")
        ctx.exit(3)


def replay_asked(options: Mapping[str, Any]) -> ReplayOptions:
    """Return how to import, as the options of an import say it."""
    return ReplayOptions(
        source_tags=not options["no_source_tags"],
        **names_asked(options),
        merge_models=options["merge_models"],
        move_aliases=options["move_aliases"],
        user=options["user"],
        spans_in_table=not options["spans_as_files"],
        acting_tags=options["acting_tags"],
        dry_run=options["dry_run"],
        artifact_root=options["artifact_root"],
        workspace=options["workspace"],
        jobs=options["jobs"],
    )


def _target(uri: str | None) -> str:
    """Return where to import to: what was named, or what is in the environment if the user says yes to it."""
    if uri is not None:
        return uri
    named = os.environ.get(_VARIABLE)
    if named and sys.stdin.isatty() and sys.stderr.isatty():
        shown = one_line(without_password(named))
        if click.confirm(f"No --to is given, and {_VARIABLE} is {shown}. Import into that?", err=True):
            return named
    raise click.UsageError(f"nothing is imported: say where to, --to URI ({_VARIABLE} alone is not enough)")


def tell_what_came(title: str, done: Report) -> None:
    """Show what an import has done, and warn of what arrived otherwise."""
    details = done.details
    counts = {name: done.counts[name] for name in _FIRST if name in done.counts} | done.counts
    counts = {name.replace("_", " "): count for name, count in counts.items()}
    TextOutput().document({}, [pairs(title, counts)])
    shortened, rewritten, notes = details["shortened"], details["rewritten"], details["notes"]
    if isinstance(shortened, list) and shortened:
        warn(f"{len(shortened)} texts were too long for the target and are shortened; see --receipt")
    if isinstance(rewritten, list) and rewritten:
        warn(f"{len(rewritten)} texts and metrics have values that the target cannot hold and changes; see --receipt")
    for note in notes[:_LISTED] if isinstance(notes, list) else []:
        warn(str(note))
