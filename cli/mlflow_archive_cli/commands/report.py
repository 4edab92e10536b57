"""``mlflow-archive report``: one HTML page about an archive, for an auditor."""

from __future__ import annotations

import platform
import time
from functools import partial
from pathlib import Path

import click

from mlflow_archive.api.report import ReportOptions, report_html
from mlflow_archive.format.earlier import At
from mlflow_archive.format.location import ArchivePlace
from mlflow_archive.reader.inspection.rows import Moment
from mlflow_archive.signing.checks import check_signatures
from mlflow_archive.signing.report import SignatureOptions
from mlflow_archive.verification.checks import verify
from mlflow_archive.verification.report import Level
from mlflow_archive_cli.opening import at_option, base_option, opened_archive
from mlflow_archive_cli.output import whole_file
from mlflow_archive_cli.parameters import ARCHIVE, output_file
from mlflow_archive_cli.progress import watch
from mlflow_archive_cli.selecting import quiet_option, signers_option, tsa_ca_option

_DAMAGED = 12
_NOT_ACCEPTED = 14


@click.command("report")
@click.argument("archive", type=ARCHIVE)
@base_option
@at_option
@click.option("-o", "--output", "file", type=output_file, metavar="FILE", required=True, help="The HTML file to write.")
@click.option(
    "--verify",
    "level",
    type=click.Choice([*(level.value for level in Level), "no"]),
    default=Level.FULL.value,
    show_default=True,
    help="How the archive is checked for the report.",
)
@click.option("--runs", type=click.IntRange(0), default=500, show_default=True, help="How many runs are shown in full.")
@signers_option
@tsa_ca_option
@quiet_option
@click.pass_context
def command(  # noqa: PLR0913 - click gives each option by its name
    ctx: click.Context,
    /,
    archive: ArchivePlace,
    base: ArchivePlace | None,
    at: At | None,
    file: Path,
    level: str,
    runs: int,
    signers: Path | None,
    tsa_ca: Path | None,
    quiet: bool,
) -> None:
    """Write one self-contained HTML page about ARCHIVE: what is inside, from where, and whether it is sound.

    It needs no network, runs no script, and shows experiments and runs with charts and images, models with their
    lineage, datasets, traces, scorers, what is missing, the signatures beside the archive, and the checksums. Exit code
    12 where the archive is damaged; the report says what is lost. 14 where a signature is not accepted (--signers).

    \b
    Example:
      mlflow-archive report backup.mlfa -o report.html
    """
    with watch("report", quiet=quiet) as progress:
        verified = None if level == "no" else verify(archive, Level(level), progress=progress, base=base)
        with opened_archive(archive, base) as newest:
            signatures = check_signatures(newest, SignatureOptions(signers=signers, tsa_ca=tsa_ca))
        with (
            opened_archive(archive, base, at) as opened,
            whole_file(file) as part,
            part.open("w", encoding="utf-8") as page,
        ):
            options = ReportOptions(most_runs=runs)
            advance = partial(progress.advance, "runs")
            for piece in report_html(
                opened, verified, options, checked=_checked(archive), signatures=signatures, advance=advance
            ):
                page.write(piece)
    if verified is not None and not verified.sound:
        ctx.exit(_DAMAGED)
    if signers is not None and not signatures.ok:
        ctx.exit(_NOT_ACCEPTED)


def _checked(archive: ArchivePlace) -> dict[str, str]:
    """Return when, where and on which machine the archive was looked at."""
    when = Moment(time.time_ns() // 1_000_000).plain()
    machine = platform.uname()
    return {
        "checked at (UTC)": when,
        "at": str(archive.resolve() if isinstance(archive, Path) else archive),
        "on": f"{machine.node} ({machine.system} {machine.machine})",
    }
