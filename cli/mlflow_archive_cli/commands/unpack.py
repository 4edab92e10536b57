"""``mlflow-archive unpack``: volumes back into an archive."""

from __future__ import annotations

from pathlib import Path

import click

from mlflow_archive.api.packing import unpack
from mlflow_archive.packing.encryption import Passphrase
from mlflow_archive.packing.unpack import UnpackReport
from mlflow_archive_cli.output import TextOutput, warn
from mlflow_archive_cli.parameters import LOCAL_PATH
from mlflow_archive_cli.passphrases import ask, can_ask, passphrase_file_option, passphrase_in
from mlflow_archive_cli.progress import watch
from mlflow_archive_cli.selecting import progress_option, quiet_option
from mlflow_archive_cli.table import pairs


@click.command("unpack")
@click.argument("folder", metavar="DIR", type=LOCAL_PATH)
@click.option("-o", "--output", "target", type=LOCAL_PATH, required=True, metavar="FILE", help="The archive to write.")
@click.option(
    "--identity",
    "identities",
    type=LOCAL_PATH,
    metavar="FILE",
    multiple=True,
    help="A file with the private key: of age, or of SSH. Repeatable.",
)
@passphrase_file_option
@progress_option
@quiet_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    folder: Path,
    target: Path,
    identities: tuple[Path, ...],
    passphrase_file: Path | None,
    quiet: bool,
    form: str,
) -> None:
    """Put the volumes in DIR, which pack has written, together again to one archive, and verify it.

    What is missing, damaged, swapped or of another set is named, and mended where the parity allows, beside FILE: DIR
    is only read. A passphrase is asked for where the key needs one. FILE is there when all is done; interrupted, the
    same command goes on. Exit code 12: volumes are lost; 14: no key opens them; 3: signatures are lost.

    \b
    Example:
      mlflow-archive unpack volumes -o backup.mlfa
    """
    passphrase = _passphrase(passphrase_file)
    with watch("unpack", quiet=quiet, form=form) as progress:
        report = unpack(folder, target, identities=identities, passphrase=passphrase, progress=progress)
    if report.findings:
        warn("of the set, these were not as they were written:")
        for finding in report.findings:
            warn(f"  {finding.line}")
    if not quiet:
        _summarize(folder, report)
    if not report.complete:
        warn(f"signatures are lost: {', '.join(report.lost_signatures)}")
        ctx.exit(3)


def _passphrase(file: Path | None) -> str | Passphrase | None:
    if file is not None:
        return passphrase_in(file)
    return (lambda: ask(twice=False)) if can_ask() else None


def _summarize(folder: Path, report: UnpackReport) -> None:
    lines = {"archive id": report.archive_id}
    if mended := sum(finding.mended for finding in report.findings):
        lines["mended"] = str(mended)
    if report.signatures:
        lines["signatures"] = f"{report.signatures}, to be checked by verify --signers FILE"
    TextOutput().document({}, [pairs(f"unpacked {folder} to {report.archive}", lines)])
