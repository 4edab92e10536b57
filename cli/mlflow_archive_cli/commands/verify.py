"""``mlflow-archive verify``: is this archive what was committed?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from mlflow_archive.format.location import ArchivePlace, RemotePlace
from mlflow_archive.format.problems import Problem
from mlflow_archive.signing.folder import read_folder, signatures_folder
from mlflow_archive.signing.report import SignatureReport
from mlflow_archive.verification.checks import verify
from mlflow_archive.verification.report import Level, VerifyReport
from mlflow_archive_cli.escaping import one_line
from mlflow_archive_cli.opening import base_option
from mlflow_archive_cli.output import output
from mlflow_archive_cli.parameters import ARCHIVE
from mlflow_archive_cli.printable import size
from mlflow_archive_cli.progress import watch
from mlflow_archive_cli.selecting import (
    dask_option,
    json_option,
    processes_option,
    progress_option,
    signers_option,
    tsa_ca_option,
)
from mlflow_archive_cli.signatures import signed_by
from mlflow_archive_cli.table import Section

_LISTED: Final = 50
_DAMAGED: Final = 12
_NOT_ACCEPTED: Final = 14


@click.command("verify")
@click.argument("archive", type=ARCHIVE)
@base_option
@click.option(
    "--level",
    type=click.Choice([level.value for level in Level]),
    default=Level.FULL.value,
    show_default=True,
    help="quick: sizes of all members. stored: every byte. full: every row and artifact decoded too.",
)
@click.option("--jobs", type=click.IntRange(1, 64), default=2, show_default=True, help="How many threads read.")
@processes_option
@dask_option
@signers_option
@click.option(
    "--require-signature", is_flag=True, help="The newest export must have a signature that is accepted (--signers)."
)
@tsa_ca_option
@json_option
@progress_option
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@click.pass_context
def command(  # noqa: PLR0913 - click gives each option by its name
    ctx: click.Context,
    /,
    archive: ArchivePlace,
    base: ArchivePlace | None,
    level: str,
    jobs: int,
    processes: int | None,
    dask: str | None,
    signers: Path | None,
    require_signature: bool,
    tsa_ca: Path | None,
    as_json: bool,
    quiet: bool,
    form: str,
) -> None:
    """Check that ARCHIVE is what was committed, and with --signers who signed it; nothing in it is changed.

    Damage is named by runs and artifact paths. Exit code 0: nothing is wrong; 12: something is damaged; 14: it is
    sound, and a signature is not accepted, or missing with --require-signature.

    \b
    Example:
      mlflow-archive verify backup.mlfa --level full
      mlflow-archive verify backup.mlfa --signers allowed_signers --require-signature
    """
    with watch("verify", quiet=quiet, form=form) as progress:
        report = verify(
            archive,
            Level(level),
            jobs=jobs,
            processes=processes or 0,
            dask=dask,
            progress=progress,
            signers=signers,
            require_signature=require_signature,
            tsa_ca=tsa_ca,
            base=base,
        )
    output(as_json=as_json).document(report.to_json(), _sections(report, archive))
    if not report.ok:
        ctx.exit(_NOT_ACCEPTED if report.sound else _DAMAGED)


def _sections(report: VerifyReport, archive: ArchivePlace) -> Iterator[Section]:
    yield _lines("", list(map(_problem, report.problems)))
    losses = sorted(report.lost)
    yield _lines("lost:", [f"{item.kind} {item.id}{f', artifact {item.path}' if item.path else ''}" for item in losses])
    errors = sum(problem.severity == "error" for problem in report.problems)
    checked = ", ".join(size(n) if unit == "bytes" else f"{n} {unit}" for unit, n in report.checked.items())
    verdict = "sound" if report.sound else f"DAMAGED, {errors} {'error' if errors == 1 else 'errors'}"
    promise = report.promise if report.sound else f"Not true of this archive: {report.promise}"
    title = f"{report.level.value}: {verdict}" + (f" ({checked})" if checked else "")
    yield _lines("", [title, promise, *_of_base(report)])
    if report.signatures is not None:
        yield from _signature_sections(report.signatures)
    elif not isinstance(archive, RemotePlace):
        yield _lines("", list(_not_asked(signatures_folder(archive))))


def _not_asked(folder: Path) -> Iterator[str]:
    """Yield a line where signatures lie beside an archive that nobody asked about."""
    if folder.is_dir() and (number := len(read_folder(folder).signatures)):
        count = "1 signature, which was" if number == 1 else f"{number} signatures, which were"
        yield f"{folder.name} beside it has {count} not checked: give --signers FILE, a list of those whom you trust."


def _of_base(report: VerifyReport) -> Iterator[str]:
    if report.elsewhere is not None:
        place = report.elsewhere
        yield (
            f"It is a delta: {place.members} members ({size(place.bytes)}) lie in its base, archive {place.base}, and "
            "were not looked at; --base BASE checks both together."
        )


def _signature_sections(report: SignatureReport) -> Iterator[Section]:
    yield _lines("", list(map(_problem, report.problems)))
    yield _lines("", list(signed_by(report)))


def _problem(problem: Problem) -> str:
    return f"{problem.severity} {problem.code}: {f'{problem.member}: ' if problem.member else ''}{problem.message}"


def _lines(title: str, lines: list[str]) -> Section:
    rest = [f"and {len(lines) - _LISTED} more, see --json"] if len(lines) > _LISTED else []
    rows = [(one_line(line),) for line in [*lines[:_LISTED], *rest]]
    return Section(title=title, columns=("",), rows=rows, header=False)
