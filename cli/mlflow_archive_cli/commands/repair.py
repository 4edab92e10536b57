"""``mlflow-archive repair``: a sound archive from a damaged one and other copies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click

from mlflow_archive.api.repairing import repair
from mlflow_archive.repairing.repair import RepairReport
from mlflow_archive_cli.escaping import one_line
from mlflow_archive_cli.output import list_gaps, output
from mlflow_archive_cli.parameters import LOCAL_PATH
from mlflow_archive_cli.progress import watch
from mlflow_archive_cli.selecting import json_option, progress_option
from mlflow_archive_cli.table import Section

_LISTED: Final = 50
_INCOMPLETE: Final = 3
_DAMAGED: Final = 12


@click.command("repair")
@click.argument("archive", type=LOCAL_PATH)
@click.option("-o", "--output", "target", type=LOCAL_PATH, required=True, metavar="NEW", help="The archive to write.")
@click.option(
    "--from",
    "copies",
    type=LOCAL_PATH,
    metavar="OTHER",
    multiple=True,
    help="Another copy, damaged or not, or an archive with the same runs; repeatable.",
)
@click.option(
    "--salvage", is_flag=True, help="Where something is lost, write all that is sound, with a gap for the rest."
)
@click.option("--jobs", type=click.IntRange(1, 64), default=2, show_default=True, help="How many threads read.")
@json_option
@progress_option
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    archive: Path,
    target: Path,
    copies: tuple[Path, ...],
    salvage: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Write a sound archive NEW from a damaged ARCHIVE and other copies of it; none of these is changed.

    Each member comes from where it has the SHA-256 of the manifest, or is put together from several copies, so NEW is
    ARCHIVE as it was, with the same archive id. Exit code 0: so it is; 3: --salvage left out what is lost, and each
    has a gap; 12: something is lost, and nothing was written.

    \b
    Example:
      mlflow-archive repair backup.mlfa --from monday.mlfa -o whole.mlfa
    """
    with watch("repair", quiet=options["quiet"], form=options["form"]) as progress:
        report = repair(archive, target, others=copies, salvage=salvage, jobs=options["jobs"], progress=progress)
    output(as_json=as_json).document(report.to_json(), _sections(report, target))
    if report.gaps:
        list_gaps(report.gaps, len(report.gaps), sentence="things are lost", option="--json")
    if report.written_id is None:
        ctx.exit(_DAMAGED)
    if report.gaps:
        ctx.exit(_INCOMPLETE)


def _sections(report: RepairReport, target: Path) -> Iterator[Section]:
    yield _lines("mended:", [f"{mended.member or 'the single file'}: from {mended.origin}" for mended in report.mended])
    yield _lines("damaged in every copy:", list(report.damaged))
    losses = [f"{item.kind} {item.id}{f', artifact {item.path}' if item.path else ''}" for item in report.lost]
    yield _lines("lost:", losses)
    yield _lines("", [_verdict(report, target)])


def _verdict(report: RepairReport, target: Path) -> str:
    if report.written_id is None:
        return "nothing was written; --from another copy may have what is missing, --salvage writes what is sound"
    if report.written_id == report.archive_id:
        return f"{target} is whole: archive id {report.written_id}"
    gaps = f"with {len(report.gaps)} gaps" if report.gaps else "with nothing lost"
    return f"{target} was salvaged {gaps}: archive id {report.written_id}, from {report.archive_id}"


def _lines(title: str, lines: list[str]) -> Section:
    rest = [f"and {len(lines) - _LISTED} more, see --json"] if len(lines) > _LISTED else []
    rows = [(one_line(line),) for line in [*lines[:_LISTED], *rest]]
    return Section(title=title, columns=("",), rows=rows, header=False)
