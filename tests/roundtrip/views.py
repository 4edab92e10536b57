"""One shape for a run or an experiment, seen from three sides: what was archived, what MLflow answers, what a second
export holds. Equal views are an equal target; what differs by right is in the receipt, and only that is taken off.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from mlflow_archive.flow.report import Report
from mlflow_archive.format.source_tags import ExportFacts, experiment_source_tags, run_source_tags
from tests.support.reading import Read, content

PARENT = "mlflow.parentRunId"
RUN_NAME = "mlflow.runName"
HISTORY = "mlflow.log-model.history"
OWN = "mlflow_archive."
_LARGEST = 1.7976931348623157e308

View = dict[str, Any]
Point = tuple[int, int, str]


def point(step: int, timestamp: int, value: float) -> Point:
    """Return a point as every SQL store has it: infinities are the largest numbers, and -0.0 is 0.0."""
    held = value if math.isnan(value) else max(-_LARGEST, min(_LARGEST, value))
    return step, timestamp, repr(held + 0.0)


def archived(
    read: Read, report: Report, export: ExportFacts, *, prefix: str
) -> tuple[dict[str, View], dict[str, View]]:
    """Return the runs and experiments that the target must hold, by their ids there.

    From what was archived, less what the receipt says was refused.
    """
    experiments: dict[str, View] = {}
    refused = {(one["id"], one["path"]) for one in report.details["refusals"]}  # type: ignore[attr-defined]
    to: Mapping[str, str] = report.details["experiments"]  # type: ignore[assignment]
    sources = {row["experiment_id"]: row for row in read.tables["experiments"]}
    for source_id, row in sources.items():
        tags = {tag["key"]: tag["value"] for tag in read.rows("experiment_tags", experiment_id=source_id)}
        taken = {key: value for key, value in tags.items() if (source_id, key) not in refused}
        experiments[to[source_id]] = {
            "name": prefix + row["name"],
            "stage": row["lifecycle_stage"],
            "tags": {**taken, **experiment_source_tags(row, tags, export=export)},
        }
    runs = {}
    for row in read.tables["runs"]:
        home = sources[row["experiment_id"]]
        target_id, view = _archived_run(read, row, report, refused, home)
        tags = {tag["key"]: tag["value"] for tag in read.rows("tags", run_id=row["run_id"])}
        view["tags"].update(run_source_tags(row, tags, experiment_name=home["name"], export=export))
        runs[target_id] = view
    return runs, experiments


def _archived_run(
    read: Read, row: dict[str, Any], report: Report, refused: set[tuple[str, str]], home: dict[str, Any]
) -> tuple[str, View]:
    run_id: str = row["run_id"]
    to: Mapping[str, str] = report.details["runs"]  # type: ignore[assignment]
    target_id = to[run_id]
    tags = {tag["key"]: tag["value"] for tag in read.rows("tags", run_id=run_id)}
    name = row["run_name"] or tags.pop(RUN_NAME, None) or None
    if name is not None:
        tags[RUN_NAME] = name
    if PARENT in tags:
        tags[PARENT] = to[tags[PARENT]]
    if HISTORY in tags:
        tags[HISTORY] = tags[HISTORY].replace(run_id, target_id)
    metrics: dict[str, set[Point]] = {}
    for each in read.rows("metrics", run_id=run_id):
        metrics.setdefault(each["key"], set()).add(point(each["step"], each["timestamp"], each["value"]))
    files = {file.path: content(file) for file in read.artifacts if file.owner_id == run_id}
    return target_id, {
        "experiment": report.details["experiments"][row["experiment_id"]],  # type: ignore[index]
        "name": name,
        "user": row["user_id"] or "",
        "status": row["status"],
        "start": row["start_time"],
        "end": row["end_time"],
        # A target deletes the runs of an experiment with it.
        "stage": "deleted" if home["lifecycle_stage"] == "deleted" else row["lifecycle_stage"],
        "tags": {key: value for key, value in tags.items() if (run_id, key) not in refused},
        "params": {
            each["key"]: each["value"]
            for each in read.rows("params", run_id=run_id)
            if (run_id, each["key"]) not in refused
        },
        "metrics": {key: sorted(points) for key, points in metrics.items() if (run_id, key) not in refused},
        "inputs": _inputs(read, row),
        "artifacts": {
            path: _with_new_id(path, data, run_id, target_id)
            for path, data in files.items()
            if (run_id, path) not in refused
        },
    }


def _with_new_id(path: str, data: bytes, old: str, new: str) -> bytes:
    if path.rpartition("/")[2] != "MLmodel":
        return data
    return data.replace(b"run_id: " + old.encode(), b"run_id: " + new.encode())


def _inputs(read: Read, row: dict[str, Any]) -> list[tuple[Any, ...]]:
    found = []
    for each in read.rows("dataset_inputs", run_id=row["run_id"]):
        edge = {"dataset_name": each["dataset_name"], "dataset_digest": each["dataset_digest"]}
        key = {"name": each["dataset_name"], "digest": each["dataset_digest"]}
        dataset = read.rows("datasets", experiment_id=row["experiment_id"], **key)[0]
        tags = {tag["key"]: tag["value"] for tag in read.rows("dataset_input_tags", run_id=row["run_id"], **edge)}
        columns = [dataset[name] or "" for name in ("name", "digest", "source_type", "source", "schema", "profile")]
        found.append((*columns, sorted(tags.items())))
    return sorted(found)


def answered(client: Any, target_id: str, files: Callable[[Any], dict[str, bytes]]) -> View:
    """Return a run as MLflow's own client answers for it; ``files`` reads its artifacts."""
    run = client.get_run(target_id)
    info = run.info
    return {
        "experiment": info.experiment_id,
        "name": info.run_name,
        "user": info.user_id,
        "status": info.status,
        "start": info.start_time,
        "end": info.end_time,
        "stage": info.lifecycle_stage,
        "tags": dict(run.data.tags),
        "params": dict(run.data.params),
        "metrics": {
            key: sorted(
                point(each.step, each.timestamp, each.value) for each in client.get_metric_history(target_id, key)
            )
            for key in run.data.metrics
        },
        "inputs": sorted(
            (
                *(getattr(each.dataset, name) or "" for name in ("name", "digest", "source_type", "source", "schema")),
                each.dataset.profile or "",
                sorted((tag.key, tag.value) for tag in each.tags),
            )
            for each in run.inputs.dataset_inputs
        ),
        "artifacts": files(run),
    }


def answered_experiment(client: Any, target_id: str) -> View:
    """Return an experiment as MLflow's own client answers for it."""
    found = client.get_experiment(target_id)
    tags = {key: value for key, value in found.tags.items() if not key.startswith(OWN)}
    return {"name": found.name, "stage": found.lifecycle_stage, "tags": tags}


def exported_again(read: Read) -> tuple[dict[str, View], dict[str, View]]:
    """Return runs and experiments of an export of the target, by id."""
    experiments = {
        row["experiment_id"]: {
            "name": row["name"],
            "stage": row["lifecycle_stage"],
            "tags": {
                tag["key"]: tag["value"]
                for tag in read.rows("experiment_tags", experiment_id=row["experiment_id"])
                if not tag["key"].startswith(OWN)
            },
        }
        for row in read.tables["experiments"]
    }
    same = Report(
        details={
            "refusals": [],
            "runs": {row["run_id"]: row["run_id"] for row in read.tables["runs"]},
            "experiments": {key: key for key in experiments},
        }
    )
    homes = {row["experiment_id"]: row for row in read.tables["experiments"]}
    views = (_archived_run(read, row, same, set(), homes[row["experiment_id"]]) for row in read.tables["runs"])
    return dict(views), experiments


def without_invented_names(expected: Mapping[str, View], found: Mapping[str, View]) -> dict[str, View]:
    """Return ``found`` without the names that MLflow made up for runs that have none."""
    result = {}
    for run_id, view in found.items():
        if expected[run_id]["name"] is None:
            assert view["name"]
            tags = {key: value for key, value in view["tags"].items() if key != RUN_NAME}
            result[run_id] = {**view, "name": None, "tags": tags}
        else:
            result[run_id] = view
    return result


def changes(read: Read, refused_metrics: set[tuple[str, str]] = frozenset()) -> dict[str, int]:  # type: ignore[assignment]
    """Return what the receipt must say has changed, counted from what was archived."""
    counts: Counter[str] = Counter()
    seen = set()
    names = {row["run_id"]: row["value"] for row in read.rows("tags", key=RUN_NAME)}
    counts["run_without_name"] = sum(not (row["run_name"] or names.get(row["run_id"])) for row in read.tables["runs"])
    for row in read.tables["metrics"]:
        counts["points_without_their_dataset"] += row["dataset_name"] is not None
        if (row["run_id"], row["key"]) in refused_metrics:
            continue
        value = "nan" if math.isnan(row["value"]) else repr(row["value"] + 0.0)
        identity = (row["run_id"], row["key"], row["step"], row["timestamp"], value)
        counts["repeated_points"] += identity in seen
        counts["infinite_points"] += math.isinf(row["value"]) and identity not in seen
        zero = row["value"] == 0 and math.copysign(1, row["value"]) < 0
        counts["negative_zero_points"] += zero and identity not in seen
        seen.add(identity)
    return {name: count for name, count in counts.items() if count}
