"""``mlflow-archive show``: everything about a run or an experiment."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from mlflow_archive.reader.archive import open_archive
from mlflow_archive.reader.details import (
    ExperimentDetails,
    History,
    RunDetails,
    experiment_details,
    find_run,
    run_details,
)
from mlflow_archive.reader.listing import Record
from mlflow_archive.reader.rows import Moment
from mlflow_archive_cli.escaping import one_line
from mlflow_archive_cli.output import Section, output, pairs
from mlflow_archive_cli.parameters import ARCHIVE
from mlflow_archive_cli.printable import number, size, sparkline, text_of
from mlflow_archive_cli.selecting import json_option


@click.command("show")
@click.argument("archive", type=ARCHIVE)
@click.argument("run", required=False)
@click.option("--experiment", metavar="EXPERIMENT", help="Show this experiment (id or name) instead of a run.")
@json_option
def command(archive: Path, run: str | None, experiment: str | None, as_json: bool) -> None:
    """Show everything ARCHIVE holds of RUN: its id, the start of it, or its name if no other run has it.

    Metrics are drawn over their steps. With --json the whole histories come. Times are UTC.

    \b
    Example:
      mlflow-archive show backup.mlfa 4b1f0c
    """
    if (run is None) == (experiment is None):
        raise click.UsageError("name a RUN, or an --experiment")
    out = output(as_json=as_json)
    with open_archive(archive) as opened:
        if run is not None:
            details = run_details(opened, find_run(opened, run))
            out.document(details.to_json(), _run_sections(details))
        elif experiment is not None:
            found = experiment_details(opened, experiment)
            out.document(found.to_json(), _experiment_sections(found))


def _run_sections(run: RunDetails) -> Iterator[Section]:
    info = {name: value for name, value in run.info.items() if value is not None}
    info["experiment"] = run.experiment.get("name")
    info["export"] = f"{run.export.number}, made {Moment(run.export.created_ms).plain()}"
    yield pairs("run", info)
    yield pairs("params", run.params)
    yield pairs("tags", run.tags)
    columns = ("metric", "points", "min", "max", "last", "steps", "history")
    yield Section(title="metrics", columns=columns, rows=[_metric(h) for h in run.metrics], right=(1, 2, 3, 4))
    inputs = [(row["name"], row["digest"], row["source_type"] or "-", _tags(row["tags"])) for row in run.inputs]
    yield _table("dataset inputs", ("name", "digest", "source", "tags"), inputs)
    files = [(row["path"], size(row["size"]), row["digest"]) for row in run.artifacts]
    yield _table("artifacts", ("path", "size", "sha256"), files)
    yield _gaps(run.gaps)


def _experiment_sections(experiment: ExperimentDetails) -> Iterator[Section]:
    yield pairs("experiment", {name: value for name, value in experiment.info.items() if value is not None})
    yield pairs("tags", experiment.tags)
    yield pairs("runs", experiment.runs)
    yield _gaps(experiment.gaps)


def _metric(history: History) -> tuple[str, ...]:
    # The plain min() of a list with NaN depends on where the NaN stands.
    known = [value for value in history.values if not math.isnan(value)] or history.values
    steps = f"{min(history.steps)}…{max(history.steps)}"
    numbers = (number(min(known)), number(max(known)), number(history.values[-1]))
    return (one_line(history.key), str(len(history.values)), *numbers, steps, sparkline(history.values))


def _tags(tags: dict[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in tags.items()) or "-"


def _gaps(gaps: Sequence[Record]) -> Section:
    rows = [(row["code"], row["path"] or "-", row["reason"]) for row in gaps]
    return _table("gaps: what could not be exported", ("code", "what", "reason"), rows)


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Section:
    return Section(title=title, columns=columns, rows=[[text_of(cell) for cell in row] for row in rows])
