"""One run of an export: ``run.json`` and the files in ``artifacts`` beside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from mlflow_archive.artifact_roots.declared import HISTORY_TAG, missing_declared
from mlflow_archive.artifact_roots.local import FoundFile
from mlflow_archive.format.fingerprint import run_fingerprint
from mlflow_archive.format.gaps import METRIC_UNREADABLE
from mlflow_archive.format.location import without_password
from mlflow_archive.kinds import RUN
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.exim.documents import JsonPoint, read_document
from mlflow_archive.sources.exim.entries import ACTIVE, RunEntry
from mlflow_archive.sources.exim.fields import INT64, Fields, Malformed, integer_of, real_of, text_of, time_of
from mlflow_archive.sources.exim.files import files_of, join_copies
from mlflow_archive.sources.exim.gapbook import GapBook
from mlflow_archive.sources.reading.gaplist import GapList
from mlflow_archive.sources.reading.points import Latest, Points
from mlflow_archive.sources.reading.rows import Rows

RUN_NAME_TAG: Final = "mlflow.runName"
_STATUSES: Final = frozenset({"RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"})

Row = dict[str, Any]


@dataclass(slots=True, kw_only=True)
class RunRecord:
    """A run. ``info`` has the columns of ``runs``; ``gaps`` is what could not be read of it."""

    run_id: str
    info: Row
    params: Mapping[str, str]
    tags: Mapping[str, str]
    gaps: GapList
    points: Points = field(default_factory=Points)
    latest: Latest = field(default_factory=Latest)
    inputs: list[tuple[Row, list[Row]]] = field(default_factory=list)
    datasets: list[Row] = field(default_factory=list)
    models: dict[str, list[Row]] = field(default_factory=dict)
    artifacts: list[FoundFile] = field(default_factory=list)

    def fingerprint(self) -> str:
        """Return the run's fingerprint."""
        files = [(file.path, file.size) for file in self.artifacts]
        return run_fingerprint(self.info, self.params, self.tags, self.latest.points.values(), files)

    def add_to(self, rows: Rows) -> None:
        """Add the rows of the run but its points, gaps and fingerprint."""
        rows.add("runs", self.info)
        for table, values in (("params", self.params), ("tags", self.tags)):
            for key, value in values.items():
                rows.add(table, {"run_id": self.run_id, "key": key, "value": value})
        for dataset in self.datasets:
            rows.add("datasets", dataset)
        for row, tags in self.inputs:
            rows.add("dataset_inputs", row)
            for tag in tags:
                rows.add("dataset_input_tags", tag)
        for table, found in self.models.items():
            for each in found:
                rows.add(table, each)


def read_run(entry: RunEntry, gap_book: GapBook, selection: Selection, root: Path) -> RunRecord:
    """Read a run. Raises DocumentUnreadableError if it has changed since it was found."""
    body = read_document(entry.path, root).body
    gaps = gap_book.copy_of(RUN, entry.run_id)
    fields = Fields(body, gaps.under(""))
    tags = fields.pairs("tags")
    record = RunRecord(
        run_id=entry.run_id, info=_info(entry, fields, tags), params=fields.pairs("params"), tags=tags, gaps=gaps
    )
    _read_metrics(record, fields)
    _read_inputs(record, fields)
    fields.rest("traces")
    if selection.artifacts:
        _find_artifacts(record, entry, selection)
    return record


def _info(entry: RunEntry, fields: Fields, tags: Mapping[str, str]) -> Row:
    info = fields.object("info", place="")
    uri, status = info.text("artifact_uri"), info.text("status")
    if status is not None and status not in _STATUSES:
        info.bad("status", f"it is {status!r}, expected a name such as FINISHED")
        status = None
    row = {
        "run_id": entry.run_id,
        "run_uuid": info.text("run_uuid"),
        "experiment_id": entry.experiment_id,
        "run_name": info.text("run_name") or tags.get(RUN_NAME_TAG),
        "user_id": info.text("user_id"),
        "status": status,
        "start_time": info.time("start_time"),
        "end_time": info.time("end_time"),
        "lifecycle_stage": info.text("lifecycle_stage") or ACTIVE,
        "artifact_uri": None if uri is None else without_password(uri),
    }
    info.rest("run_id", "experiment_id")
    return row


def _read_metrics(record: RunRecord, fields: Fields) -> None:
    found = fields.value("metrics")
    if found is not None and not isinstance(found, Mapping):
        fields.bad("metrics", "it is no object of histories by key")
        return
    for name, history in (found or {}).items():
        bad = 0
        first = ""
        points = history if isinstance(history, list) else [history]
        try:
            key = text_of(name)
        except Malformed as error:
            first, bad, points = f"its name: {error}", len(points), []
        for number, point in enumerate(points):
            try:
                _add_point(record, key, point)
            except Malformed as error:
                bad += 1
                first = first or f"point {number}: {error}"
        if bad:
            reason = first if bad == 1 else f"{first}; {bad} points in all"
            record.gaps.add(f"metrics/{_printable(name)}", METRIC_UNREADABLE, reason)


def _add_point(record: RunRecord, key: str, found: object) -> None:
    if not isinstance(found, JsonPoint):
        raise Malformed("it is no object of value, timestamp and step")
    value, time, step, name, digest = found
    if type(value) is not float or type(time) is not int or type(step) is not int:  # as nearly every point is
        value, time, step = real_of(value), time_of(time), 0 if step is None else integer_of(step)
    if time not in INT64 or step not in INT64:
        raise Malformed("a number needs more than 64 bits")
    dataset = (text_of(name), text_of(digest)) if name and digest else None
    record.latest.add(key, step, time, value)
    points = record.points
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


def _read_inputs(record: RunRecord, fields: Fields) -> None:
    # Until MLflow 3 came the datasets were all of `inputs`.
    only_datasets = isinstance(fields.value("inputs"), list)
    inputs = fields.object("inputs") if not only_datasets else Fields({}, fields.bad)
    for each in fields.objects("inputs") if only_datasets else inputs.objects("dataset_inputs"):
        row = dataset_row(record.info["experiment_id"], each.object("dataset"))
        if row is None:
            continue
        record.datasets.append(row)
        edge = {"run_id": record.run_id, "dataset_name": row["name"], "dataset_digest": row["digest"]}
        tags = [{**edge, "key": key, "value": value} for key, value in each.pairs("tags").items()]
        record.inputs.append((edge, tags))
        each.rest()
    record.models = {"model_inputs": list(_model_edges(record.run_id, inputs.objects("model_inputs")))}
    inputs.rest()
    outputs = fields.object("outputs")
    record.models["model_outputs"] = list(_model_edges(record.run_id, outputs.objects("model_outputs")))
    outputs.rest()


def dataset_row(experiment_id: str, found: Fields) -> Row | None:
    """Return a row of ``datasets``; None, told as a gap, where name or digest is missing."""
    name, digest = found.text("name"), found.text("digest")
    if name is None or digest is None:
        found.bad("", "it states no name and digest, which tell datasets apart")
        return None
    row = {
        "experiment_id": experiment_id,
        "name": name,
        "digest": digest,
        "source_type": found.text("source_type") or "",
        "source": found.json("source") or "",
        "schema": found.json("schema"),
        "profile": found.json("profile"),
    }
    found.rest()
    return row


def _model_edges(run_id: str, edges: Iterable[Fields]) -> Iterator[Row]:
    for each in edges:
        model_id = each.text("model_id")
        if model_id is None:
            each.bad("", "it names no logged model")
            continue
        yield {"run_id": run_id, "model_id": model_id, "step": each.integer("step") or 0}
        each.rest()


def _find_artifacts(record: RunRecord, entry: RunEntry, selection: Selection) -> None:
    found = join_copies([files_of(folder, record.gaps.add) for folder in entry.artifacts], record.gaps.add)
    paths = [file.path for file in found]
    for gap in missing_declared(RUN, record.run_id, record.tags.get(HISTORY_TAG), paths):
        if not selection.artifact_globs or any(fnmatchcase(gap.path, glob) for glob in selection.artifact_globs):
            record.gaps.add(gap.path, gap.code, gap.reason)
    record.artifacts = [file for file in found if selection.wants_artifact(file.path, file.size)]


def _printable(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()
