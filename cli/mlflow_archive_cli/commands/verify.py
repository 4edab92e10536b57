"""``mlflow-archive verify``: is this archive what was committed?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from mlflow_archive.verification.checks import verify
from mlflow_archive.verification.report import Level, VerifyReport
from mlflow_archive_cli.escaping import one_line
from mlflow_archive_cli.output import output
from mlflow_archive_cli.parameters import ARCHIVE
from mlflow_archive_cli.printable import size
from mlflow_archive_cli.progress import watch
from mlflow_archive_cli.selecting import json_option, progress_option
from mlflow_archive_cli.table import Section

_LISTED: Final = 50
_DAMAGED: Final = 12


@click.command("verify")
@click.argument("archive", type=ARCHIVE)
@click.option(
    "--level",
    type=click.Choice([level.value for level in Level]),
    default=Level.FULL.value,
    show_default=True,
    help="quick: sizes of all members. stored: every byte. full: every row and artifact decoded too.",
)
@click.option("--jobs", type=click.IntRange(1, 64), default=2, show_default=True, help="How many threads read.")
@json_option
@progress_option
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@click.pass_context
def command(ctx: click.Context, /, archive: Path, level: str, jobs: int, as_json: bool, quiet: bool, form: str) -> None:
    """Check that ARCHIVE is what was committed; nothing in it is changed.

    Damage is named by runs and artifact paths. Exit code 0: nothing is wrong; 12: something is damaged.

    \b
    Example:
      mlflow-archive verify backup.mlfa --level full
    """
    with watch("verify", quiet=quiet, form=form) as progress:
        report = verify(archive, Level(level), jobs=jobs, progress=progress)
    output(as_json=as_json).document(report.to_json(), _sections(report))
    if not report.ok:
        ctx.exit(_DAMAGED)


def _sections(report: VerifyReport) -> Iterator[Section]:
    lines = [f"{p.severity} {p.code}: {f'{p.member}: ' if p.member else ''}{p.message}" for p in report.problems]
    yield _lines("", lines)
    losses = sorted(report.lost)
    yield _lines("lost:", [f"{item.kind} {item.id}{f', artifact {item.path}' if item.path else ''}" for item in losses])
    errors = sum(problem.severity == "error" for problem in report.problems)
    checked = ", ".join(size(n) if unit == "bytes" else f"{n} {unit}" for unit, n in report.checked.items())
    verdict = "sound" if report.ok else f"DAMAGED, {errors} {'error' if errors == 1 else 'errors'}"
    promise = report.promise if report.ok else f"Not true of this archive: {report.promise}"
    title = f"{report.level.value}: {verdict}" + (f" ({checked})" if checked else "")
    yield _lines("", [title, promise])


def _lines(title: str, lines: list[str]) -> Section:
    rest = [f"and {len(lines) - _LISTED} more, see --json"] if len(lines) > _LISTED else []
    rows = [(one_line(line),) for line in [*lines[:_LISTED], *rest]]
    return Section(title=title, columns=("",), rows=rows, header=False)
