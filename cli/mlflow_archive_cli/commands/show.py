"""``mlflow-archive show``: everything about one object."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from mlflow_archive.format.earlier import At
from mlflow_archive.format.location import ArchivePlace
from mlflow_archive.kinds import EXPERIMENT, IDENTITIES, RUN, TRACE
from mlflow_archive.reader.archive import Archive
from mlflow_archive.reader.inspection.artifact_owner import without_scheme
from mlflow_archive.reader.inspection.details import (
    ExperimentDetails,
    MetricHistory,
    RunDetails,
    anticipate_run,
    experiment_details,
    find_run,
    run_details,
)
from mlflow_archive.reader.inspection.listing import Record
from mlflow_archive.reader.inspection.model_versions import find_version, version_details
from mlflow_archive.reader.inspection.objects import ObjectDetails, find_object, object_details
from mlflow_archive.reader.inspection.rows import Moment
from mlflow_archive.reader.inspection.spans import Span, spans_of, tree
from mlflow_archive_cli.escaping import one_line
from mlflow_archive_cli.opening import at_option, base_option, opened_archive
from mlflow_archive_cli.output import output
from mlflow_archive_cli.parameters import ARCHIVE
from mlflow_archive_cli.printable import number, size, sparkline, text_of
from mlflow_archive_cli.selecting import json_option
from mlflow_archive_cli.table import Section, pairs

_KINDS = sorted(kind.replace("_", "-") for kind in IDENTITIES)
_LONGEST = 300


@click.command("show")
@click.argument("archive", type=ARCHIVE)
@click.argument("name", required=False)
@base_option
@at_option
@click.option(
    "--kind", type=click.Choice(_KINDS), metavar="KIND", help="What NAME is: run, trace, registered-model and so on."
)
@click.option("--experiment", metavar="EXPERIMENT", help="Show this experiment (id or name).")
@json_option
def command(
    archive: ArchivePlace,
    base: ArchivePlace | None,
    at: At | None,
    name: str | None,
    kind: str | None,
    experiment: str | None,
    as_json: bool,
) -> None:
    """Show everything ARCHIVE holds of the object NAME: a run, logged model, trace, registered model, …

    NAME is its id, the start of it, or its name if nothing else has it; or MLflow's own word for it, such as runs:/ID,
    models:/churn/3, models:/churn@champion and prompts:/ask/2, which show one version. Metrics are drawn over their
    steps, spans as a tree. With --json everything comes in full. Times are UTC.

    \b
    Example:
      mlflow-archive show backup.mlfa 4b1f0c
    """
    if (name is None) == (experiment is None):
        raise click.UsageError("name a run or another object, or an --experiment")
    out = output(as_json=as_json)
    with opened_archive(archive, base, at) as opened:
        if experiment is not None:
            described = experiment_details(opened, experiment)
            out.document(described.to_json(), _experiment_sections(described))
            return
        if version := find_version(opened, name or ""):
            stored = version_details(opened, version)
            out.document(stored.to_json(), _object_sections(stored, []))
            return
        of_kind, owner_id = _find(opened, without_scheme(name or ""), kind)
        if of_kind == RUN:
            details = run_details(opened, owner_id)
            out.document(details.to_json(), _run_sections(details))
        elif of_kind == EXPERIMENT:
            described = experiment_details(opened, owner_id)
            out.document(described.to_json(), _experiment_sections(described))
        else:
            stored = object_details(opened, of_kind, owner_id)
            spans = spans_of(opened, owner_id) if of_kind == TRACE else []
            out.document(stored.to_json(), _object_sections(stored, spans))


def _find(archive: Archive, name: str, kind: str | None) -> tuple[str, str]:
    if kind in (None, RUN):
        anticipate_run(archive, name)
    if kind is None and archive.table("runs", columns=["run_id"], owners=[name]).num_rows:
        return RUN, name  # what is asked most is found without reading all ids
    if kind == RUN:
        return RUN, find_run(archive, name)
    return find_object(archive, name, kind.replace("-", "_") if kind else None)


def _run_sections(run: RunDetails) -> Iterator[Section]:
    info = {name: value for name, value in run.info.items() if value is not None}
    info["experiment"] = run.experiment.get("name")
    info["export"] = f"{run.export.number}, made {Moment(run.export.created_ms).plain()}"
    yield pairs("run", info)
    yield pairs("params", {key: _short(value) for key, value in run.params.items()})
    yield pairs("tags", {key: _short(value) for key, value in run.tags.items()})
    columns = ("metric", "points", "min", "max", "last", "steps", "history")
    yield Section(title="metrics", columns=columns, rows=[_metric(h) for h in run.metrics], right=(1, 2, 3, 4))
    inputs = [(row["name"], row["digest"], row["source_type"] or "-", _tags(row["tags"])) for row in run.inputs]
    yield _table("dataset inputs", ("name", "digest", "source", "tags"), inputs)
    models = [[row[name] for name in ("name", "model_id", "status", "model_type")] for row in run.logged_models]
    yield _table("logged models", ("name", "model_id", "status", "type"), models)
    yield _artifacts(run.artifacts)
    yield _gaps(run.gaps)


def _experiment_sections(experiment: ExperimentDetails) -> Iterator[Section]:
    yield pairs("experiment", {name: value for name, value in experiment.info.items() if value is not None})
    yield pairs("tags", {key: _short(value) for key, value in experiment.tags.items()})
    yield pairs("runs", experiment.runs)
    yield _gaps(experiment.gaps)


def _object_sections(stored: ObjectDetails, spans: Sequence[Span]) -> Iterator[Section]:
    yield pairs(
        stored.kind.replace("_", " "), {name: value for name, value in stored.info.items() if value is not None}
    )
    for title, values in stored.pairs.items():
        yield pairs(title.replace("_", " "), {key: _short(value) for key, value in values.items()})
    if spans:
        ordered = list(tree(spans))
        rows = [
            (f"{'  ' * depth}{span.name}", span.type or "-", span.status or "-", _ms(span)) for depth, span in ordered
        ]
        yield Section(
            title="spans",
            columns=("span", "type", "status", "ms"),
            rows=[[one_line(cell) for cell in row] for row in rows],
            right=(3,),
        )
        for _, span in ordered:
            values = {"inputs": span.inputs, "outputs": span.outputs, "error": span.error}
            yield pairs(one_line(f"span {span.name}"), {name: _short(text) for name, text in values.items() if text})
    for title, records in stored.tables.items():
        if title != "spans":
            yield _records(title.replace("_", " "), records)
    yield _artifacts(stored.artifacts)
    yield _gaps(stored.gaps)


def _records(title: str, records: Sequence[Mapping[str, Any]]) -> Section:
    """Return rows as a table of the columns that hold anything."""
    columns = [name for name in records[0] if any(row[name] is not None for row in records)]
    return _table(title, columns, [[_short(row[name]) for name in columns] for row in records])


def _short(value: object) -> object:
    if not isinstance(value, str) or len(value) <= _LONGEST:
        return value
    return f"{value[:_LONGEST]}… ({len(value)} characters, all with --json)"


def _ms(span: Span) -> str:
    return "-" if span.duration_ns is None else f"{span.duration_ns / 1e6:.3f}"


def _metric(history: MetricHistory) -> tuple[str, ...]:
    # The plain min() of a list with NaN depends on where the NaN stands.
    known = [value for value in history.values if not math.isnan(value)] or history.values
    steps = f"{min(history.steps)}…{max(history.steps)}"
    numbers = (number(min(known)), number(max(known)), number(history.values[-1]))
    return (one_line(history.key), str(len(history.values)), *numbers, steps, sparkline(history.values))


def _tags(tags: dict[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in tags.items()) or "-"


def _artifacts(rows: Sequence[Record]) -> Section:
    files = [(row["path"], size(row["size"]), row["digest"]) for row in rows]
    return _table("artifacts", ("path", "size", "sha256"), files)


def _gaps(gaps: Sequence[Record]) -> Section:
    rows = [(row["code"], row["path"] or "-", row["reason"]) for row in gaps]
    return _table("gaps: what could not be exported", ("code", "what", "reason"), rows)


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Section:
    return Section(title=title, columns=columns, rows=[[text_of(cell) for cell in row] for row in rows])
