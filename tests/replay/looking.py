"""What is in a target after a replay, as MLflow's own client and API show it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlflow.entities import ViewType

from mlflow_archive.sinks.replay.writing.earlier_imports import DELETED
from tests.replay.conftest import Place

P = "mlflow_export_import."


def logged_models(place: Place, experiment: str) -> dict[str, Any]:
    """Return the logged models of an experiment by name, deleted ones too; each name must be there once."""
    client, found = place.client, place.client.get_experiment_by_name(f"{place.prefix}/{experiment}")
    models = list(client.search_logged_models([found.experiment_id], max_results=100))
    deleted = [value for key, value in found.tags.items() if key.startswith(DELETED)]
    models += [client._tracking_client.store.get_logged_model(model_id, allow_deleted=True) for model_id in deleted]
    by_name = {model.name: model for model in models}
    assert len(by_name) == len(models), "a logged model is there twice"
    return by_name


def runs(place: Place, experiment: str) -> dict[str, Any]:
    """Return the runs of an experiment by name, with inputs and outputs, deleted ones too."""
    client = place.client
    found = client.search_runs([place.experiment(experiment)], run_view_type=ViewType.ALL, max_results=1000)
    by_name = {run.info.run_name: client.get_run(run.info.run_id) for run in found}
    assert len(by_name) == len(found), "a run is there twice"
    return by_name


def versions(place: Place, name: str, *, prompt: bool = False) -> dict[int, Any]:
    """Return the versions of a registered model by number, with aliases."""
    condition = f"name='{place.name(name)}'" + (" AND tags.`mlflow.prompt.is_prompt` = 'true'" if prompt else "")
    found = place.client.search_model_versions(condition, max_results=1000)
    registry = place.client._get_registry_client()
    return {int(v.version): registry.get_model_version(v.name, v.version) for v in found}


def aliases(model: Any) -> dict[str, int]:
    """Return the aliases of a registered model: a server's client has numbers as text, a store's has not."""
    return {alias: int(version) for alias, version in model.aliases.items()}


def files(root: Path) -> dict[str, bytes]:
    """Return what lies in a folder."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def files_of_model(place: Place, model: Any) -> dict[str, bytes]:
    return files(place.folder / str(model.experiment_id) / "models" / model.model_id / "artifacts")


def own_tags(tags: dict[str, str]) -> dict[str, str]:
    """Return the tags that are no source tags and not written by the server."""
    return {k: v for k, v in tags.items() if not k.startswith((P, "mlflow_archive.")) and k != "mlflow.modelVersions"}


def state(place: Place) -> dict[str, Any]:
    """Return all that a second import could change, times of changes too."""
    client = place.client
    found: dict[str, Any] = {}
    for experiment in client.search_experiments(view_type=ViewType.ALL, max_results=1000):
        if not experiment.name.startswith(f"{place.prefix}/"):
            continue
        name = experiment.name.removeprefix(f"{place.prefix}/")
        root = place.folder / str(experiment.experiment_id)
        found[experiment.name] = (dict(experiment), sorted(files(root)) if root.exists() else [])
        found[f"{name} models"] = {n: model.to_dictionary() for n, model in logged_models(place, name).items()}
        found[f"{name} runs"] = {n: repr(run.to_dictionary()) for n, run in runs(place, name).items()}
    for prompt in (False, True):
        condition = "tags.`mlflow.prompt.is_prompt` = 'true'" if prompt else None
        for model in client.search_registered_models(condition, max_results=1000):
            if model.name.startswith(f"{place.prefix}-"):
                short = model.name.removeprefix(f"{place.prefix}-")
                held = client._get_registry_client().get_registered_model(model.name)
                found[model.name] = (held.description, held.tags, aliases(held), held.last_updated_timestamp)
                all_versions = versions(place, short, prompt=prompt)
                found[f"{model.name} versions"] = {number: dict(v) for number, v in all_versions.items()}
    return found
