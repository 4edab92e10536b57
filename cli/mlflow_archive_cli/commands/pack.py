"""``mlflow-archive pack``: an archive for the road."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mlflow_archive.api.packing import pack
from mlflow_archive.packing.pack import PackOptions, PackReport
from mlflow_archive_cli.output import TextOutput
from mlflow_archive_cli.parameters import LOCAL_PATH, size_bytes
from mlflow_archive_cli.passphrases import ask, can_ask, passphrase_file_option, passphrase_in
from mlflow_archive_cli.printable import size
from mlflow_archive_cli.progress import watch
from mlflow_archive_cli.selecting import progress_option, quiet_option
from mlflow_archive_cli.table import pairs


def percent(text: str) -> float:
    """Read a share such as ``10%``."""
    try:
        return float(text.strip().removesuffix("%"))
    except ValueError:
        raise click.BadParameter(f"{text!r} is no share such as 10%") from None


@click.command("pack")
@click.argument("archive", type=LOCAL_PATH)
@click.option("--to", "target", type=LOCAL_PATH, required=True, metavar="DIR", help="A folder that is new or empty.")
@click.option(
    "--recipient",
    "recipients",
    metavar="KEY",
    multiple=True,
    help="Encrypt for this public key: age1…, 'ssh-ed25519 …', or a file with one a line. Repeatable.",
)
@click.option("--passphrase", is_flag=True, help="Encrypt with a passphrase, which is asked for.")
@passphrase_file_option
@click.option(
    "--volume-size",
    type=size_bytes,
    metavar="SIZE",
    help="No file is larger than this (4000MB, 650MiB, bytes); FAT disks hold files below 4 GiB.",
)
@click.option(
    "--parity",
    type=percent,
    metavar="SHARE",
    help="Write as much more, such as 10%, from which as much can be mended that is missing or damaged.",
)
@progress_option
@quiet_option
def command(*, archive: Path, target: Path, passphrase: bool, quiet: bool, form: str, **options: Any) -> None:
    """Pack ARCHIVE, either form, into the folder DIR for the road: encrypted, in volumes, with parity.

    Its own bytes and its id stay what they are. Signatures beside it come along, and a README.txt says how to undo all
    of it with sha256sum, par2, cat and age. Without a key nothing is encrypted. Interrupted, the same command begins
    anew.

    \b
    Example:
      mlflow-archive pack backup.mlfa --to volumes --volume-size 4000MB --parity 10%
    """
    manner = PackOptions(
        recipients=options["recipients"],
        passphrase=_passphrase(passphrase, options["passphrase_file"]),
        volume_size=options["volume_size"],
        parity_percent=options["parity"],
    )
    with watch("pack", quiet=quiet, form=form) as progress:
        report = pack(archive, target, options=manner, progress=progress)
    if not quiet:
        _summarize(archive, report)


def _passphrase(asked_for: bool, file: Path | None) -> str | None:
    if file is not None:
        return passphrase_in(file)
    if asked_for and not can_ask():
        raise click.UsageError("--passphrase asks on a terminal, and there is none: use --passphrase-file FILE")
    return ask(twice=True) if asked_for else None


def _summarize(archive: Path, report: PackReport) -> None:
    record = report.record
    parity = [file for file in report.files if file.name.endswith(".par2")]
    lines = {
        "set": record.base,
        "archive id": record.archive_id,
        "encrypted": "yes, by age" if record.encrypted else "no",
        "volumes": f"{len(record.volumes)} ({size(record.size)})",
    }
    if parity:
        lines["files of parity"] = f"{len(parity)} ({size(sum(file.size for file in parity))})"
    if report.signatures:
        lines["signatures"] = str(report.signatures)
    TextOutput().document({}, [pairs(f"packed {archive} into {report.folder}", lines)])
