"""One run of an export: ``run.json`` and the files in ``artifacts`` beside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from mlflow_archive.artifact_roots.declared import HISTORY_TAG, missing_declared
from mlflow_archive.format.gaps import METRIC_UNREADABLE
from mlflow_archive.kinds import EXPERIMENT, RUN
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.exim.documents import POINT_KEYS, JsonPoint, read_document
from mlflow_archive.sources.exim.entries import ExperimentEntry, RunEntry
from mlflow_archive.sources.exim.files import files_of, join_copies
from mlflow_archive.sources.exim.gapbook import GapBook
from mlflow_archive.sources.exim.parts import dataset_row, report_permissions
from mlflow_archive.sources.exim.tool_fields import ToolFields, time_of
from mlflow_archive.sources.reading.fields import ValueMalformedError, integer_of, printable, real_of, row_of, text_of
from mlflow_archive.sources.reading.gaplist import GapList, Problems
from mlflow_archive.sources.reading.points import Points
from mlflow_archive.sources.reading.records import ACTIVE, RUN_NAME_TAG, RunRecord, selected_files
from mlflow_archive.sources.reading.rows import INT64, Row, Rows, pair_rows


def add_experiment(rows: Rows, entry: ExperimentEntry, gap_book: GapBook, root: Path) -> GapList:
    """Add an experiment's row, tags and gaps, which are returned.

    One without a document is kept by its name, so that its runs are not lost. Raises DocumentUnreadableError if it has
    changed since the index was built.
    """
    gaps = gap_book.copy_of(EXPERIMENT, entry.experiment_id)
    row = {"experiment_id": entry.experiment_id, "name": entry.name, "lifecycle_stage": ACTIVE}
    if entry.path is None:
        rows.add("experiments", row)
        rows.add_gaps(gaps)
        return gaps
    body = ToolFields(read_document(entry.path, root).body, gaps.under(""))
    experiment = body.object("experiment", place="")
    row |= {"lifecycle_stage": experiment.text("lifecycle_stage") or ACTIVE}
    rows.add("experiments", row_of("experiments", experiment, **row))
    rows.add_all({"experiment_tags": pair_rows(experiment.pairs("tags"), experiment_id=entry.experiment_id)})
    report_permissions(body)
    body.known("runs", "logged_models", "traces")  # lists of what has documents of its own
    gaps.unread += body.unread()
    rows.add_gaps(gaps)
    return gaps


_STATUSES: Final = frozenset({"RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"})


def read_run(entry: RunEntry, gap_book: GapBook, selection: Selection, root: Path) -> tuple[RunRecord, Points]:
    """Read a run and its points. Raises DocumentUnreadableError if it has changed since the index was built."""
    body = read_document(entry.path, root).body
    gaps = gap_book.copy_of(RUN, entry.run_id)
    fields = ToolFields(body, gaps.under(""))
    tags = fields.pairs("tags")
    record = RunRecord(
        run_id=entry.run_id, info=_info(entry, fields, tags), params=fields.pairs("params"), tags=tags, gaps=gaps
    )
    points = _read_points(record, fields)
    _read_inputs(record, entry, fields)
    fields.known("traces")  # which have documents of their own
    gaps.unread += fields.unread()
    if selection.artifacts:
        _find_artifacts(record, entry, selection)
    return record, points


def _info(entry: RunEntry, fields: ToolFields, tags: Mapping[str, str]) -> dict[str, str | int | None]:
    info = fields.object("info", place="")
    status = info.text("status")
    if status is not None and status not in _STATUSES:
        info.bad("status", f"it is {status!r}, expected a name such as FINISHED")
        status = None
    return row_of(
        "runs",
        info,
        run_id=entry.run_id,
        experiment_id=entry.experiment_id,
        run_name=info.text("run_name") or tags.get(RUN_NAME_TAG),
        status=status,
        lifecycle_stage=info.text("lifecycle_stage") or ACTIVE,
    )


def _read_points(record: RunRecord, fields: ToolFields) -> Points:
    """Return the points of all metrics; the malformed ones of a metric are reported together."""
    points = Points()
    histories = fields.value("metrics")
    if histories is not None and not isinstance(histories, Mapping):
        fields.bad("metrics", "it is no object of histories by key")
        return points
    for name, content in (histories or {}).items():
        problems = Problems(units="points")
        _add_history(record, points, name, content if isinstance(content, list) else [content], problems)
        if problems.count:
            record.gaps.add(f"metrics/{printable(name)}", METRIC_UNREADABLE, problems.text)
    return points


def _add_history(record: RunRecord, points: Points, name: str, history: list[Any], problems: Problems) -> None:
    try:
        key = text_of(name)
    except ValueMalformedError as error:
        problems.add(f"its name: {error}", len(history))
        return
    for number, point in enumerate(history):
        try:
            _add_point(record, points, key, _plain(record, point))
        except ValueMalformedError as error:
            problems.add(f"point {number}: {error}")


def _plain(record: RunRecord, point: object) -> object:
    """Return a point without the fields that this version does not know, which are counted."""
    if not isinstance(point, Mapping) or not {"value", "timestamp"} <= point.keys():
        return point
    fields = ToolFields(point, record.gaps.under(""), path="metrics")
    fields.known(*POINT_KEYS)
    record.gaps.unread += fields.unread()
    return JsonPoint(**{name: point.get(name) for name in JsonPoint._fields})


def _add_point(record: RunRecord, points: Points, key: str, point: object) -> None:
    if not isinstance(point, JsonPoint):
        raise ValueMalformedError("it is no object of value, timestamp and step")
    value, time, step, name, digest = point
    if type(value) is not float or type(time) is not int or type(step) is not int:  # as nearly every point is
        value, time, step = real_of(value), time_of(time), 0 if step is None else integer_of(step)
    if time not in INT64 or step not in INT64:
        raise ValueMalformedError("a number needs more than 64 bits")
    dataset = (text_of(name), text_of(digest)) if name and digest else None
    record.latest.add(key, step, time, value)
    points.keys.append(key)
    points.steps.append(step)
    points.times.append(time)
    points.values.append(value)
    points.datasets.append(dataset)


def points_in_parts(points: Points, limit: int) -> Iterator[Points]:
    """Yield points, at most ``limit`` at a time; the last part may be empty."""
    for start in range(0, max(len(points), 1), limit):
        part = slice(start, start + limit)
        yield Points(
            points.keys[part], points.steps[part], points.times[part], points.values[part], points.datasets[part]
        )


def _read_inputs(record: RunRecord, entry: RunEntry, fields: ToolFields) -> None:
    # Until MLflow 3 came the datasets were all of `inputs`.
    only_datasets = isinstance(fields.value("inputs"), list)
    inputs = fields.object("inputs") if not only_datasets else ToolFields({}, fields.bad)
    for dataset_input in fields.objects("inputs") if only_datasets else inputs.objects("dataset_inputs"):
        row = dataset_row(entry.experiment_id, dataset_input.object("dataset"))
        if row is None:
            continue
        record.datasets.append(row)
        edge = {"run_id": record.run_id, "dataset_name": row["name"], "dataset_digest": row["digest"]}
        tags: list[Row] = pair_rows(dataset_input.pairs("tags"), **edge)
        record.edges.datasets.append((edge, tags))
    record.edges.model_inputs += _model_edges(record.run_id, inputs.objects("model_inputs"))
    outputs = fields.object("outputs")
    record.edges.model_outputs += _model_edges(record.run_id, outputs.objects("model_outputs"))


def _model_edges(run_id: str, edges: Iterable[ToolFields]) -> Iterator[Row]:
    for edge in edges:
        model_id = edge.text("model_id")
        if model_id is None:
            edge.leave_out("", "it names no logged model")
            continue
        yield {"run_id": run_id, "model_id": model_id, "step": edge.integer("step") or 0}


def _find_artifacts(record: RunRecord, entry: RunEntry, selection: Selection) -> None:
    files = join_copies([files_of(folder, record.gaps.add) for folder in entry.artifacts], record.gaps.add)
    paths = [file.path for file in files]
    for gap in missing_declared(RUN, record.run_id, record.tags.get(HISTORY_TAG), paths):
        if not selection.artifact_globs or any(fnmatchcase(gap.path, glob) for glob in selection.artifact_globs):
            record.gaps.add(gap.path, gap.code, gap.reason)
    record.files = selected_files(RUN, record.run_id, files, selection)
