"""``mlflow-archive scan``: is something in this archive that should not leave the house?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from mlflow_archive.api.scanning import scan
from mlflow_archive.format.location import ArchivePlace
from mlflow_archive.scanning.report import Find, ScanReport
from mlflow_archive_cli.opening import base_option
from mlflow_archive_cli.output import output, whole_file
from mlflow_archive_cli.parameters import ARCHIVE, output_file
from mlflow_archive_cli.printable import size
from mlflow_archive_cli.progress import watch
from mlflow_archive_cli.selecting import json_option, progress_option
from mlflow_archive_cli.table import Section, listed

_LISTED: Final = 50
_FOUND: Final = 1


@click.command("scan")
@click.argument("archive", type=ARCHIVE)
@base_option
@click.option(
    "--write-rules",
    type=output_file,
    metavar="FILE",
    help="Write rules that take out what was found to this file, as TOML. Read them before they are used.",
)
@json_option
@progress_option
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    archive: ArchivePlace,
    base: ArchivePlace | None,
    write_rules: Path | None,
    as_json: bool,
    quiet: bool,
    form: str,
) -> None:
    """Look for credentials, e-mail addresses, IBANs and card numbers in ARCHIVE; nothing in it is changed.

    Every row of every table is looked at, every artifact that is text, and the manifest; what is not text is counted.
    Values are shown masked. Exit code 0: nothing was found; 1: something was.

    \b
    Example:
      mlflow-archive scan backup.mlfa --write-rules rules.toml
    """
    with watch("scan", quiet=quiet, form=form) as progress:
        report = scan(archive, base=base, progress=progress)
    if write_rules is not None:
        with whole_file(write_rules) as part:
            part.write_text(report.rules(), encoding="utf-8")
    output(as_json=as_json).document(report.to_json(), _sections(report))
    if not report.clean:
        ctx.exit(_FOUND)


def _sections(report: ScanReport) -> Iterator[Section]:
    counts = [[str(count), kind, name, place] for (place, kind, name), count in report.places.most_common()]
    if counts:
        yield listed(("count", "kind", "name", "place"), counts, ("count",), whole=False)
        yield listed(("name", "where", "value"), [_cells(find) for find in report.finds[:_LISTED]], (), whole=False)
    total = report.counts.total()
    lines = [f"and {total - _LISTED} more, see --json"] if total > _LISTED else []
    looked = report.looked
    lines.append(
        f"{total or 'nothing'} found in {looked['values']} values and {looked['artifacts']} artifacts of text "
        f"({size(looked['bytes'])})"
    )
    if report.not_looked:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(report.not_looked.items()))
        lines.append(f"not looked into: {reasons}")
    yield Section(title="", columns=("",), rows=[(line,) for line in lines], header=False)


def _cells(find: Find) -> list[str]:
    owner = f"{find.owner_kind} {find.owner_id}" if find.owner_id else ""
    line = f"line {find.line}" if find.line else ""
    where = (find.place, owner, find.key, find.path, line)
    return [find.name, ", ".join(part for part in where if part), find.value]
