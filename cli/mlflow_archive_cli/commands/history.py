"""``mlflow-archive history``: metrics of a run over their steps."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from mlflow_archive.api.charts import FORMATS, terminal_chart, unseen, write_chart
from mlflow_archive.errors import SelectionError
from mlflow_archive.format.earlier import At
from mlflow_archive.format.location import ArchivePlace
from mlflow_archive.reader.archive import Archive
from mlflow_archive.reader.inspection.details import MetricHistory, find_run, run_details
from mlflow_archive.reader.inspection.rows import Moment
from mlflow_archive_cli.escaping import one_line
from mlflow_archive_cli.opening import at_option, base_option, opened_archive
from mlflow_archive_cli.output import output, warn
from mlflow_archive_cli.parameters import ARCHIVE, output_file
from mlflow_archive_cli.selecting import csv_option, json_option

_COLUMNS = ("metric", "step", "timestamp", "value")


@click.command("history")
@click.argument("archive", type=ARCHIVE)
@click.argument("run")
@click.argument("metrics", nargs=-1)
@base_option
@at_option
@click.option(
    "-o", "--output", "file", type=output_file, metavar="FILE", help="Draw into this .png, .svg or .pdf file."
)
@json_option
@csv_option
def command(  # noqa: PLR0913 - click gives each option by its name
    archive: ArchivePlace,
    base: ArchivePlace | None,
    at: At | None,
    run: str,
    metrics: tuple[str, ...],
    file: Path | None,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Draw METRICS of RUN over their steps, all of its metrics if none is named.

    RUN is its id, the start of it, or its name. With --csv or --json every point comes, one a line.

    \b
    Example:
      mlflow-archive history backup.mlfa 4b1f0c loss val/loss
    """
    if file is not None and file.suffix.lower() not in FORMATS:
        raise click.UsageError(f"-o takes a file that ends in {', '.join(FORMATS)}; found {file.name!r}")
    with opened_archive(archive, base, at) as opened:
        run_id, histories = _histories(opened, run, metrics)
    if file is not None:
        write_chart(histories, file, title=run_id)
    elif as_json or as_csv:
        output(as_json=as_json, as_csv=as_csv).rows(_COLUMNS, _points(histories))
    else:
        columns, lines = shutil.get_terminal_size((100, 30))
        shown = [replace(history, key=one_line(history.key)) for history in histories]
        click.echo(terminal_chart(shown, width=columns, height=max(10, lines - 4), colour=sys.stdout.isatty()))
    if not (as_json or as_csv):
        for key, count in unseen(histories).items():
            points = "point is" if count == 1 else "points are"
            warn(f"{key}: {count} {points} NaN, infinite or beyond 1e300, and not drawn")


def _histories(archive: Archive, run: str, metrics: Sequence[str]) -> tuple[str, list[MetricHistory]]:
    run_id = find_run(archive, run)
    by_key = {history.key: history for history in run_details(archive, run_id).metrics}
    if missing := [name for name in metrics if name not in by_key]:
        raise SelectionError(f"run {run_id} has no metric {missing[0]!r}; it has {', '.join(by_key) or 'none'}")
    if not by_key:
        raise SelectionError(f"run {run_id} has no metrics")
    return run_id, [by_key[name] for name in metrics or by_key]


def _points(histories: Sequence[MetricHistory]) -> Iterator[dict[str, Any]]:
    for history in histories:
        for step, time, value in zip(history.steps, history.timestamps, history.values, strict=True):
            yield {"metric": history.key, "step": step, "timestamp": Moment(time), "value": value}
