"""``mlflow-archive retire``: delete at a source what an archive holds of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, cast

import click

from mlflow_archive.api.retiring import RetireOptions, retire
from mlflow_archive.flow.report import Report
from mlflow_archive.format.location import ArchivePlace
from mlflow_archive.selecting.selection import Selection
from mlflow_archive_cli.output import list_gaps, output, warn
from mlflow_archive_cli.parameters import ARCHIVE, output_file
from mlflow_archive_cli.progress import watch
from mlflow_archive_cli.selecting import (
    artifact_map_option,
    artifacts_destination_option,
    experiment_option,
    json_option,
    progress_option,
    quiet_option,
    run_option,
)
from mlflow_archive_cli.table import Section, listed, pairs

_SHOWN: Final = ("kind", "id", "name", "experiment")
_STAYS: Final = ("left", "held")


@click.command("retire")
@click.argument("archive", type=ARCHIVE)
@click.option(
    "--from",
    "uri",
    metavar="URI",
    required=True,
    help="Where they are deleted: http(s)://… of a server, or a backend database, sqlite:///PATH, postgresql://… or "
    "mysql://….",
)
@click.option(
    "--older-than",
    metavar="AGE",
    help="Only runs that ended, and logged models that were made, so long ago: 12h, 90d, 6w, 18mo, 10y.",
)
@experiment_option
@run_option
@click.option(
    "--filter", "filter_string", metavar="FILTER", help="Only runs that match this filter in MLflow's search syntax."
)
@click.option(
    "--purge",
    is_flag=True,
    help="Delete traces for good, and at a database all else, rows and files, once it is deleted; `restore` brings it "
    "back.",
)
@click.option("--with-versions", is_flag=True, help="Also what a version of a registered model stands on.")
@artifact_map_option
@artifacts_destination_option
@click.option("--yes", is_flag=True, help="Delete. Without it nothing is, and the list is what would go.")
@click.option(
    "--receipt",
    type=output_file,
    metavar="FILE",
    help="Write what would go, and with --yes what becomes of each, to this file, as JSON; --yes deletes the list that "
    "is there, and goes on where it was interrupted.",
)
@click.option("--jobs", type=click.IntRange(1, 64), default=2, show_default=True, help="How many threads verify.")
@json_option
@progress_option
@quiet_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    archive: ArchivePlace,
    uri: str,
    yes: bool,
    receipt: Path | None,
    quiet: bool,
    **options: Any,
) -> None:
    """Delete at a source the runs and logged models that ARCHIVE holds as they are there now.

    ARCHIVE is verified first, and each object is read again, to the last byte, before its delete and behind it. What
    has changed stays, and so does what a registered model's version stands on or what has the tag mlflow_archive.hold,
    itself or its experiment. It is MLflow's own delete, which `undo` takes back: of logged models over a server at
    its database. Exit code 3: something was left that no rule holds.

    \b
    Example:
      mlflow-archive retire backup.mlfa --from http://127.0.0.1:5000 --older-than 18mo --receipt retired.json
      mlflow-archive retire backup.mlfa --from http://127.0.0.1:5000 --older-than 18mo --receipt retired.json --yes
    """
    if yes and receipt is None:
        raise click.UsageError("--yes deletes, so what went must be written down: give --receipt FILE")
    selection = Selection(
        experiments=options["experiments"], runs=options["runs"], filter_string=options["filter_string"]
    )
    manner = RetireOptions(
        older_than=options["older_than"],
        with_versions=options["with_versions"],
        purge=options["purge"],
        artifact_map=options["artifact_map"],
        artifacts_destination=options["artifacts_destination"],
        jobs=options["jobs"],
    )
    with watch("retire", quiet=quiet, form=options["form"]) as progress:
        done = retire(archive, uri, options=manner, selection=selection, receipt=receipt, yes=yes, progress=progress)
    if not quiet or options["as_json"]:
        output(as_json=options["as_json"]).document(done.details, _sections(done, archive, uri, yes=yes))
    tell_what_stays(done)
    if not done.complete:
        ctx.exit(3)


def _sections(done: Report, archive: ArchivePlace, uri: str, *, yes: bool) -> Iterator[Section]:
    going = [entry for entry in _objects(done) if entry["state"] not in _STAYS]
    verb = "retired" if yes else "would retire"
    counts = Counter(entry["kind"].replace("_", " ") + "s" for entry in going)
    yield pairs(f"{verb} from {done.details['source']} what {archive} holds", counts or {"objects": 0})
    if not yes:
        yield listed(_SHOWN, [[str(entry.get(name, "")) for name in _SHOWN] for entry in going], (), whole=True)


def tell_what_stays(done: Report) -> None:
    """Say on stderr what was left, how much is held by a rule, and how many traces stay."""
    held_for = Counter(entry["reason"] for entry in _objects(done) if entry.get("reason") and not entry.get("code"))
    for reason, number in held_for.most_common():
        warn(f"{number} {'is' if number == 1 else 'are'} held: {reason}")
    if number := cast("int", done.details.get("traces_that_stay", 0)):
        warn(f"{number} {'trace stays' if number == 1 else 'traces stay'}: only --purge deletes traces, for good")
    if number := cast("int", done.details.get("not_purged", 0)):
        warn(
            f"{number} {'object is' if number == 1 else 'objects are'} deleted and not purged: MLflow's API purges "
            "traces only; --purge at the database of the server, or mlflow gc, does the rest"
        )
    if not done.complete:
        list_gaps(done.gaps, len(done.gaps), sentence="objects were left", option="--receipt")


def _objects(done: Report) -> list[dict[str, str]]:
    return cast("list[dict[str, str]]", done.details["objects"])
