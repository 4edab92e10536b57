"""A target behind HTTP: any MLflow tracking server, through its REST API."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self
from urllib.parse import urlsplit

from mlflow_archive.errors import ItemError, ServerError
from mlflow_archive.http.server import probe
from mlflow_archive.http.session import TrackingSession
from mlflow_archive.sinks.replay.target.paging import entries
from mlflow_archive.sinks.replay.target.shared_folders import SharedFolders
from mlflow_archive.sinks.replay.target.target import (
    NOBODY,
    PAGE,
    Api,
    DatasetInput,
    NewRun,
    Point,
    TargetArtifacts,
    TargetExperiment,
    TargetRun,
    entries_of,
    json_number,
    pairs_of,
    tag_condition,
)
from mlflow_archive.sinks.replay.writing.artifacts import LocalPlace, ProxyPlace, local_root
from mlflow_archive.sinks.replay.writing.direct_place import DirectPlace

_API = "/api/2.0/mlflow/"


class RestTarget:
    """A tracking server; the session is closed with it."""

    def __init__(self, session: TrackingSession) -> None:
        self._session = session
        self._folders = SharedFolders(session)
        self._neighbours: dict[tuple[str, str | None], TrackingSession] = {}
        self.uri = session.uri
        self.version: str | None = None

    @property
    def api(self) -> Api:
        return self._session

    def check(self) -> None:
        self.version = probe(self._session)

    def in_workspace(self, name: str | None) -> Self:
        view = copy.copy(self)
        view._session = self._session.in_workspace(name)
        return view

    def close(self) -> None:
        for neighbour in self._neighbours.values():
            neighbour.close()
        self._session.close()

    def _post(self, name: str, body: Mapping[str, Any], *, idempotent: bool = True) -> Any:
        return self._session.post(_API + name, body, idempotent=idempotent)

    def _switch(self, name: str, body: Mapping[str, Any]) -> None:
        """Delete or restore: MLflow refuses both of what is so already, which a repeat may find."""
        self._session.post(_API + name, body, is_done=_is_so_already)

    def experiments(self) -> Iterator[TargetExperiment]:
        body = {"view_type": "ALL", "order_by": ["creation_time ASC"]}
        for experiment in entries(lambda page: self._post("experiments/search", {**body, **page}), "experiments"):
            yield TargetExperiment(
                experiment_id=experiment["experiment_id"],
                name=experiment["name"],
                deleted=experiment.get("lifecycle_stage") == "deleted",
                tags=pairs_of(experiment.get("tags", [])),
            )

    def create_experiment(self, name: str, tags: Mapping[str, str]) -> str:
        body = {"name": name, "tags": entries_of(tags)}
        return str(self._post("experiments/create", body, idempotent=False)["experiment_id"])

    def set_experiment_tag(self, experiment_id: str, key: str, value: str) -> None:
        self._post("experiments/set-experiment-tag", {"experiment_id": experiment_id, "key": key, "value": value})

    def delete_experiment(self, experiment_id: str) -> None:
        self._switch("experiments/delete", {"experiment_id": experiment_id})

    def restore_experiment(self, experiment_id: str) -> None:
        self._switch("experiments/restore", {"experiment_id": experiment_id})

    def tagged_runs(self, experiment_id: str, key: str, value: str | None = None) -> Iterator[TargetRun]:
        body: dict[str, Any] = {
            "experiment_ids": [experiment_id],
            "filter": tag_condition(key, value),
            "run_view_type": "ALL",
            "order_by": ["attributes.start_time ASC"],
        }
        runs = entries(lambda page: self._post("runs/search", {**body, **page}), "runs", size=PAGE)
        return map(_run, runs)

    def get_run(self, run_id: str) -> TargetRun:
        return _run(self._session.get(_API + "runs/get", {"run_id": run_id})["run"])

    def create_run(self, new: NewRun) -> TargetRun:
        body = {
            "experiment_id": new.experiment_id,
            "user_id": new.user_id,
            "start_time": new.start_time,
            "run_name": new.name,
            "tags": entries_of(new.tags),
        }
        return _run(self._post("runs/create", body, idempotent=False)["run"])

    def log_batch(
        self, run_id: str, *, metrics: Sequence[Point], params: Sequence[tuple[str, str]], tags: Mapping[str, str]
    ) -> None:
        body = {
            "run_id": run_id,
            "metrics": [
                {"key": key, "value": json_number(value), "timestamp": time, "step": step}
                for key, value, time, step in metrics
            ],
            "params": [{"key": key, "value": value} for key, value in params],
            "tags": entries_of(tags),
        }
        self._post("runs/log-batch", body)

    def log_inputs(self, run_id: str, inputs: Sequence[DatasetInput]) -> None:
        self._post("runs/log-inputs", {"run_id": run_id, "datasets": [_dataset(item) for item in inputs]})

    def update_run(self, run_id: str, *, status: str | None, end_time: int | None, name: str | None) -> None:
        body = {"run_id": run_id, "status": status, "end_time": end_time, "run_name": name}
        self._post("runs/update", {field: value for field, value in body.items() if value is not None})

    def delete_tag(self, run_id: str, key: str) -> None:
        try:
            self._post("runs/delete-tag", {"run_id": run_id, "key": key})
        except ServerError as exc:
            if exc.error_code != "RESOURCE_DOES_NOT_EXIST" or key in self.get_run(run_id).tags:
                raise

    def delete_run(self, run_id: str) -> None:
        self._switch("runs/delete", {"run_id": run_id})

    def restore_run(self, run_id: str) -> None:
        self._switch("runs/restore", {"run_id": run_id})

    def artifacts(self, run: TargetRun) -> TargetArtifacts:
        return self.place(run.artifact_uri, {"run_id": run.run_id})

    def place(self, uri: str, owner: Mapping[str, str] = NOBODY) -> TargetArtifacts:
        if uri.startswith("mlflow-artifacts:"):
            host = urlsplit(uri).netloc
            keeper = self._keeper(host) if host else self._session
            return ProxyPlace(keeper, uri, is_neighbour=keeper is not self._session)
        root = local_root(uri)
        if root is None:
            return DirectPlace(self._session, uri, owner)
        if not self._folders.is_shared(root):
            message = (
                f"the server keeps artifacts in {uri}, which is not on this machine; "
                "run the import there, or start the server with --serve-artifacts"
            )
            raise ItemError(message)
        return LocalPlace(root)

    def _keeper(self, host: str) -> TrackingSession:
        """Return a session with the server that keeps artifacts of the target: itself, or one that it names."""
        key = (host, self._session.workspace)
        if key not in self._neighbours:
            self._neighbours[key] = self._session.beside(host)
        neighbour = self._neighbours[key]
        return self._session if neighbour.uri == self._session.uri else neighbour


def _is_so_already(error: ServerError) -> bool:
    return error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "INVALID_STATE")


def _dataset(item: DatasetInput) -> dict[str, Any]:
    dataset = {
        "name": item.name,
        "digest": item.digest,
        "source_type": item.source_type,
        "source": item.source,
        "schema": item.schema,
        "profile": item.profile,
    }
    return {
        "tags": [{"key": key, "value": value} for key, value in item.tags],
        "dataset": {name: value for name, value in dataset.items() if value is not None},
    }


def _run(answer: Mapping[str, Any]) -> TargetRun:
    info, data = answer["info"], answer.get("data", {})
    tags = pairs_of(data.get("tags", []))
    inputs = answer.get("inputs", {}).get("dataset_inputs", [])
    return TargetRun(
        run_id=info.get("run_id") or info["run_uuid"],
        experiment_id=info["experiment_id"],
        name=info.get("run_name") or tags.get("mlflow.runName"),
        user_id=info.get("user_id", ""),
        status=info.get("status", "RUNNING"),
        start_time=int(info.get("start_time", 0)),
        end_time=int(info["end_time"]) if "end_time" in info else None,
        deleted=info.get("lifecycle_stage") == "deleted",
        artifact_uri=info.get("artifact_uri", ""),
        params=pairs_of(data.get("params", [])),
        tags=tags,
        latest={
            entry["key"]: (
                entry["key"],
                float(entry.get("value", 0.0)),
                int(entry.get("timestamp", 0)),
                int(entry.get("step", 0)),
            )
            for entry in data.get("metrics", [])
        },
        inputs=frozenset((entry["dataset"]["name"], entry["dataset"]["digest"]) for entry in inputs),
    )
