"""``mlflow-archive ls``: the objects of a kind, or artifacts, as a list."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from itertools import islice
from types import MappingProxyType
from typing import Any, Final

import click

from mlflow_archive.api.export_changes import export_changes
from mlflow_archive.format.earlier import At
from mlflow_archive.format.location import ArchivePlace
from mlflow_archive.kinds import KINDS, RUN
from mlflow_archive.kinds.model import ListView
from mlflow_archive.kinds.version_source import TOMBSTONE
from mlflow_archive.reader.archive import Archive
from mlflow_archive.reader.inspection.artifact_owner import artifacts_at, find_artifacts
from mlflow_archive.reader.inspection.listing import Query, Record, columns_of, keys_of, list_artifacts, list_objects
from mlflow_archive.reader.inspection.nesting import nested
from mlflow_archive.reader.search import Condition, Field
from mlflow_archive_cli.opening import at_option, base_option, opened_archive
from mlflow_archive_cli.output import Output, output, warn
from mlflow_archive_cli.parameters import ARCHIVE, Words, equals, metric_condition, time_ms
from mlflow_archive_cli.selecting import csv_option, json_option

_ARTIFACTS: Final = "artifacts"
_EXPORTS: Final = "exports"
_PARENT: Final = "tags.mlflow.parentRunId"
_STAGE: Final = "lifecycle_stage"
_DELETED: Final[Mapping[str, str]] = MappingProxyType({_STAGE: "deleted", "current_stage": TOMBSTONE})
"""By column, how an object is marked that is deleted at the source."""
_METRICS_SHOWN: Final = 4
_POINTS_READ: Final = 2_000_000  # a quarter of a second; of more, nobody who did not ask for metrics should wait

LISTS: Final[Mapping[str, tuple[str, ListView]]] = MappingProxyType(
    {view.word: (view.of or kind.name, view) for kind in KINDS.values() for view in kind.lists}
)
"""What can be listed: the kind, and how."""

_MEANINGS: Final = MappingProxyType(
    {
        **{other: word for word, (_, view) in LISTS.items() for other in (word, word.removesuffix("s"), *view.also)},
        _ARTIFACTS: _ARTIFACTS,
        "artifact": _ARTIFACTS,
        _EXPORTS: _EXPORTS,
        "export": _EXPORTS,
    }
)
_WORDS: Final = ", ".join(f"{word} ({view.note})" if view.note else word for word, (_, view) in LISTS.items())
_HELP: Final = f"""List what is in ARCHIVE: its experiments, or what WHAT names.

WHAT is one of {_WORDS}, artifacts (at or below PATH), or
exports: what each of them added, changed, and found deleted at the source (removed; it stays in the archive).

Runs and traces are listed from the newest on, and what is deleted at the source only with --deleted or --all. On a
terminal ids are as short as `show` takes them, and columns for which there is no room are left away. With --json each
line is one JSON object, with --csv it is a table for spreadsheets. Times are UTC, durations there milliseconds.

\b
Example:
  mlflow-archive ls backup.mlfa runs --filter "metrics.auc > 0.9" --sort "metrics.auc DESC"
"""

_RIGHT: Final = ("runs", "size", "duration", "versions", "version", "execution_duration_ms", "budget_amount")


@click.command("ls", help=_HELP)
@click.argument("archive", type=ARCHIVE)
@click.argument("subject", type=Words(_MEANINGS), metavar="[WHAT]", default="experiments")
@click.argument("path", default="")
@base_option
@at_option
@click.option(
    "--filter",
    "filter_string",
    metavar="FILTER",
    help="Only what matches, in MLflow's search syntax: \"metrics.loss < 0.1 AND params.lr = '0.01'\".",
)
@click.option(
    "-e",
    "--experiment",
    "experiments",
    metavar="PATTERN",
    multiple=True,
    help="Only experiments with this id or name, or whose name matches this glob. Repeatable.",
)
@click.option("--since", type=time_ms, metavar="TIME", help="Only runs or traces that began at or after this time.")
@click.option(
    "--of",
    "--run",
    "of",
    metavar="NAME",
    help="Artifacts of this run, logged model, trace or registered model: its id, the start of it, or its name.",
)
@click.option("--status", "statuses", metavar="STATUS", multiple=True, help="Only runs with this status. Repeatable.")
@click.option("--deleted", "stage", flag_value="deleted", help="Only what is deleted at the source.")
@click.option("--active", "stage", flag_value="active", help="Only what is not deleted, without a word on the rest.")
@click.option("--all", "stage", flag_value="all", help="Also what is deleted at the source.")
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
    help="Sort by a column, params.KEY, tags.KEY or metrics.KEY; with DESC behind it, or '-' in front, descending.",
)
@click.option("-n", "--limit", type=click.IntRange(1), help="At most so many lines.")
@click.option("--columns", metavar="A,B,…", help="Which columns, also params.KEY, tags.KEY and metrics.KEY; * for all.")
@click.option("--tree", is_flag=True, help="Put nested runs below the run that they are part of.")
@json_option
@csv_option
def command(
    archive: ArchivePlace,
    base: ArchivePlace | None,
    at: At | None,
    subject: str,
    path: str,
    as_json: bool,
    as_csv: bool,
    **options: Any,
) -> None:
    """List objects or artifacts."""
    _refuse_senseless(subject, path, options, for_programs=as_json or as_csv)
    out = output(as_json=as_json, as_csv=as_csv)
    with opened_archive(archive, base, at) as opened:
        if subject == _EXPORTS:
            _list_exports(opened, out, options["limit"], for_programs=as_json or as_csv)
            return
        if subject == _ARTIFACTS:
            columns, artifacts = _artifacts(opened, options["of"], path)
            out.rows(columns, artifacts[: options["limit"]], right=_RIGHT)
            return
        kind, view = LISTS[subject]
        requested = options["columns"]
        if requested:
            names = list(columns_of(kind)) if requested == "*" else requested.split(",")
        else:
            names = _shown(opened, kind, view, options["stage"])
            if kind == RUN and sys.stdout.isatty() and not (as_json or as_csv):
                at = names.index("duration")
                names[at:at] = _metrics(opened)
        rows = _rows(opened, kind, view, names, options)
        right = [*_RIGHT, *(name for name in names if name.startswith("metrics."))]
        out.rows(names, rows, right=right, whole=bool(requested))


def _list_exports(archive: Archive, out: Output, limit: int | None, *, for_programs: bool) -> None:
    rows = [changes.to_json() for changes in islice(export_changes(archive), limit)]
    columns = list(rows[0])
    if not for_programs:
        columns.remove("tool")
        for row in rows:
            row["selection"] = ", ".join(f"{name}={value}" for name, value in row["selection"].items()) or "everything"
            row |= {name: _counted(row[name]) for name in ("added", "changed", "removed")}
    out.rows(columns, rows, right=("export", "gaps"))


def _counted(counts: Mapping[str, int]) -> str:
    """Say how many objects of each kind: ``2 run, 1 logged model``."""
    return ", ".join(f"{number} {kind.replace('_', ' ')}" for kind, number in counts.items()) or "-"


def _rows(
    archive: Archive, kind: str, view: ListView, names: Sequence[str], options: Mapping[str, Any]
) -> list[Record]:
    """Return what is listed. Deleted objects that nobody asked for are left out, with a word on stderr."""
    stage, limit = options["stage"], options["limit"]
    mark = next((name for name in _DELETED if name in columns_of(kind)), None) if stage is None else None
    needed = [*names, *([mark] if mark else []), *(["run_id", "run_name", _PARENT] if options["tree"] else [])]
    rows = list_objects(
        archive,
        kind,
        _query(view, options),
        columns=list(dict.fromkeys(needed)),
        sort=options["sort"] or (f"-{view.newest}" if view.newest else None),
    )
    if mark:
        active = [row for row in rows if row[mark] != _DELETED[mark]]
        if hidden := len(rows) - len(active):
            warn(f"{hidden} deleted {view.word if hidden > 1 else view.word.removesuffix('s')} left out; --all has all")
        rows = active
    if options["tree"]:
        tree = nested(rows, lambda row: str(row["run_id"]), lambda row: row[_PARENT])
        rows = [{**row, "run_name": "  " * depth + (row["run_name"] or "")} for depth, row in tree]
    return rows[:limit]


def _artifacts(archive: Archive, of: str | None, path: str) -> tuple[tuple[str, ...], list[Record]]:
    columns = ("path", "size", "digest")
    if not of:
        return ("owner_kind", "owner_id", *columns), list_artifacts(archive, None, path, kind=None)
    place = find_artifacts(archive, "/".join(part for part in (of, path) if part))
    return columns, artifacts_at(archive, place)


def _shown(archive: Archive, kind: str, view: ListView, stage: str | None) -> list[str]:
    """Return the columns shown where none are asked for; names are unique in a workspace only."""
    names = list(view.columns)
    if stage == "all" and _STAGE in columns_of(kind):
        names.append(_STAGE)
    if "workspace" in columns_of(kind):
        rows = list_objects(archive, kind, columns=["workspace"])
        names += ["workspace"] if any(row["workspace"] not in (None, "default") for row in rows) else []
    return names


def _metrics(archive: Archive) -> list[str]:
    """Return columns of the metrics that most runs have, for people; none where it would take long."""
    if sum(part.rows or 0 for part in archive.parts("metrics")) > _POINTS_READ:
        return []
    return [f"metrics.{key}" for key in keys_of(archive, RUN, "metrics")[:_METRICS_SHOWN]]


def _query(view: ListView, options: Mapping[str, Any]) -> Query:
    conditions: list[Condition] = [*options["params"], *options["tags"], *options["metrics"]]
    if options["statuses"]:
        statuses = tuple(status.upper() for status in options["statuses"])
        conditions.append(Condition(field=Field(group="attributes", name="status"), operator="IN", value=statuses))
    if options["since"] is not None:
        field = Field(group="attributes", name=view.newest)
        conditions.append(Condition(field=field, operator=">=", value=options["since"]))
    filters = [text for text in (view.filter, options["filter_string"]) if text]
    return Query(
        filter_string=" AND ".join(filters) or None,
        experiments=options["experiments"],
        stage=None if options["stage"] == "all" else options["stage"],
        conditions=tuple(conditions),
    )


def _refuse_senseless(subject: str, path: str, options: Mapping[str, Any], *, for_programs: bool) -> None:
    """Refuse options that would be ignored."""
    if subject == _EXPORTS and (path or any(value for name, value in options.items() if name != "limit")):
        raise click.UsageError("exports are listed as they are: only --limit, --json, --csv and --at go with them")
    only_runs = {"--status": "statuses", "--param": "params", "--metric": "metrics", "--tree": "tree"}
    not_artifacts = {
        "--filter": "filter_string",
        "--experiment": "experiments",
        "--deleted, --active and --all": "stage",
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
    if options["since"] is not None and (subject == _ARTIFACTS or not LISTS[subject][1].newest):
        raise click.UsageError("--since is for lists from the newest on: runs and traces")
    if subject != _ARTIFACTS and (path or options["of"]):
        raise click.UsageError("PATH and --of are for `ls ARCHIVE artifacts`")
    if options["tree"] and for_programs:
        raise click.UsageError(f"--tree is for people; in --json and --csv, --columns run_id,{_PARENT} says the same")
