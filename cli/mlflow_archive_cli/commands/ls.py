"""``mlflow-archive ls``: experiments, runs or artifacts as a list."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from mlflow_archive.reader.archive import Archive, open_archive
from mlflow_archive.reader.details import find_run
from mlflow_archive.reader.listing import RunQuery, list_artifacts, list_experiments, list_runs
from mlflow_archive_cli.output import Output, output
from mlflow_archive_cli.parameters import ARCHIVE, condition, pair_of
from mlflow_archive_cli.selecting import experiment_option, json_option

_EXPERIMENTS: Final = ("experiment_id", "name", "lifecycle_stage", "runs", "creation_time")
_RUNS: Final = ("run_id", "run_name", "experiment", "status", "lifecycle_stage", "start_time")
_RIGHT: Final = ("runs", "size", "duration")
_ONLY_RUNS: Final = ("experiments", "statuses", "stage", "params", "tags", "metrics", "columns")


@click.command("ls")
@click.argument("archive", type=ARCHIVE)
@click.argument("what", type=click.Choice(["experiments", "runs", "artifacts"]), default="experiments")
@click.argument("path", default="")
@experiment_option
@click.option("--run", metavar="RUN", help="Artifacts of this run: its id, the start of it, or its name.")
@click.option("--status", "statuses", metavar="STATUS", multiple=True, help="Only runs with this status. Repeatable.")
@click.option("--deleted", "stage", flag_value="deleted", help="Only deleted runs.")
@click.option("--active", "stage", flag_value="active", help="Only runs that are not deleted.")
@click.option(
    "--param",
    "params",
    type=pair_of("KEY=VALUE", empty_value=True),
    metavar="KEY=VALUE",
    multiple=True,
    help="Only runs with this param.",
)
@click.option(
    "--tag",
    "tags",
    type=pair_of("KEY=VALUE", empty_value=True),
    metavar="KEY=VALUE",
    multiple=True,
    help="Only runs with this tag.",
)
@click.option(
    "--metric",
    "metrics",
    type=condition,
    metavar="CONDITION",
    multiple=True,
    help="Only runs whose latest value fulfils this, such as 'loss<0.1'. Repeatable.",
)
@click.option(
    "--sort",
    metavar="COLUMN",
    help="Sort by a column, params.KEY, tags.KEY or metrics.KEY; with '-' in front descending.",
)
@click.option("--limit", type=click.IntRange(1), help="At most so many lines.")
@click.option("--columns", metavar="A,B,…", help="Which columns of runs, also params.KEY, tags.KEY and metrics.KEY.")
@json_option
def command(archive: Path, what: str, path: str, as_json: bool, **options: Any) -> None:
    """List what is in ARCHIVE: its experiments, or `runs`, or `artifacts` (at or below PATH).

    With --json each line is one JSON object. Times are UTC, durations milliseconds.

    \b
    Example:
      mlflow-archive ls backup.mlfa runs --experiment churn --metric 'auc>0.9' --sort -start_time
    """
    _refuse_senseless(what, path, options)
    out = output(as_json=as_json)
    with open_archive(archive) as opened:
        if what == "experiments":
            rows = list_experiments(opened, sort=options["sort"], limit=options["limit"])
            out.rows(_EXPERIMENTS, rows, right=_RIGHT)
        elif what == "runs":
            _runs(opened, out, options)
        else:
            run = find_run(opened, options["run"]) if options["run"] else None
            artifacts = list_artifacts(opened, run, path)[: options["limit"]]
            out.rows(
                ("path", "size", "digest") if run else ("run_id", "path", "size", "digest"), artifacts, right=_RIGHT
            )


def _runs(archive: Archive, out: Output, options: dict[str, Any]) -> None:
    query = RunQuery(
        experiments=options["experiments"],
        statuses=tuple(status.upper() for status in options["statuses"]),
        stage=options["stage"],
        params=dict(options["params"]),
        tags=dict(options["tags"]),
        metrics=options["metrics"],
    )
    columns = options["columns"].split(",") if options["columns"] else list(_RUNS)
    rows = list_runs(archive, query, columns=columns, sort=options["sort"], limit=options["limit"])
    out.rows(columns, rows, right=[*_RIGHT, *(name for name in columns if name.startswith("metrics."))])


def _refuse_senseless(what: str, path: str, options: dict[str, Any]) -> None:
    """Refuse options that would be ignored."""
    names = {"experiments": "--experiment", "statuses": "--status", "stage": "--deleted or --active"}
    if what != "runs" and (given := [name for name in _ONLY_RUNS if options[name]]):
        option = names.get(given[0], f"--{given[0] if given[0] == 'columns' else given[0].rstrip('s')}")
        raise click.UsageError(f"{option} is for `ls ARCHIVE runs`")
    if what != "artifacts" and (path or options["run"]):
        raise click.UsageError("PATH and --run are for `ls ARCHIVE artifacts`")
    if what == "artifacts" and options["sort"]:
        raise click.UsageError("artifacts are listed by path; leave out --sort")
