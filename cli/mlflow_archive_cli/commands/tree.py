"""``mlflow-archive tree``: the artifacts of an object as a tree."""

from __future__ import annotations

from pathlib import Path

import click

from mlflow_archive.errors import SelectionError
from mlflow_archive.library.artifact_tree import ArtifactFile, artifacts_of
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.reader.objects import find_object
from mlflow_archive_cli.escaping import one_line
from mlflow_archive_cli.parameters import ARCHIVE
from mlflow_archive_cli.printable import size


@click.command("tree")
@click.argument("archive", type=ARCHIVE)
@click.argument("name")
@click.argument("path", default="")
def command(archive: Path, name: str, path: str) -> None:
    """Draw the artifacts that ARCHIVE holds of the object NAME, or those below PATH, as a tree.

    NAME is the id, the start of it, or the name of a run, logged model, trace or registered model.

    \b
    Example:
      mlflow-archive tree backup.mlfa 4b1f0c model
    """
    with open_archive(archive) as opened:
        kind, owner_id = find_object(opened, name)
        folder = artifacts_of(opened, kind, owner_id)
        try:
            entry = folder[path] if path else folder
        except KeyError as error:
            raise SelectionError(f"{kind.replace('_', ' ')} {owner_id}: {error.args[0]}") from None
    click.echo(one_line("/".join(part for part in (owner_id, path.strip("/")) if part)))
    if isinstance(entry, ArtifactFile):
        click.echo(f"  {size(entry.size)}")
        return
    files = list(entry.files())
    for depth, below, file in entry.tree():
        end = "/" if file is None else f"  {size(file.size)}"
        click.echo(f"{'  ' * (depth + 1)}{one_line(below)}{end}")
    click.echo(f"{len(files)} files, {size(sum(file.size for file in files))}")
