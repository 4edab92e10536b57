"""``mlflow-archive cat``: one artifact to stdout."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import click

from mlflow_archive.errors import SelectionError
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.reader.blobs import Blobs
from mlflow_archive.reader.details import find_run
from mlflow_archive.reader.listing import list_artifacts
from mlflow_archive_cli.parameters import ARCHIVE


@click.command("cat")
@click.argument("archive", type=ARCHIVE)
@click.argument("artifact", metavar="RUN/PATH")
def command(archive: Path, artifact: str) -> None:
    """Write the bytes of one artifact of ARCHIVE to stdout; RUN is an id, the start of one, or a name.

    \b
    Example:
      mlflow-archive cat backup.mlfa 4b1f0c/model/MLmodel
    """
    run, slash, path = artifact.partition("/")
    if not slash or not path:
        raise click.UsageError(f"{artifact!r} is not of the form RUN/PATH")
    with open_archive(archive) as opened:
        run_id = find_run(opened, run)
        rows = list_artifacts(opened, run_id, path)
        found = [row for row in rows if row["path"] == path]
        if not found:
            hint = (
                f"it is a folder; `mlflow-archive ls {archive} artifacts --run {run_id} {path}` lists it"
                if rows
                else ""
            )
            raise SelectionError(f"run {run_id} has no artifact {path!r}" + (f": {hint}" if hint else ""))
        with Blobs(opened).open(found[0]["digest"]) as stream:
            stdout = sys.stdout.buffer
            shutil.copyfileobj(stream, stdout, 1024 * 1024)
            stdout.flush()
