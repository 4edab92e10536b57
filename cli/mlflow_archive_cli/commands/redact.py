"""``mlflow-archive redact``: an archive without what must not leave the house."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import click

from mlflow_archive.api.redacting import redact
from mlflow_archive.format.location import ArchivePlace
from mlflow_archive_cli.opening import base_option
from mlflow_archive_cli.output import list_gaps, output, warn
from mlflow_archive_cli.parameters import ARCHIVE, LOCAL_PATH
from mlflow_archive_cli.progress import watch
from mlflow_archive_cli.selecting import json_option, key_file_option, progress_option
from mlflow_archive_cli.table import pairs


@click.command("redact")
@click.argument("archive", type=ARCHIVE)
@base_option
@click.option("-o", "--output", "target", type=ARCHIVE, required=True, metavar="NEW", help="The archive to write.")
@click.option("--rules", type=LOCAL_PATH, required=True, metavar="FILE", help="What is taken out, as TOML.")
@key_file_option
@click.option("--jobs", type=click.IntRange(1, 64), default=4, show_default=True, help="How many threads work.")
@click.option("--level", type=click.IntRange(1, 19), default=3, show_default=True, help="Compression level of zstd.")
@json_option
@progress_option
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@click.pass_context
def command(  # noqa: PLR0913 - click gives each option by its name
    ctx: click.Context,
    /,
    archive: ArchivePlace,
    base: ArchivePlace | None,
    target: ArchivePlace,
    rules: Path,
    key_file: Path | None,
    jobs: int,
    level: int,
    as_json: bool,
    quiet: bool,
    form: str,
) -> None:
    """Write NEW, what is newest in ARCHIVE without what the rules take out; ARCHIVE stays as it is.

    Values are dropped, replaced, or become pseudonyms; artifacts are dropped by their paths; runs, experiments and
    users are erased with what belongs to them and what names them. The contents of artifacts that stay are not changed.
    NEW is one export, with an id and checksums of its own. Exit code 3: it has gaps, as ARCHIVE had.

    \b
    Example:
      mlflow-archive redact backup.mlfa -o out.mlfa --rules rules.toml --key-file key
    """
    with watch("redact", quiet=quiet, form=form) as progress:
        report = redact(archive, target, rules, key_file=key_file, base=base, jobs=jobs, level=level, progress=progress)
    facts = {"archive": str(target), "complete": report.complete, "counts": report.counts, **report.details}
    counts = cast("Mapping[str, int]", report.details["erased"])
    erased = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in counts.items()) or "none"
    lines = {
        "runs": report.counts.get("runs", 0),
        "artifacts": report.counts.get("artifacts", 0),
        "objects erased": erased,
        "archive id": report.details["archive_id"],
        "rules": report.details["rules"],
    }
    output(as_json=as_json).document(facts, [pairs(f"{target} is {archive} without what the rules take out", lines)])
    if without_effect := cast("Sequence[str]", report.details["without_effect"]):
        warn(f"no value was found for: {', '.join(without_effect)}")
    if not report.complete:
        list_gaps(report.gaps, len(report.gaps), sentence="things are not in it", option="--json")
        ctx.exit(3)
