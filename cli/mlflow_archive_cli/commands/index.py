"""``mlflow-archive index``: what a delta must know of its base, in one small file."""

from __future__ import annotations

from pathlib import Path

import click

from mlflow_archive.api.deltas import index
from mlflow_archive.format.location import ArchivePlace
from mlflow_archive_cli.opening import base_option
from mlflow_archive_cli.output import output
from mlflow_archive_cli.parameters import ARCHIVE, LOCAL_PATH
from mlflow_archive_cli.printable import size
from mlflow_archive_cli.selecting import json_option
from mlflow_archive_cli.table import pairs


@click.command("index")
@click.argument("archive", type=ARCHIVE)
@base_option
@click.option("-o", "--output", "target", type=LOCAL_PATH, required=True, metavar="INDEX", help="The file to write.")
@json_option
def command(archive: ArchivePlace, base: ArchivePlace | None, target: Path, as_json: bool) -> None:
    """Write INDEX, a small file with which a delta of ARCHIVE can be made where ARCHIVE is not.

    It is for `export --base INDEX`: at most 70 bytes a run, logged model or trace, and 36 a blob. It holds the
    manifest, ids, times and names of experiments, and digests of all else.

    \b
    Example:
      mlflow-archive index backup.mlfa -o backup.index
    """
    report = index(archive, target, base=base)
    facts = {
        "archive id": report.archive_id,
        "runs, logged models, traces": report.known,
        "blobs": report.blobs,
        "size": size(report.size),
    }
    output(as_json=as_json).document(report.to_json(), [pairs(f"{target} is the index of {archive}", facts)])
