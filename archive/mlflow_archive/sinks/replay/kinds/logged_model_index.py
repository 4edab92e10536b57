"""Which source logged models are in the target already, by the tag that an import leaves on each.

MLflow's search does not show deleted ones. Of those the experiment keeps a tag, set before the model is deleted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from threading import Lock
from typing import Any, Final

from mlflow_archive.format.source_tags import OWN_PREFIX, PREFIX
from mlflow_archive.sinks.replay.experiments import STATE, Bound
from mlflow_archive.sinks.replay.receipt import Receipt
from mlflow_archive.sinks.replay.target import Api, tag_condition

SOURCE_MODEL_ID: Final = PREFIX + "logged_model.model_id"
# Written where source tags are off; it wins, as then source tags on a model are what an earlier import left.
IDENTITY: Final = OWN_PREFIX + "source_model_id"
DELETED: Final = OWN_PREFIX + "deleted_logged_model."
"""Start of the key of an experiment's tag; then comes the source's id. The value is the target's id."""
SEARCH: Final = "/api/2.0/mlflow/logged-models/search"
_PAGE = 200


class LoggedModelIndex:
    """Source id to target id, read once for each experiment of the target. Usable by several threads."""

    def __init__(self, api: Api, receipt: Receipt) -> None:
        self._api = api
        self._receipt = receipt
        self._lock = Lock()
        self._loading: dict[str, Lock] = {}
        self._known: dict[str, dict[str, str]] = {}
        self._deleted: dict[str, set[str]] = {}

    def lookup(self, bound: Bound, source_id: str) -> str | None:
        """Return the id of the target's copy of a source model in an experiment, or None."""
        if bound.new or bound.target_id is None:
            return None
        with self._lock:
            loading = self._loading.setdefault(bound.target_id, Lock())
        with loading:
            if bound.target_id not in self._known:
                self._known[bound.target_id] = self._load(bound.target_id)
        return self._known[bound.target_id].get(source_id)

    def is_deleted(self, bound: Bound, target_id: str) -> bool:
        """Say whether an earlier import deleted a model that ``lookup`` gave."""
        return target_id in self._deleted.get(bound.target_id or "", ())

    def search(self, experiment_ids: Sequence[str], key: str, source_id: str) -> dict[str, Any] | None:
        """Ask the target itself for the model with a tag; the answer is that of MLflow's search."""
        found = search_models(self._api, experiment_ids, tag_condition(key, source_id))
        return next((model for model in found if identity(model) == source_id), None)

    def _load(self, experiment_id: str) -> dict[str, str]:
        known: dict[str, str] = {}
        complete: set[str] = set()
        experiment = self._api.get("/api/2.0/mlflow/experiments/get", {"experiment_id": experiment_id})["experiment"]
        for tag in experiment.get("tags", []):
            if tag["key"].startswith(DELETED):
                known[tag["key"].removeprefix(DELETED)] = tag["value"]
        self._deleted[experiment_id] = set(known.values())
        for key in (SOURCE_MODEL_ID, IDENTITY):
            for model in search_models(self._api, [experiment_id], tag_condition(key, None)):
                source_id, target_id = identity(model), str(model["info"]["model_id"])
                self._deleted[experiment_id].discard(target_id)  # the import that tagged it was cut off before that
                if source_id is None or known.get(source_id) == target_id:
                    continue
                if source_id in known:
                    self._receipt.note(
                        f"logged model {source_id} is twice in the target: {known[source_id]} and {target_id}"
                    )
                whole = STATE not in tags_of(model)
                if source_id not in known or (source_id not in complete and whole):
                    known[source_id] = target_id
                if whole:
                    complete.add(source_id)
        return known


def search_models(api: Api, experiment_ids: Sequence[str], condition: str) -> Iterator[dict[str, Any]]:
    """Yield the active logged models of experiments for which a condition in MLflow's search syntax holds."""
    body: dict[str, Any] = {"experiment_ids": list(experiment_ids), "filter": condition, "max_results": _PAGE}
    token = None
    while token != "":
        page = api.post(SEARCH, body if token is None else {**body, "page_token": token})
        yield from page.get("models", [])
        token = page.get("next_page_token", "")


def tags_of(model: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags of a logged model of MLflow's API."""
    return {tag["key"]: tag.get("value", "") for tag in model["info"].get("tags", [])}


def identity(model: Mapping[str, Any]) -> str | None:
    """Return the id at the source of a logged model of MLflow's API, where an import made it."""
    tags = tags_of(model)
    return tags.get(IDENTITY) or tags.get(SOURCE_MODEL_ID)
