"""Folders of mlflow-export-import as values: the JSON that it writes of a small store, in each of its layouts.

>>> write_exim(Store(experiments=(Experiment(experiment_id="1", name="x"),)), Path("exported"))
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.mlruns import Experiment, Run, Store

SYSTEM: Mapping[str, Any] = {
    "package_version": "1.2.0",
    "script": "export_run.py",
    "export_file_version": "2",
    "export_time": 1684725509,
    "_export_time": "2023-05-22 03:18:29",
    "mlflow_version": "2.3.2",
    "mlflow_tracking_uri": "http://ada:s3cret@tracking:5000",
    "platform": {"python_version": "3.8.15", "system": "Darwin", "processor": "i386"},
    "user": "ada",
}

Json = dict[str, Any]


def write_document(path: Path, body: object, *, info: Json | None = None, **system: Any) -> Path:
    """Write a document with the parts of mlflow-export-import; ``system`` replaces fields of SYSTEM."""
    parts = {"system": {**SYSTEM, **system}, **({"info": info} if info else {}), "mlflow": body}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(parts, indent=2) + "\n", "utf-8")
    return path


def write_exim(store: Store, root: Path, *, runs_folder: str = "runs") -> Path:
    """Write a bulk export of experiments; ``runs_folder`` is '' for the layout until 2025. Return the folder."""
    listed = [{"id": each.experiment_id, "name": each.name} for each in store.experiments]
    write_document(root / "experiments" / "experiments.json", {"experiments": listed})
    for experiment in store.experiments:
        write_experiment(experiment, root / "experiments" / experiment.experiment_id, runs_folder=runs_folder)
    return root


def write_experiment(experiment: Experiment, folder: Path, *, runs_folder: str = "runs") -> None:
    """Write an experiment and its runs."""
    body = {
        "experiment_id": experiment.experiment_id,
        "name": experiment.name,
        "artifact_location": f"s3://bucket/{experiment.experiment_id}",
        "lifecycle_stage": "deleted" if experiment.deleted else "active",
        "tags": dict(experiment.tags),
        "creation_time": experiment.creation_time,
        "last_update_time": experiment.last_update_time,
        "_creation_time": "2023-11-14 22:13:20",
    }
    runs = [run.run_id for run in experiment.runs]
    info = {"num_total_runs": len(runs), "num_ok_runs": len(runs), "num_failed_runs": 0, "failed_runs": []}
    write_document(folder / "experiment.json", {"experiment": body, "runs": runs}, info=info)
    for run in experiment.runs:
        write_run(run, experiment.experiment_id, folder / runs_folder / run.run_id)


def write_run(run: Run, experiment_id: str, folder: Path, **system: Any) -> Path:
    """Write a run and its artifacts; return its document."""
    for path, data in run.artifacts.items():
        place = folder / "artifacts" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return write_document(folder / "run.json", run_body(run, experiment_id), **system)


def run_body(run: Run, experiment_id: str) -> Json:
    """Return what a ``run.json`` says of a run."""
    metrics: dict[str, list[Json]] = {}
    for point in run.metrics:
        name, digest = point.dataset or (None, None)
        metrics.setdefault(point.key, []).append(
            {
                "value": point.value,
                "timestamp": point.timestamp,
                "step": point.step,
                "model_id": None,
                "dataset_name": name,
                "dataset_digest": digest,
                "run_id": None,
            }
        )
    info = {
        "run_id": run.run_id,
        "experiment_id": experiment_id,
        "user_id": run.user_id,
        "status": run.status,
        "start_time": run.start_time,
        "end_time": run.end_time,
        "lifecycle_stage": "deleted" if run.deleted else "active",
        "artifact_uri": f"s3://bucket/{experiment_id}/{run.run_id}/artifacts",
        "_start_time": "2023-11-14 22:13:20",
        **({} if run.name is None else {"run_name": run.name}),
    }
    inputs = [
        {
            "dataset": {
                name: getattr(each.dataset, name)
                for name in ("name", "digest", "source_type", "source", "schema", "profile")
            },
            "tags": [{"key": key, "value": value} for key, value in each.tags.items()],
        }
        for each in run.inputs
    ]
    return {
        "info": info,
        "params": dict(run.params),
        "metrics": metrics,
        "tags": dict(run.tags),
        "inputs": {"dataset_inputs": inputs, "model_inputs": []},
        "outputs": {"model_outputs": []},
    }
