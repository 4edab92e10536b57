"""``mlflow-archive ls``: the objects of a kind, or artifacts, as a list."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import click

from mlflow_archive.kinds import KINDS
from mlflow_archive.reader.archive import Archive, open_archive
from mlflow_archive.reader.inspection.artifact_owner import artifacts_at, find_artifacts
from mlflow_archive.reader.inspection.listing import Query, Record, columns_of, list_artifacts, list_objects
from mlflow_archive.reader.search import Condition, Field
from mlflow_archive_cli.output import output
from mlflow_archive_cli.parameters import ARCHIVE, equals, metric_condition
from mlflow_archive_cli.selecting import csv_option, experiment_option, json_option

_ARTIFACTS: Final = "artifacts"

LISTS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = MappingProxyType(
    {view.word: (view.of or kind.name, view.columns) for kind in KINDS.values() for view in kind.lists}
)
"""What can be listed: the kind, and the columns shown where none are asked for."""

_WORDS: Final = ", ".join(
    f"{view.word} ({view.note})" if view.note else view.word for kind in KINDS.values() for view in kind.lists
)
_HELP: Final = f"""List what is in ARCHIVE: its experiments, or what WHAT names.

WHAT is one of {_WORDS}, or artifacts (at or below PATH).

With --json each line is one JSON object, with --csv it is a table for spreadsheets. Times are UTC, durations
milliseconds.

\b
Example:
  mlflow-archive ls backup.mlfa runs --filter "metrics.auc > 0.9" --sort -start_time
"""

_RIGHT: Final = ("runs", "size", "duration", "versions", "version", "execution_duration_ms", "budget_amount")


@click.command("ls", help=_HELP)
@click.argument("archive", type=ARCHIVE)
@click.argument("subject", type=click.Choice([*LISTS, _ARTIFACTS]), metavar="[WHAT]", default="experiments")
@click.argument("path", default="")
@click.option(
    "--filter",
    "filter_string",
    metavar="FILTER",
    help="Only what matches, in MLflow's search syntax: \"metrics.loss < 0.1 AND params.lr = '0.01'\".",
)
@experiment_option
@click.option(
    "--of",
    "--run",
    "of",
    metavar="NAME",
    help="Artifacts of this run, logged model, trace or registered model: its id, the start of it, or its name.",
)
@click.option("--status", "statuses", metavar="STATUS", multiple=True, help="Only runs with this status. Repeatable.")
@click.option("--deleted", "stage", flag_value="deleted", help="Only what is deleted at the source.")
@click.option("--active", "stage", flag_value="active", help="Only what is not deleted.")
@click.option(
    "--param", "params", type=equals("params"), metavar="KEY=VALUE", multiple=True, help="Only runs with this param."
)
@click.option("--tag", "tags", type=equals("tags"), metavar="KEY=VALUE", multiple=True, help="Only what has this tag.")
@click.option(
    "--metric",
    "metrics",
    type=metric_condition,
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
@click.option("--columns", metavar="A,B,…", help="Which columns, also params.KEY, tags.KEY and metrics.KEY; * for all.")
@json_option
@csv_option
def command(archive: Path, subject: str, path: str, as_json: bool, as_csv: bool, **options: Any) -> None:
    """List objects or artifacts."""
    _refuse_senseless(subject, path, options)
    out = output(as_json=as_json, as_csv=as_csv)
    with open_archive(archive) as opened:
        if subject == _ARTIFACTS:
            columns, artifacts = _artifacts(opened, options["of"], path)
            out.rows(columns, artifacts[: options["limit"]], right=_RIGHT)
            return
        kind, default_columns = LISTS[subject]
        requested = options["columns"]
        names = (
            None if requested == "*" else requested.split(",") if requested else _shown(opened, kind, default_columns)
        )
        rows = list_objects(opened, kind, _query(options), columns=names, sort=options["sort"], limit=options["limit"])
        names = names if names is not None else list(columns_of(kind))
        out.rows(names, rows, right=[*_RIGHT, *(name for name in names if name.startswith("metrics."))])


def _artifacts(archive: Archive, of: str | None, path: str) -> tuple[tuple[str, ...], list[Record]]:
    columns = ("path", "size", "digest")
    if not of:
        return ("owner_kind", "owner_id", *columns), list_artifacts(archive, None, path, kind=None)
    place = find_artifacts(archive, "/".join(part for part in (of, path) if part))
    return columns, artifacts_at(archive, place)


def _shown(archive: Archive, kind: str, names: tuple[str, ...]) -> list[str]:
    """Return the columns shown where none are asked for; names are unique in a workspace only."""
    if "workspace" not in columns_of(kind):
        return list(names)
    rows = list_objects(archive, kind, columns=["workspace"])
    return [*names, "workspace"] if any(row["workspace"] not in (None, "default") for row in rows) else list(names)


def _query(options: Mapping[str, Any]) -> Query:
    conditions: list[Condition] = [*options["params"], *options["tags"], *options["metrics"]]
    if options["statuses"]:
        statuses = tuple(status.upper() for status in options["statuses"])
        conditions.append(Condition(field=Field(group="attributes", name="status"), operator="IN", value=statuses))
    return Query(
        filter_string=options["filter_string"],
        experiments=options["experiments"],
        stage=options["stage"],
        conditions=tuple(conditions),
    )


def _refuse_senseless(subject: str, path: str, options: Mapping[str, Any]) -> None:
    """Refuse options that would be ignored."""
    only_runs = {"--status": "statuses", "--param": "params", "--metric": "metrics"}
    not_artifacts = {
        "--filter": "filter_string",
        "--experiment": "experiments",
        "--deleted or --active": "stage",
        "--tag": "tags",
        "--columns": "columns",
        "--sort": "sort",
    }
    misplaced = [option for option, name in only_runs.items() if options[name]]
    if subject != "runs" and misplaced:
        raise click.UsageError(f"{misplaced[0]} is for `ls ARCHIVE runs`")
    misplaced = [option for option, name in not_artifacts.items() if options[name]]
    if subject == _ARTIFACTS and misplaced:
        raise click.UsageError(f"artifacts are listed by owner and path; leave out {misplaced[0]}")
    if subject != _ARTIFACTS and (path or options["of"]):
        raise click.UsageError("PATH and --of are for `ls ARCHIVE artifacts`")
