"""``mlflow-archive cat``: one artifact to stdout."""

from __future__ import annotations

import shutil
import sys

import click

from mlflow_archive.errors import SelectionError
from mlflow_archive.format.earlier import At
from mlflow_archive.format.location import ArchivePlace
from mlflow_archive.reader.blobs import Blobs
from mlflow_archive.reader.inspection.artifact_owner import artifacts_at, find_artifacts
from mlflow_archive_cli.opening import at_option, base_option, opened_archive
from mlflow_archive_cli.parameters import ARCHIVE


@click.command("cat")
@click.argument("archive", type=ARCHIVE)
@click.argument("artifact", metavar="NAME/PATH")
@base_option
@at_option
def command(archive: ArchivePlace, base: ArchivePlace | None, at: At | None, artifact: str) -> None:
    """Write the bytes of one artifact of ARCHIVE to stdout.

    NAME is the id, the start of it, or the name of a run, logged model, trace or registered model.

    \b
    Example:
      mlflow-archive cat backup.mlfa 4b1f0c/model/MLmodel
    """
    if not artifact.partition("/")[2]:
        raise click.UsageError(f"{artifact!r} is not of the form NAME/PATH")
    with opened_archive(archive, base, at) as opened:
        place = find_artifacts(opened, artifact)
        rows = artifacts_at(opened, place)
        matches = [row for row in rows if row["path"] == place.path]
        if not matches:
            hint = f": it is a folder; `mlflow-archive tree {archive} {artifact}` shows it" if rows else ""
            raise SelectionError(f"{place.owner} has no artifact {place.path!r}{hint}")
        with Blobs(opened).open(matches[0]["digest"]) as stream:
            stdout = sys.stdout.buffer
            shutil.copyfileobj(stream, stdout, 1024 * 1024)
            stdout.flush()
