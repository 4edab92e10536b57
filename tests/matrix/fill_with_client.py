"""Fill a server by the public client of its own MLflow version; run by the interpreter of that version.

    python fill_with_client.py http://127.0.0.1:5000

Prints how many objects of each kind were made, as JSON. Nothing of this project is imported.
"""

from __future__ import annotations

import json
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

NUMBER = tuple(int(part) for part in mlflow.__version__.split(".")[:2])
TIME = 1_700_000_000_000


def main(uri: str) -> None:
    mlflow.set_tracking_uri(uri)
    client = MlflowClient(uri)
    experiment_id = client.create_experiment("versions ü", tags={"team": "ü"})
    mlflow.set_experiment(experiment_id=experiment_id)
    made = Counter(experiment=2)  # with MLflow's own
    runs = [_run(client, experiment_id, name) for name in ("parent", "child", "deleted")]
    client.set_tag(runs[1], "mlflow.parentRunId", runs[0])
    made["run"] = len(runs)
    _model(client, runs[0])
    made["registered_model"] += 1
    if NUMBER >= (2, 14):
        _trace()
        made["trace"] += 1
    if NUMBER >= (2, 21):
        _prompt(client)
        made["registered_model"] += 1
    if NUMBER >= (3, 0):
        model = client.create_logged_model(experiment_id, "logged", runs[0], tags={"t": "ü"}, params={"p": "1"})
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "MLmodel").write_text("flavors: {}\n")
            client.log_model_artifacts(model.model_id, folder)
        client.finalize_logged_model(model.model_id, "READY")
        made["logged_model"] += 1
    client.delete_run(runs[2])
    sys.stdout.write("made " + json.dumps(made) + "\n")


def _run(client: Any, experiment_id: str, name: str) -> str:
    run = client.create_run(experiment_id, start_time=TIME, run_name=name, tags={"kind": name})
    run_id: str = run.info.run_id
    metrics = [Metric("loss", value, TIME + step, step) for step, value in enumerate((0.5, float("nan"), 1.5))]
    client.log_batch(run_id, metrics=metrics, params=[Param("lr", "0.1")], tags=[RunTag("ü tag", "ü")])
    dataset = Dataset(name="iris", digest="d1", source_type="http", source='{"url": "https://x"}')
    client.log_inputs(run_id, datasets=[DatasetInput(dataset, [InputTag("mlflow.data.context", "train")])])
    client.log_text(run_id, "flavors: {}\n", "model/MLmodel")
    client.set_terminated(run_id, end_time=TIME + 9000)
    return run_id


def _model(client: Any, run_id: str) -> None:
    """Make three versions, of which the second is deleted."""
    client.create_registered_model("registered", tags={"team": "ü"}, description="About ü.")
    source = client.get_run(run_id).info.artifact_uri + "/model"
    for _ in range(3):
        client.create_model_version("registered", source, run_id, tags={"v": "ü"}, description="One of them.")
    client.delete_model_version("registered", "2")
    client.set_registered_model_alias("registered", "live", "3")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # stages will not be there for ever
        client.transition_model_version_stage("registered", "1", "Staging")


def _trace() -> None:
    with mlflow.start_span("root") as root:
        root.set_inputs({"question": "What is ü?"})
        with mlflow.start_span("step") as step:
            step.set_attribute("n", 1)
        root.set_outputs({"answer": [1, "b"]})
    flush = getattr(mlflow, "flush_trace_async_logging", None)
    if flush is not None:
        flush()


def _prompt(client: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it has moved from version to version
        client.register_prompt("prompt", "Say {{ what }}.")
        client.register_prompt("prompt", "Do say {{ what }}.")


if __name__ == "__main__":
    main(sys.argv[1])
