"""Which source logged models are in the target already, by the tag that an import leaves on each.

MLflow's search does not show deleted ones. Of those the experiment keeps a tag, set before the model is deleted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from mlflow_archive.errors import ServerError
from mlflow_archive.format.source_tags import OWN_PREFIX, PREFIX
from mlflow_archive.sinks.replay.places.experiments import STATE, Bound, tags_of_experiment
from mlflow_archive.sinks.replay.target.paging import entries
from mlflow_archive.sinks.replay.target.target import Api, tag_condition
from mlflow_archive.sinks.replay.writing.earlier_imports import Copies, CopiesByExperiment
from mlflow_archive.sinks.replay.writing.failures import is_unknown_there
from mlflow_archive.sinks.replay.writing.receipt import Receipt

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
        self._copies = CopiesByExperiment(self._load)
        self._deleted: dict[str, set[str]] = {}

    def lookup(self, bound: Bound, source_id: str) -> str | None:
        """Return the id of the target's copy of a source model in an experiment, or None."""
        return self._copies.lookup(bound, source_id)

    def is_deleted(self, bound: Bound, target_id: str) -> bool:
        """Say whether an earlier import deleted a model that ``lookup`` gave."""
        return target_id in self._deleted.get(bound.target_id or "", ())

    def search(self, experiment_ids: Sequence[str], key: str, source_id: str) -> dict[str, Any] | None:
        """Ask the target itself for the model with a tag; the answer is that of MLflow's search."""
        found = search_models(self._api, experiment_ids, tag_condition(key, source_id))
        return next((model for model in found if identity(model) == source_id), None)

    def _load(self, experiment_id: str) -> Copies:
        tags = tags_of_experiment(self._api, experiment_id)
        gone = {key.removeprefix(DELETED): value for key, value in tags.items() if key.startswith(DELETED)}
        deleted = self._deleted[experiment_id] = set(gone.values())
        copies = Copies("logged model", self._receipt, gone)
        for key in (SOURCE_MODEL_ID, IDENTITY):
            for model in self._tagged(experiment_id, key):
                target_id = str(model["info"]["model_id"])
                deleted.discard(target_id)  # the import that tagged it was cut off before that
                copies.add(identity(model), target_id, complete=STATE not in tags_of(model))
        return copies

    def _tagged(self, experiment_id: str, key: str) -> list[dict[str, Any]]:
        try:
            return list(search_models(self._api, [experiment_id], tag_condition(key, None)))
        except ServerError as exc:
            if not is_unknown_there(exc):
                raise
            return []  # a server that knows no logged models has none


def search_models(api: Api, experiment_ids: Sequence[str], condition: str) -> Iterator[dict[str, Any]]:
    """Yield the active logged models of experiments for which a condition in MLflow's search syntax holds."""
    body = {"experiment_ids": list(experiment_ids), "filter": condition}
    return entries(lambda page: api.post(SEARCH, {**body, **page}), "models", size=_PAGE)


def tags_of(model: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags of a logged model of MLflow's API."""
    return {tag["key"]: tag.get("value", "") for tag in model["info"].get("tags", [])}


def identity(model: Mapping[str, Any]) -> str | None:
    """Return the id at the source of a logged model of MLflow's API, where an import made it."""
    tags = tags_of(model)
    return tags.get(IDENTITY) or tags.get(SOURCE_MODEL_ID)
