"""``mlflow-archive export``: from a server, database, file store or another tool's export into an archive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

import click

from mlflow_archive.api.verbs import ExportOptions, export
from mlflow_archive.errors import TargetError
from mlflow_archive.flow.report import Report
from mlflow_archive.format.location import ArchivePlace
from mlflow_archive.kinds import TABLES, is_identity
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.reader.inspection.summary import total_size
from mlflow_archive.selecting.selection import Selection
from mlflow_archive_cli.output import TextOutput, list_gaps, write_json
from mlflow_archive_cli.parameters import ARCHIVE, LOCAL_PATH, output_file, size_bytes, time_ms
from mlflow_archive_cli.printable import elapsed, size
from mlflow_archive_cli.progress import watch
from mlflow_archive_cli.selecting import (
    artifact_map_option,
    artifacts_destination_option,
    dask_option,
    key_file_option,
    processes_option,
    progress_option,
    quiet_option,
    selecting_options,
    what_is_named,
)
from mlflow_archive_cli.table import pairs

_SHOWN = ("params", "tags", "metrics", "dataset_inputs", "model_versions", "spans", "assessments", "artifacts")
"""What the summary counts beside the objects of each kind."""


@click.command("export")
@click.argument("archive", type=ARCHIVE)
@click.option(
    "--from",
    "uri",
    metavar="URI",
    help="An http(s):// server, a backend database (sqlite:///PATH, postgresql://…, mysql://…), an mlruns folder as "
    "path or file: URI, or exim:DIR, a folder that mlflow-export-import wrote. Default: MLFLOW_TRACKING_URI, else what "
    "MLflow itself would use in this folder.",
)
@selecting_options
@click.option("--filter", "filter_string", metavar="FILTER", help="Only runs that match, in MLflow's search syntax.")
@click.option("--trace-filter", metavar="FILTER", help="Only traces that match, in MLflow's search syntax.")
@click.option(
    "--since",
    type=time_ms,
    metavar="TIME",
    help="Only runs and traces that began at or after this time (ISO 8601, UTC), and logged models of these runs.",
)
@click.option(
    "--until",
    type=time_ms,
    metavar="TIME",
    help="Only runs and traces that began before this time (ISO 8601, UTC), and logged models of these runs.",
)
@click.option("--no-deleted", is_flag=True, help="Leave out deleted experiments and runs, and logged models of these.")
@click.option(
    "--on-missing",
    type=click.Choice(["skip", "fail"]),
    default="skip",
    show_default=True,
    help="What becomes of one of several --experiment, --run, --model, --versions or --evaluation-dataset that is not "
    "there: the rest is exported with exit code 3, or nothing is.",
)
@click.option("--no-artifacts", is_flag=True, help="Leave out artifacts.")
@click.option("--artifact-glob", metavar="GLOB", multiple=True, help="Only artifacts whose path matches. Repeatable.")
@click.option(
    "--max-artifact-size",
    type=size_bytes,
    metavar="SIZE",
    help="Leave out artifacts larger than this (10MB, 1GiB, bytes).",
)
@artifact_map_option
@artifacts_destination_option
@click.option(
    "--unknown-tables",
    is_flag=True,
    help="Of a database: carry tables that this version does not know as they are, for SQL and for a restore into the "
    "same schema; only with all else, and without columns that are named like secrets.",
)
@click.option("--jobs", type=click.IntRange(1, 64), default=4, show_default=True, help="How many threads read.")
@processes_option
@dask_option
@click.option("--level", type=click.IntRange(1, 19), default=3, show_default=True, help="Compression level of zstd.")
@click.option("--append", is_flag=True, help="Add what is new or changed to an archive that exists.")
@click.option(
    "--base",
    type=LOCAL_PATH,
    metavar="BASE",
    help="Write what --append would add to BASE, an archive or the index of one, as an archive by itself, a delta.",
)
@click.option("--recheck", is_flag=True, help="With --append or --base: read, and write, again what looks unchanged.")
@click.option(
    "--same-source",
    is_flag=True,
    help="With --append or --base: the source is that of the archive, although an experiment looks like one of "
    "another source.",
)
@click.option(
    "--redact",
    type=LOCAL_PATH,
    metavar="RULES",
    help="Leave out what this file of rules takes out: values, artifacts, whole runs, experiments, users.",
)
@key_file_option
@click.option("--dry-run", is_flag=True, help="Write nothing; say what would be exported.")
@click.option(
    "--report",
    type=output_file,
    metavar="FILE",
    help="Write counts, gaps, source and archive id to this file, as JSON.",
)
@progress_option
@quiet_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    archive: ArchivePlace,
    dry_run: bool,
    report: Path | None,
    quiet: bool,
    **options: Any,
) -> None:
    """Read an MLflow server, backend database, file store or folder of mlflow-export-import into ARCHIVE.

    ARCHIVE is a single file if its name ends in .mlfa, else a directory; both can lie in a bucket (s3://…). What cannot
    be read is listed with the reason, the rest is exported, and the exit code is 3. Interrupted, the same command
    continues; of a bucket, within 20 hours, on the same machine.

    \b
    Example:
      mlflow-archive export backup.mlfa --from http://127.0.0.1:5000 --experiment 'churn*'
    """
    selection = replace(selection_asked(options), unknown_tables=options["unknown_tables"])
    manner = ExportOptions(
        append=options["append"],
        base=options["base"],
        recheck=options["recheck"],
        same_source=options["same_source"],
        level=options["level"],
        jobs=options["jobs"],
        processes=options["processes"] or 0,
        dask=options["dask"],
        dry_run=dry_run,
        artifact_map=options["artifact_map"],
        artifacts_destination=options["artifacts_destination"],
        redact=options["redact"],
        key_file=options["key_file"],
    )
    started = monotonic()
    with watch("export", quiet=quiet, form=options["form"]) as progress:
        done = export(archive, options["uri"], options=manner, selection=selection, progress=progress)
    facts = _facts(archive, done, dry_run=dry_run) | {"seconds": round(monotonic() - started, 3)}
    if report is not None:
        _write_report(report, facts)
    if not quiet:
        _summarize(facts)
    if not done.complete:
        total = max(done.counts.get("gaps", 0), len(done.gaps))
        list_gaps(done.gaps, total, sentence="things could not be exported", option="--report")
        ctx.exit(3)


def _write_report(path: Path, facts: Mapping[str, Any]) -> None:
    """Write what ``--report`` asks for. Raises TargetError, which says that the export is there all the same."""
    try:
        write_json(path, facts)
    except BrokenPipeError:
        raise
    except OSError as error:
        done = "" if facts["dry_run"] else f"; the export is committed: {facts['archive']}, {facts['archive_id']}"
        raise TargetError(f"--report {path} cannot be written: {error.strerror or error}{done}") from error


def selection_asked(options: Mapping[str, Any]) -> Selection:
    """Return what the options of an export select; all but unknown tables. Raises SelectionError."""
    return Selection(
        **what_is_named(options),
        filter_string=options["filter_string"],
        trace_filter=options["trace_filter"],
        since_ms=options["since"],
        until_ms=options["until"],
        deleted=not options["no_deleted"],
        on_missing=options["on_missing"],
        artifacts=not options["no_artifacts"],
        artifact_globs=options["artifact_glob"],
        max_artifact_size=options["max_artifact_size"],
    )


def _facts(archive: ArchivePlace, done: Report, *, dry_run: bool) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "archive": str(archive),
        "dry_run": dry_run,
        "complete": done.complete,
        "counts": done.counts,
        "gaps": [{name: getattr(gap, name) for name in gap.__slots__} for gap in done.gaps],
        **done.details,
    }
    if not dry_run and not (done.details["unchanged"] and "base" in done.details):  # nothing new: there is no delta
        with open_archive(archive) as opened:
            facts["source"] = dict(opened.newest_export.source)
            facts["bytes"] = total_size(opened)
    return facts


def _summarize(facts: Mapping[str, Any]) -> None:
    counts = facts["counts"]
    lines: dict[str, Any] = {
        name.replace("_", " "): counts[name]
        for name, table in TABLES.items()
        if counts.get(name) and (is_identity(table) or name in _SHOWN)
    }
    if facts["dry_run"]:
        title = f"would export {facts['source']['uri']} to {facts['archive']}"
        lines["artifact bytes"] = size(counts.get("artifact_bytes", 0))
        if unknown := facts["artifacts_of_unknown_size"]:
            lines["artifacts of unknown size"] = unknown
    else:
        title = f"exported {facts['source']['uri']} to {facts['archive']}"
        if facts.get("unchanged"):
            lines = {}
            stays = "no delta is written" if "base" in facts else f"{facts['archive']} stays as it is"
            title = f"nothing is new at {facts['source']['uri']}; {stays}"
        lines |= {f"table {name}": rows for name, rows in facts.get("unknown_tables", {}).items()}
        lines |= {"export": facts["export"], "archive id": facts["archive_id"]}
        rate = f", {counts['runs'] / facts['seconds']:.3g} runs/s" if counts.get("runs") and facts["seconds"] else ""
        lines |= {name.replace("_", " "): facts[name] for name in ("base", "joined_id") if name in facts}
        lines |= {"size": size(facts["bytes"])} if "bytes" in facts else {}
        lines |= {"time": elapsed(round(facts["seconds"] * 1000)) + rate}
    TextOutput().document(facts, [pairs(title, lines)])
