"""``mlflow-archive join``: one archive of a base and deltas of it."""

from __future__ import annotations

from pathlib import Path

import click

from mlflow_archive.api.deltas import join
from mlflow_archive_cli.output import output
from mlflow_archive_cli.parameters import LOCAL_PATH
from mlflow_archive_cli.printable import size
from mlflow_archive_cli.progress import watch
from mlflow_archive_cli.selecting import json_option, progress_option
from mlflow_archive_cli.table import pairs


@click.command("join")
@click.argument("base", type=LOCAL_PATH)
@click.argument("deltas", type=LOCAL_PATH, nargs=-1, required=True, metavar="DELTA…")
@click.option("-o", "--output", "target", type=LOCAL_PATH, required=True, metavar="NEW", help="The archive to write.")
@json_option
@progress_option
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
def command(base: Path, deltas: tuple[Path, ...], target: Path, as_json: bool, quiet: bool, form: str) -> None:
    """Write one archive NEW from BASE and each DELTA of it, in their order; none of these is changed.

    Every member is copied as it is and held against its SHA-256. NEW is what exports with --append would have made of
    BASE, with the same archive id. A DELTA of another archive than those before it make is refused (exit code 2).

    \b
    Example:
      mlflow-archive join backup.mlfa week-1.mlfa -o all.mlfa
    """
    with watch("join", quiet=quiet, form=form) as progress:
        report = join(base, target, deltas=deltas, progress=progress)
    facts = {
        "archive id": report.archive_id,
        "exports": report.exports,
        "members": report.members,
        "size": size(report.bytes),
    }
    title = f"joined {len(deltas)} {'delta' if len(deltas) == 1 else 'deltas'} to {base} as {target}"
    output(as_json=as_json).document(report.to_json(), [pairs(title, facts)])
