"""Experiments, runs and logged models."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

from mlflow import MlflowClient
from mlflow.data.http_dataset_source import HTTPDatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelInput,
    LoggedModelOutput,
    LoggedModelStatus,
    Metric,
    Param,
    RunTag,
)

MODEL_FILES = {"MLmodel": b"flavors: {}\n", "data/weights ü.bin": bytes(range(256))}


@dataclass(kw_only=True)
class Runs:
    """Ids by name."""

    experiments: dict[str, str] = field(default_factory=dict)
    runs: dict[str, str] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)


def fill_runs(client: MlflowClient, folder: Path, prefix: str) -> Runs:
    """Make experiments, runs and logged models.

    Runs: ``parent`` made the model ``shared`` that ``child`` and ``evaluation`` used; ``elsewhere`` lies in another
    experiment; ``deleted`` is. ``gone`` is an experiment that is deleted at the end by :func:`delete_experiment`.
    """
    made = Runs()
    for name in ("main", "elsewhere", "gone"):
        tags = {"team": "ü", "mlflow.note.content": "x" * 6000} if name == "main" else {}
        made.experiments[name] = client.create_experiment(f"{prefix}{name}", tags=tags)
    main = made.experiments["main"]
    for name in ("parent", "child", "evaluation", "deleted"):
        made.runs[name] = _run(client, main, name)
    made.runs["elsewhere"] = _run(client, made.experiments["elsewhere"], "elsewhere")
    made.runs["gone"] = _run(client, made.experiments["gone"], "gone")
    client.set_tag(made.runs["child"], "mlflow.parentRunId", made.runs["parent"])
    client.log_text(made.runs["parent"], "notes\n", "docs/notes.txt")
    client.log_text(made.runs["parent"], "flavors: {}\n", "old-model/MLmodel")
    _models(client, made, folder)
    client.delete_run(made.runs["deleted"])
    return made


def _run(client: MlflowClient, experiment_id: str, name: str) -> str:
    run = client.create_run(experiment_id, start_time=1_700_000_000_000, run_name=name, tags={"kind": name})
    run_id: str = run.info.run_id
    values = (0.5, math.nan, 1.5)
    metrics = [Metric("loss", value, 1_700_000_000_000 + step, step) for step, value in enumerate(values)]
    client.log_batch(run_id, metrics=metrics, params=[Param("lr", "0.1")], tags=[RunTag("ü tag", "ü")])
    client.log_inputs(run_id, datasets=[DatasetInput(_dataset(), [InputTag("mlflow.data.context", "train")])])
    client.set_terminated(run_id, end_time=1_700_000_009_000)
    return run_id


def _dataset() -> Dataset:
    source = HTTPDatasetSource(url="https://example.com/iris.csv")
    return MetaDataset(source, name="iris", digest="d1")._to_mlflow_entity()


def _models(client: MlflowClient, made: Runs, folder: Path) -> None:
    main, parent = made.experiments["main"], made.runs["parent"]
    params = {f"p{number}": "v" * number for number in range(150)}
    shared = client.create_logged_model(
        main, "shared", parent, tags={"stage": "ü", "long": "y" * 5000}, params=params, model_type="agent"
    ).model_id
    client.log_outputs(parent, [LoggedModelOutput(shared, 3)])
    for name in ("child", "evaluation"):
        client.log_inputs(made.runs[name], models=[LoggedModelInput(shared)])
    metrics: list[tuple[str, float, int, dict[str, str]]] = [
        ("accuracy", 0.75, 0, {"dataset_name": "iris", "dataset_digest": "d1"}),
        ("accuracy", 0.875, 1, {"dataset_name": "iris", "dataset_digest": "d1"}),
        ("accuracy", math.nan, 2, {}),
        ("f1", -0.1, 7, {}),
    ]
    for key, value, step, dataset in metrics:
        client.log_metric(
            made.runs["evaluation"], key, value, 1_700_000_100_000 + step, step, model_id=shared, **dataset
        )
    client.log_metric(parent, "f1", 0.25, 1_700_000_100_000, 7, model_id=shared)
    # `alone` lies in no run; the others are not ready.
    alone = client.create_logged_model(made.experiments["elsewhere"], "alone").model_id
    failed = client.create_logged_model(main, "failed", made.runs["child"], params={"a": "b"}).model_id
    pending = client.create_logged_model(main, "pending", made.runs["child"]).model_id
    lost = client.create_logged_model(main, "lost", made.runs["child"]).model_id
    made.models = {"shared": shared, "alone": alone, "failed": failed, "pending": pending, "lost": lost}
    for name in ("shared", "alone"):
        client.log_model_artifacts(made.models[name], str(_model_folder(folder / name, name)))
        client.finalize_logged_model(made.models[name], LoggedModelStatus.READY)
    client.finalize_logged_model(failed, LoggedModelStatus.FAILED)
    client.delete_logged_model(lost)


def _model_folder(folder: Path, name: str) -> Path:
    for path, data in {**MODEL_FILES, "name.txt": name.encode()}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder
