"""``mlflow-archive extract``: artifacts into a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mlflow_archive.errors import SelectionError
from mlflow_archive.format.earlier import At
from mlflow_archive.format.location import ArchivePlace
from mlflow_archive.reader.archive import Archive
from mlflow_archive.reader.inspection.artifact_owner import artifacts_at, find_artifacts
from mlflow_archive.reader.inspection.extract import Item, extract
from mlflow_archive_cli.opening import at_option, base_option, opened_archive
from mlflow_archive_cli.output import warn
from mlflow_archive_cli.parameters import ARCHIVE, LOCAL_PATH
from mlflow_archive_cli.printable import size
from mlflow_archive_cli.progress import watch
from mlflow_archive_cli.selecting import progress_option, quiet_option


@click.command("extract")
@click.argument("archive", type=ARCHIVE)
@click.argument("names", metavar="NAME[/PATH]...", nargs=-1, required=True)
@base_option
@at_option
@click.option("--to", "target", type=LOCAL_PATH, required=True, metavar="DIR", help="The folder to write to.")
@click.option("--overwrite", is_flag=True, help="Replace files that are there with other content.")
@progress_option
@quiet_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    archive: ArchivePlace,
    base: ArchivePlace | None,
    at: At | None,
    names: tuple[str, ...],
    target: Path,
    **options: Any,
) -> None:
    """Write artifacts of ARCHIVE into the folder DIR: all of an object, or those at or below a PATH.

    NAME is the id, the start of it, or the name of a run, logged model, trace or registered model. With several
    objects, those of each go to a folder named by its id. Files that are there are kept, unless
    --overwrite. Nothing is written outside of DIR, whatever the archive says; what is refused is listed.

    \b
    Example:
      mlflow-archive extract backup.mlfa 4b1f0c/model --to restored
    """
    with (
        opened_archive(archive, base, at) as opened,
        watch("extract", quiet=options["quiet"], form=options["form"]) as progress,
    ):
        items = _items(opened, names)
        done = extract(opened, items, target, overwrite=options["overwrite"], progress=progress)
    if not options["quiet"]:
        unchanged = f"; there already: {len(done.equal)}" if done.equal else ""
        print(f"files written: {len(done.written)} ({size(done.size)}), to {target}{unchanged}")
    if done.refused:
        warn(f"{len(done.refused)} artifacts were not written:")
        for refused in done.refused:
            warn(f"  {refused.path}: {refused.reason}")
        ctx.exit(12 if any(refused.damaged for refused in done.refused) else 3)


def _items(archive: Archive, names: tuple[str, ...]) -> list[Item]:
    places = [find_artifacts(archive, text) for text in names]
    in_folders = len({(place.kind, place.owner_id) for place in places}) > 1
    items: dict[str, Item] = {}
    for place in places:
        rows = artifacts_at(archive, place)
        if place.path and not rows:
            raise SelectionError(f"{place.owner} has no artifact at or below {place.path!r}")
        for row in rows:
            name = f"{place.owner_id}/{row['path']}" if in_folders else row["path"]
            items[name] = Item(path=name, size=row["size"], digest=row["digest"])
    return list(items.values())
