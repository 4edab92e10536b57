"""What the replay tests of models and the registry start from: a real server, filled by MLflow's own client."""

from __future__ import annotations

import json
import math
import sqlite3
import warnings
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from mlflow import MlflowClient
from mlflow.entities import LoggedModelInput, LoggedModelOutput, LoggedModelStatus, Metric

from tests.support.mlflow_server import MlflowServer

STAGES: Final = {1: "Archived", 2: "Staging", 4: "Production", 12: "Production"}
TIME: Final = 1_700_000_000_000
OWN_FILES: Final = {"MLmodel": b"flavors: {}\nrun_id: RUN\nmodel_id: MODEL\n", "data/w ü.bin": b"\x00\x01"}


NOWHERE = "0123456789abcdef" * 2
"""The id of a run that no test makes."""


@dataclass(kw_only=True)
class Filled:
    """Ids by name; ``own_root`` is a folder with files of a version that lie under no run and no logged model."""

    server: MlflowServer
    own_root: Path
    experiments: dict[str, str] = field(default_factory=dict)
    runs: dict[str, str] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.server.uri)

    def mlmodel(self, name: str, run: str) -> bytes:
        """Return what the file MLmodel of a logged model says."""
        ids = f"run_id: {self.runs[run]}\nmodel_id: {self.models[name]}\nmodel_uuid: '{self.models[name]}'\n"
        return f"artifact_path: mlflow-artifacts:/1/models/{self.models[name]}/artifacts\n{ids}".encode()


def fill(server: MlflowServer, folder: Path) -> Filled:
    """Fill a server; what must be deleted is."""
    filled = Filled(server=server, own_root=folder / "elsewhere" / "model")
    client = filled.client
    for name in ("main", "other", "gone"):
        filled.experiments[name] = client.create_experiment(name)
    for name in ("maker", "user", "deleted"):
        filled.runs[name] = _run(client, filled.experiments["main"], name)
    filled.runs["other"] = _run(client, filled.experiments["other"], "other")
    filled.runs["gone"] = _run(client, filled.experiments["gone"], "gone")
    _models(filled, client, folder)
    _old_run(filled, client)
    _registry(filled, client)
    _prompts(filled, client)
    client.delete_logged_model(filled.models["lost"])
    client.delete_run(filled.runs["deleted"])
    client.delete_experiment(filled.experiments["gone"])
    _own_files(filled)
    return filled


def _run(client: MlflowClient, experiment_id: str, name: str) -> str:
    run = client.create_run(experiment_id, start_time=TIME, run_name=name)
    client.set_terminated(run.info.run_id, end_time=TIME + 1)
    return str(run.info.run_id)


def _models(filled: Filled, client: MlflowClient, folder: Path) -> None:
    main, runs = filled.experiments["main"], filled.runs
    params = {f"p {number} ü": "v" * number for number in range(120)}
    tags = {"odd $@# key": "ü", "long": "y" * 9000, "empty": ""}
    made = {
        "shared": client.create_logged_model(main, "shared", runs["maker"], tags, params, "agent"),
        "alone": client.create_logged_model(filled.experiments["other"], "alone"),
        "failed": client.create_logged_model(main, "failed", runs["user"]),
        "pending": client.create_logged_model(main, "pending", runs["user"]),
        "lost": client.create_logged_model(main, "lost", runs["maker"]),
        "of deleted": client.create_logged_model(main, "of deleted", runs["deleted"]),
        "gone": client.create_logged_model(filled.experiments["gone"], "gone", runs["gone"]),
    }
    filled.models = {name: model.model_id for name, model in made.items()}
    models = filled.models
    for run, name, step in (("maker", "shared", 3), ("maker", "lost", 0), ("deleted", "of deleted", -2)):
        client.log_outputs(runs[run], [LoggedModelOutput(models[name], step)])
    client.log_outputs(runs["gone"], [LoggedModelOutput(models["gone"], 1)])
    client.log_inputs(runs["user"], models=[LoggedModelInput(models["shared"])])
    client.log_inputs(runs["deleted"], models=[LoggedModelInput(models["shared"])])
    _points(filled, client)
    for name, run in (("shared", "maker"), ("alone", "other"), ("lost", "maker"), ("of deleted", "deleted")):
        files = folder / name
        (files / "data").mkdir(parents=True)
        (files / "MLmodel").write_bytes(filled.mlmodel(name, run))
        (files / "data" / "w ü.bin").write_bytes(bytes(range(256)))
        client.log_model_artifacts(models[name], str(files))
    for name in ("shared", "alone", "lost", "of deleted", "gone"):
        client.finalize_logged_model(models[name], LoggedModelStatus.READY)
    client.finalize_logged_model(models["failed"], LoggedModelStatus.FAILED)


def _points(filled: Filled, client: MlflowClient) -> None:
    iris = {"dataset_name": "iris", "dataset_digest": "d1"}
    points: list[tuple[str, str, float, int, dict[str, str]]] = [
        ("user", "accuracy", 0.75, 0, iris),
        ("user", "accuracy", 0.30000000000000004, 1, {}),
        ("user", "accuracy", math.nan, 2, {}),
        ("user", "zero", 0.0, 2, {}),
        ("user", "huge", math.inf, -5, {}),
        ("maker", "accuracy", 0.5, 0, {"dataset_name": "other", "dataset_digest": "d2"}),
        ("deleted", "accuracy", 1e-300, 0, {}),
    ]
    for run, key, value, step, dataset in points:
        metric = Metric(key, value, TIME + step, step, filled.models["shared"], **dataset)
        client.log_batch(filled.runs[run], metrics=[metric])


def _old_run(filled: Filled, client: MlflowClient) -> None:
    """A run whose history and files name a logged model."""
    run_id = filled.runs["old"] = _run(client, filled.experiments["main"], "old")
    shared = filled.models["shared"]
    entry = {"run_id": run_id, "artifact_path": "m", "model_id": shared, "model_uuid": shared, "flavors": {"x": {}}}
    client.set_tag(run_id, "mlflow.log-model.history", json.dumps([entry]))
    client.log_text(run_id, f"run_id: {run_id}\nmodel_id: {shared}\n", "old/MLmodel")


def _registry(filled: Filled, client: MlflowClient) -> None:
    """``many`` has fifteen versions of all kinds of sources, 3, 7 and 15 of them deleted."""
    client.create_registered_model("many", {"owner": "ü", "long": "z" * 4000}, "All kinds of sources.")
    for version in range(1, 16):
        _version(filled, client, version)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # stages are on their way out
        for version, stage in STAGES.items():
            client.transition_model_version_stage("many", str(version), stage)
    for alias, number in {"champion": 12, "challenger": 9, "again": 12, "first": 1}.items():
        client.set_registered_model_alias("many", alias, str(number))
    for version in (3, 7, 15):
        client.delete_model_version("many", str(version))
    client.create_registered_model("a copy")  # sorts before what it is a copy of
    client.copy_model_version("models:/many/2", "a copy")
    client.create_registered_model("empty")


def _version(filled: Filled, client: MlflowClient, version: int) -> None:
    runs, models = filled.runs, filled.models
    proxied = f"{client.get_run(runs['old']).info.artifact_uri}/old"
    in_model = f"{client.get_logged_model(models['shared']).artifact_location}/data"
    sources: tuple[dict[str, Any], ...] = (
        {"source": f"models:/{models['shared']}", "model_id": models["shared"], "run_id": runs["maker"]},
        {"source": f"runs:/{runs['old']}/old", "run_id": runs["old"]},
        {"source": proxied, "run_id": runs["old"]},
        {"source": f"runs:/{runs['deleted']}/none", "run_id": runs["deleted"]},
        {"source": "s3://bucket-of-nobody/models/1"},
        {"source": f"models:/{models['alone']}", "model_id": models["alone"]},
        {"source": in_model, "model_id": models["shared"]},
        {"source": f"models:/{models['lost']}", "model_id": models["lost"]},
    )
    client.create_model_version(
        "many",
        **sources[(version - 1) % len(sources)],
        tags={"number": str(version), "ü": "ü" * version, "long": "t" * 20000},
        description=f"Version {version}" if version != 6 else None,
        run_link="https://example.com/run" if version == 5 else None,
        await_creation_for=0,
    )


def _prompts(filled: Filled, client: MlflowClient) -> None:
    for version in range(1, 12):
        client.register_prompt(
            "text-prompt", f"Hello {{{{name}}}}, {version}", f"Message {version}", {"v": str(version)}
        )
    client.delete_prompt_version("text-prompt", "2")
    client.set_prompt_alias("text-prompt", "live", 11)
    client.set_prompt_tag("text-prompt", "owner", "ü")
    runs = f"{filled.runs['maker']},{NOWHERE},{filled.runs['user']}"
    client.set_prompt_version_tag("text-prompt", "4", "mlflow.prompt.associatedRunIds", runs)
    experiments = f",{filled.experiments['main']},{filled.experiments['other']},"
    client.set_prompt_tag("text-prompt", "_mlflow_experiment_ids", experiments)
    template = [{"role": "system", "content": "Be {{mood}}."}, {"role": "user", "content": "{{question}}"}]
    schema = {"type": "object", "properties": {"answer": {"type": "string"}}}
    config = {"model_name": "gpt-ü", "temperature": 0.25, "max_tokens": 7}
    client.register_prompt("chat-prompt", template, response_format=schema, model_config=config)
    client.register_prompt("long-prompt", "x" * 60_000)


def _own_files(filled: Filled) -> None:
    """Let versions lie where only an older server or another tool puts them: a folder, a run that is gone, nowhere."""
    for path, data in OWN_FILES.items():
        file = filled.own_root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        text = data.replace(b"RUN", filled.runs["maker"].encode()).replace(b"MODEL", filled.models["shared"].encode())
        file.write_bytes(text)
    sources = {9: filled.own_root.as_uri(), 10: f"mlflow-artifacts:/1/{'e' * 32}/artifacts/m", 11: "/no/such/place"}
    with closing(sqlite3.connect(filled.server.database)) as connection, connection:
        for version, source in sources.items():
            connection.execute(
                "UPDATE model_versions SET source = ?, storage_location = ?, run_id = ?"
                " WHERE name = 'many' AND version = ?",
                (source, source, "e" * 32 if version == 10 else None, version),
            )
