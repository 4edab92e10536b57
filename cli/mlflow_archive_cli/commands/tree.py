"""``mlflow-archive tree``: the artifacts of an object as a tree."""

from __future__ import annotations

import click

from mlflow_archive.api.artifact_tree import StoredArtifact, tree_at
from mlflow_archive.errors import SelectionError
from mlflow_archive.format.earlier import At
from mlflow_archive.format.location import ArchivePlace
from mlflow_archive.reader.inspection.artifact_owner import find_artifacts
from mlflow_archive_cli.escaping import one_line
from mlflow_archive_cli.opening import at_option, base_option, opened_archive
from mlflow_archive_cli.output import JsonOutput
from mlflow_archive_cli.parameters import ARCHIVE
from mlflow_archive_cli.printable import size
from mlflow_archive_cli.selecting import json_option

_COLUMNS = ("path", "size", "digest")


@click.command("tree")
@click.argument("archive", type=ARCHIVE)
@click.argument("name", metavar="NAME[/PATH]")
@click.argument("path", default="")
@base_option
@at_option
@json_option
def command(
    archive: ArchivePlace, base: ArchivePlace | None, at: At | None, name: str, path: str, as_json: bool
) -> None:
    """Draw the artifacts that ARCHIVE holds of the object NAME, or those below PATH, as a tree.

    NAME is the id, the start of it, or the name of a run, logged model, trace or registered model. With --json each
    line is one file with its path, size and SHA-256.

    \b
    Example:
      mlflow-archive tree backup.mlfa 4b1f0c model
    """
    with opened_archive(archive, base, at) as opened:
        place = find_artifacts(opened, "/".join(part for part in (name.rstrip("/"), path.strip("/")) if part))
        folder = tree_at(opened, place)
        try:
            entry = folder[place.path] if place.path else folder
        except KeyError as error:
            raise SelectionError(f"{place.owner}: {error.args[0]}") from None
    files = [entry] if isinstance(entry, StoredArtifact) else list(entry.files())
    if as_json:
        rows = [{column: getattr(file, column) for column in _COLUMNS} for file in files]
        JsonOutput().rows(_COLUMNS, rows)
        return
    click.echo(one_line("/".join(part for part in (place.owner_id, place.path) if part)))
    if isinstance(entry, StoredArtifact):
        click.echo(f"  {size(entry.size)}")
        return
    for depth, below, file in entry.tree():
        end = "/" if file is None else f"  {size(file.size)}"
        click.echo(f"{'  ' * (depth + 1)}{one_line(below)}{end}")
    click.echo(f"{len(files)} {'file' if len(files) == 1 else 'files'}, {size(sum(file.size for file in files))}")
