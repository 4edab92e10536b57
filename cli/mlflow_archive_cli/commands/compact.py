"""``mlflow-archive compact``: an archive thinned out to some of its exports."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import reduce
from pathlib import Path
from typing import Any, Final

import click

from mlflow_archive.api.compacting import CompactReport, Keep, compact
from mlflow_archive.errors import SelectionError
from mlflow_archive.reader.inspection.rows import Moment
from mlflow_archive_cli.output import output, warn
from mlflow_archive_cli.parameters import LOCAL_PATH
from mlflow_archive_cli.printable import size, text_of
from mlflow_archive_cli.progress import watch
from mlflow_archive_cli.selecting import json_option, progress_option
from mlflow_archive_cli.table import Section, pairs

_KEEP: Final = {
    "last": "Keep the N newest exports.",
    "daily": "Keep the last export of each of the N newest days (UTC) that have one.",
    "weekly": "The same of weeks (ISO).",
    "monthly": "The same of months.",
    "yearly": "The same of years.",
}


def _period(text: str) -> str:
    try:
        return Keep(within=text).within or text
    except SelectionError as error:
        raise click.BadParameter(str(error)) from None


def _keep_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say which exports stay."""
    options = [
        click.option(f"--keep-{name}", name, type=click.IntRange(1), metavar="N", help=text)
        for name, text in _KEEP.items()
    ]
    options.append(
        click.option(
            "--keep-within",
            "within",
            type=_period,
            metavar="TIME",
            help="Keep exports made within this time before the newest: 2y6m3d; years, months, days, hours (h).",
        )
    )
    return reduce(lambda decorated, option: option(decorated), reversed(options), command)


@click.command("compact")
@click.argument("archive", type=LOCAL_PATH)
@click.option("-o", "--output", "target", type=LOCAL_PATH, metavar="NEW", help="The archive to write.")
@_keep_options
@click.option("--jobs", type=click.IntRange(1, 64), default=2, show_default=True, help="How many threads write.")
@click.option("--dry-run", is_flag=True, help="Write nothing; say what would go, and about how many bytes.")
@json_option
@progress_option
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
def command(archive: Path, target: Path | None, as_json: bool, quiet: bool, form: str, **options: Any) -> None:
    """Write NEW with the exports of ARCHIVE that are to be kept, each as it was; ARCHIVE is not changed.

    What only the other exports needed goes: rows and artifacts that a later state replaced, also from within packs. An
    export stays if one --keep option names it, as in restic's forget; the newest always does. Kept exports are numbered
    from 1, their old numbers stand in the manifest, and --at shows each as before. NEW has another archive id: the
    signatures of ARCHIVE do not cover it. Verify NEW before you remove ARCHIVE.

    \b
    Example:
      mlflow-archive compact backup.mlfa -o small.mlfa --keep-last 3 --keep-monthly 12
    """
    if (target is None) != options["dry_run"]:
        raise click.UsageError("name the archive to write (-o NEW), or --dry-run to write none")
    jobs, dry_run = options.pop("jobs"), options.pop("dry_run")
    with watch("compact", quiet=quiet, form=form) as progress:
        report = compact(archive, target, keep=Keep(**options), jobs=jobs, dry_run=dry_run, progress=progress)
    output(as_json=as_json).document(report.to_json(), _sections(report, archive, target))
    if report.signatures:
        count = f"{report.signatures} {'signature' if report.signatures == 1 else 'signatures'}"
        new = target or "the new archive"
        warn(f"{count} beside {archive}: of that archive, not of {new}. Keep it with them, or sign {new} anew")


def _sections(report: CompactReport, archive: Path, target: Path | None) -> Iterator[Section]:
    about = "about " if target is None else ""
    facts: dict[str, Any] = {} if report.written_id is None else {"archive id": report.written_id}
    facts |= {
        "exports that go": ", ".join(map(str, report.dropped_exports)) or "none",
        "rows that go": sum(report.rows.values()),
        "artifacts that go": report.blobs,
        "packs": f"{report.copied} as they are, {report.written} written anew",
        "tables and packs": f"{size(report.bytes_before)} before, {about}{size(report.bytes_after)} after",
        "freed": f"{about}{size(report.freed)}",
    }
    yield pairs(f"compacted {archive} as {target}" if target else f"would compact {archive}", facts)
    staying = [(export.number, export.before, Moment(export.created_ms)) for export in report.kept_exports]
    rows = [[text_of(cell) for cell in row] for row in staying]
    yield Section(title="exports that stay", columns=("export", "was", "created (UTC)"), rows=rows, right=(0, 1))
