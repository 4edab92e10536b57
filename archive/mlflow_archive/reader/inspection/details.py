"""Everything an archive holds of one run or experiment."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from mlflow_archive.errors import SelectionError
from mlflow_archive.format.manifest import Export
from mlflow_archive.kinds import EXPERIMENT, RUN
from mlflow_archive.reader.archive import Archive
from mlflow_archive.reader.inspection.listing import Record, list_artifacts
from mlflow_archive.reader.inspection.rows import Moment, plain_rows
from mlflow_archive.selecting.selection import Selection

_NAMED_IN_ERRORS: Final = 5
_RUN_ID: Final = re.compile("[0-9a-f]{32}")
_OF_A_RUN: Final = (
    *("runs", "params", "tags", "metrics", "dataset_inputs", "dataset_input_tags"),
    *("artifacts", "gaps"),
)
_BESIDE_RUNS: Final = ("experiments", "datasets", "logged_models")


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricHistory:
    """All points of one metric in order of step, time and value; ``timestamps`` in ms since the epoch."""

    key: str
    steps: list[int]
    timestamps: list[int]
    values: list[float]

    def to_json(self) -> dict[str, Any]:
        return {"steps": self.steps, "timestamps_ms": self.timestamps, "values": self.values}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDetails:
    """A run; ``inputs`` are dataset inputs with the columns of ``datasets`` and their ``tags``.

    ``logged_models`` are those it made, ``artifacts`` its own, without those of the models.
    """

    info: Record
    experiment: Record
    params: dict[str, str]
    tags: dict[str, str | None]
    metrics: list[MetricHistory]
    inputs: list[Record]
    logged_models: list[Record]
    artifacts: list[Record]
    gaps: list[Record]
    export: Export

    def to_json(self) -> dict[str, Any]:
        return {
            "run": self.info,
            "experiment": self.experiment,
            "params": self.params,
            "tags": self.tags,
            "metrics": {history.key: history.to_json() for history in self.metrics},
            "inputs": self.inputs,
            "logged_models": self.logged_models,
            "artifacts": [{name: row[name] for name in ("path", "size", "digest")} for row in self.artifacts],
            "gaps": self.gaps,
            "export": {"number": self.export.number, "created": Moment(self.export.created_ms)},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentDetails:
    """An experiment; ``runs`` counts its runs by lifecycle stage and status."""

    info: Record
    tags: dict[str, str | None]
    runs: dict[str, int]
    gaps: list[Record]

    def to_json(self) -> dict[str, Any]:
        return {"experiment": self.info, "tags": self.tags, "runs": self.runs, "gaps": self.gaps}


def find_run(archive: Archive, text: str) -> str:
    """Return the id of the run meant by an id, the start of one, or a name. Raises SelectionError if not unique."""
    if text and archive.table("runs", columns=["run_id"], owners=[text]).num_rows:
        return text
    rows = archive.table("runs", columns=["run_id", "run_name"])
    by_name = rows.filter(pc.equal(rows["run_name"], text))["run_id"].to_pylist()
    by_prefix = rows.filter(pc.starts_with(rows["run_id"], pattern=text))["run_id"].to_pylist() if text else []
    for run_ids in (by_prefix, by_name):
        if len(run_ids) == 1:
            return str(run_ids[0])
    if candidates := by_prefix or by_name:
        examples = ", ".join(candidates[:_NAMED_IN_ERRORS]) + (", …" if len(candidates) > _NAMED_IN_ERRORS else "")
        raise SelectionError(
            f"{len(candidates)} runs of {archive.path} match {text!r}: {examples}; give more of the id"
        )
    raise SelectionError(
        f"no run of {archive.path} has the id or name {text!r}; `mlflow-archive ls {archive.path} runs` lists them"
    )


def anticipate_run(archive: Archive, name: str) -> None:
    """Read ahead what :func:`find_run` and :func:`run_details` will, if a text is an id as MLflow makes them."""
    if _RUN_ID.fullmatch(name):
        archive.anticipate(dict.fromkeys(_OF_A_RUN, (name,)) | dict.fromkeys(_BESIDE_RUNS))


def run_details(archive: Archive, run_id: str) -> RunDetails:
    """Read everything about a run by its full id. Raises SelectionError, DamagedError."""
    run_rows = plain_rows(archive.table("runs", owners=[run_id]))
    if not run_rows:
        raise SelectionError(f"no run {run_id!r} in {archive.path}")
    info = run_rows[0]
    experiments = plain_rows(archive.table("experiments", owners=[info["experiment_id"]]))
    return RunDetails(
        info=info,
        experiment=experiments[0] if experiments else {"experiment_id": info["experiment_id"], "name": None},
        params=_pairs(archive, "params", run_id),
        tags=_pairs(archive, "tags", run_id),
        metrics=_histories(archive, run_id),
        inputs=_inputs(archive, run_id, info["experiment_id"]),
        logged_models=made_models(archive, run_id),
        artifacts=list_artifacts(archive, run_id),
        gaps=_gaps(archive, RUN, run_id),
        export=_export_of(archive, run_id),
    )


def made_models(archive: Archive, run_id: str) -> list[Record]:
    """Return ``model_id``, ``name``, ``status`` and ``model_type`` of the logged models a run made, newest first.

    Deleted ones are left out.
    """
    names = ("model_id", "name", "status", "model_type")
    needed = [*names, "source_run_id", "lifecycle_stage", "creation_timestamp"]
    models = []
    for rows in archive.batches("logged_models", columns=needed):
        run_models = plain_rows(rows.filter(pc.equal(rows["source_run_id"], run_id)))
        models += [row for row in run_models if row["lifecycle_stage"] != "deleted"]
    models.sort(key=lambda row: -(row["creation_timestamp"] or 0))
    return [{name: row[name] for name in names} for row in models]


def experiment_details(archive: Archive, text: str) -> ExperimentDetails:
    """Read an experiment by id or name. Raises SelectionError if there is none, or several of that name."""
    info = _experiment_named(archive, text)
    experiment_id = info["experiment_id"]
    counts: dict[str, int] = {}
    runs = archive.table("runs", columns=["experiment_id", "lifecycle_stage", "status"])
    for row in runs.filter(pc.equal(runs["experiment_id"], experiment_id)).to_pylist():
        kind = f"{row['lifecycle_stage']} {row['status']}"
        counts[kind] = counts.get(kind, 0) + 1
    return ExperimentDetails(
        info=info,
        tags=_pairs(archive, "experiment_tags", experiment_id),
        runs=dict(sorted(counts.items())),
        gaps=_gaps(archive, EXPERIMENT, experiment_id),
    )


def _experiment_named(archive: Archive, text: str) -> Record:
    rows, selection = plain_rows(archive.table("experiments")), Selection(experiments=(text,))
    matches = [row for row in rows if selection.matches_experiment(row["experiment_id"], row["name"])]
    matches = [row for row in matches if row["experiment_id"] == text] or matches
    if len(matches) != 1:
        examples = (
            ", ".join(f"{row['name']!r} (id {row['experiment_id']})" for row in rows[:_NAMED_IN_ERRORS]) or "none"
        )
        finding = f"{len(matches)} experiments match" if matches else "no experiment matches"
        raise SelectionError(f"{finding} {text!r} in {archive.path}; it has {examples}")
    return matches[0]


def _pairs(archive: Archive, table: str, owner: str) -> dict[str, Any]:
    rows = archive.table(table, owners=[owner])
    return dict(zip(rows["key"].to_pylist(), rows["value"].to_pylist(), strict=True))


def _gaps(archive: Archive, kind: str, owner: str) -> list[Record]:
    rows = archive.table("gaps", owners=[owner]).to_pylist()
    names = ("path", "code", "reason")
    return [{name: row[name] for name in names} for row in rows if row["owner_kind"] == kind]


def _histories(archive: Archive, run_id: str) -> list[MetricHistory]:
    histories: dict[str, MetricHistory] = {}
    for rows in archive.batches("metrics", columns=["key", "step", "timestamp", "value"], owners=[run_id]):
        columns = (rows["key"], rows["step"], rows["timestamp"].cast(pa.int64()), rows["value"])
        for key, step, timestamp, value in zip(*(column.to_pylist() for column in columns), strict=True):
            history = histories.get(key)
            if history is None:
                history = histories[key] = MetricHistory(key=key, steps=[], timestamps=[], values=[])
            history.steps.append(step)
            history.timestamps.append(timestamp)
            history.values.append(value)
    return list(histories.values())


def _inputs(archive: Archive, run_id: str, experiment_id: str) -> list[Record]:
    inputs = archive.table("dataset_inputs", owners=[run_id]).to_pylist()
    if not inputs:
        return []
    datasets = {
        (row["name"], row["digest"]): row for row in archive.table("datasets", owners=[experiment_id]).to_pylist()
    }
    tags: dict[tuple[str, str], dict[str, str]] = {}
    for row in archive.table("dataset_input_tags", owners=[run_id]).to_pylist():
        tags.setdefault((row["dataset_name"], row["dataset_digest"]), {})[row["key"]] = row["value"]
    records = []
    for row in inputs:
        key = (row["dataset_name"], row["dataset_digest"])
        known = datasets.get(key, {})
        rest = {name: known.get(name) for name in ("source_type", "source", "schema", "profile")}
        records.append({"name": key[0], "digest": key[1], **rest, "tags": tags.get(key, {})})
    return records


def _export_of(archive: Archive, run_id: str) -> Export:
    """Return the newest export that holds the run."""
    for member in reversed(archive.parts("runs")):
        for rows in archive.open_part(member).groups([run_id], ["run_id"]):
            if pc.any(pc.equal(rows["run_id"], run_id)).as_py():
                return archive.manifest.exports[member.export - 1]
    return archive.newest_export
