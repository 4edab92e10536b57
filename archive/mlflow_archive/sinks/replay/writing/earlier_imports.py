"""Which objects of the source are in the target already, as copies that an earlier import left there.

Runs and logged models are found by the tag that an import leaves on each. MLflow's search does not show logged models
that are deleted: of those the experiment keeps a tag, set before the model is deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from threading import Lock
from typing import Any, Final

from mlflow_archive.errors import ServerError
from mlflow_archive.format.source_tags import OWN_PREFIX, PREFIX, SOURCE_RUN_ID
from mlflow_archive.sinks.replay.places.experiments import STATE, Bound, tags_of_experiment
from mlflow_archive.sinks.replay.target.paging import entries
from mlflow_archive.sinks.replay.target.target import PAGE, Api, Target, TargetRun, pairs_of, tag_condition
from mlflow_archive.sinks.replay.writing.failures import is_unknown_there
from mlflow_archive.sinks.replay.writing.receipt import Receipt

# Written where source tags are off; they win, as then source tags on an object are what an earlier import left.
RUN_IDENTITY: Final = OWN_PREFIX + "source_run_id"
MODEL_IDENTITY: Final = OWN_PREFIX + "source_model_id"
SOURCE_MODEL_ID: Final = PREFIX + "logged_model.model_id"
DELETED: Final = OWN_PREFIX + "deleted_logged_model."
"""Start of the key of an experiment's tag; then comes the source's id. The value is the target's id."""
_SEARCH_MODELS: Final = "/api/2.0/mlflow/logged-models/search"
_MODELS_PER_PAGE: Final = 200


class EarlierCopies:
    """Source id to target id of one experiment; of two copies the first that is complete counts.

    ``noun`` names the objects in the receipt, as "source run".
    """

    def __init__(self, noun: str, receipt: Receipt, known: Mapping[str, str] | None = None) -> None:
        self._noun = noun
        self._receipt = receipt
        self._complete: set[str] = set()
        self.known = dict(known or {})

    def add(self, source_id: str | None, target_id: str, *, complete: bool) -> None:
        """Take an object of the target; one without a source id is not a copy."""
        if source_id is None or self.known.get(source_id) == target_id:
            return
        if source_id in self.known:
            self._receipt.note(
                f"{self._noun} {source_id} is twice in the target: {self.known[source_id]} and {target_id}"
            )
        if source_id not in self.known or (source_id not in self._complete and complete):
            self.known[source_id] = target_id
        if complete:
            self._complete.add(source_id)


class CopiesByExperiment:
    """The copies in each experiment of the target, read once. Usable by several threads.

    ``load`` reads those of the experiment with an id of the target.
    """

    def __init__(self, load: Callable[[str], EarlierCopies]) -> None:
        self._load = load
        self._lock = Lock()
        self._loading: dict[str, Lock] = {}
        self._known: dict[str, Mapping[str, str]] = {}

    def lookup(self, bound: Bound, source_id: str) -> str | None:
        """Return the id of the target's copy of an object in an experiment, or None."""
        if bound.new or bound.target_id is None:
            return None
        with self._lock:
            loading = self._loading.setdefault(bound.target_id, Lock())
        with loading:
            if bound.target_id not in self._known:
                self._known[bound.target_id] = self._load(bound.target_id).known
        return self._known[bound.target_id].get(source_id)


class RunIndex:
    """Source run id to target run id, read once for each experiment of the target. Usable by several threads."""

    def __init__(self, target: Target, receipt: Receipt) -> None:
        self._target = target
        self._receipt = receipt
        self._lock = Lock()
        self._copies = CopiesByExperiment(self._load)
        self._answers: dict[str, str | None] = {}
        self._experiments: list[str] | None = None

    def lookup(self, bound: Bound, source_id: str) -> str | None:
        """Return the id of the target's copy of a source run in an experiment, or None."""
        return self._copies.lookup(bound, source_id)

    def search(self, bound: Bound, key: str, source_id: str) -> TargetRun | None:
        """Ask the target itself, as after a create of which it is unknown whether it was carried out."""
        if bound.target_id is None:
            return None
        runs = self._target.tagged_runs(bound.target_id, key, source_id)
        return next((run for run in runs if _run_identity(run) == source_id), None)

    def anywhere(self, source_id: str) -> str | None:
        """Ask the target for its copy of a source run, in any of its experiments, and keep the answer."""
        with self._lock:
            if source_id in self._answers:
                return self._answers[source_id]
            if self._experiments is None:
                self._experiments = [experiment.experiment_id for experiment in self._target.experiments()]
            experiments = self._experiments
        target_id = None
        for start in range(0, len(experiments), PAGE):
            target_id = target_id or self._among(experiments[start : start + PAGE], source_id)
        with self._lock:
            self._answers[source_id] = target_id
        return target_id

    def _among(self, experiment_ids: list[str], source_id: str) -> str | None:
        for key in (SOURCE_RUN_ID, RUN_IDENTITY):
            body = {
                "experiment_ids": experiment_ids,
                "filter": tag_condition(key, source_id),
                "run_view_type": "ALL",
                "max_results": 1,
            }
            for run in self._target.api.post("/api/2.0/mlflow/runs/search", body).get("runs", []):
                return str(run["info"]["run_id"])
        return None

    def _load(self, experiment_id: str) -> EarlierCopies:
        copies = EarlierCopies("source run", self._receipt)
        for key in (SOURCE_RUN_ID, RUN_IDENTITY):
            for run in self._target.tagged_runs(experiment_id, key):
                copies.add(_run_identity(run), run.run_id, complete=STATE not in run.tags)
        return copies


def _run_identity(run: TargetRun) -> str | None:
    return run.tags.get(RUN_IDENTITY) or run.tags.get(SOURCE_RUN_ID)


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
        """Return whether an earlier import deleted a model that ``lookup`` gave."""
        return target_id in self._deleted.get(bound.target_id or "", ())

    def search(self, experiment_ids: Sequence[str], key: str, source_id: str) -> dict[str, Any] | None:
        """Ask the target itself for the model with a tag; the answer is that of MLflow's search."""
        models = search_models(self._api, experiment_ids, tag_condition(key, source_id))
        return next((model for model in models if _model_identity(model) == source_id), None)

    def _load(self, experiment_id: str) -> EarlierCopies:
        tags = tags_of_experiment(self._api, experiment_id)
        deleted_copies = {key.removeprefix(DELETED): value for key, value in tags.items() if key.startswith(DELETED)}
        deleted = self._deleted[experiment_id] = set(deleted_copies.values())
        copies = EarlierCopies("logged model", self._receipt, deleted_copies)
        for key in (SOURCE_MODEL_ID, MODEL_IDENTITY):
            for model in self._tagged(experiment_id, key):
                target_id = str(model["info"]["model_id"])
                deleted.discard(target_id)  # the import that tagged it was cut off before that
                copies.add(_model_identity(model), target_id, complete=STATE not in tags_of(model))
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
    return entries(lambda page: api.post(_SEARCH_MODELS, {**body, **page}), "models", size=_MODELS_PER_PAGE)


def tags_of(model: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags of a logged model of MLflow's API."""
    return pairs_of(model["info"].get("tags", []))


def _model_identity(model: Mapping[str, Any]) -> str | None:
    """Return the id at the source of a logged model of MLflow's API, where an import made it."""
    tags = tags_of(model)
    return tags.get(MODEL_IDENTITY) or tags.get(SOURCE_MODEL_ID)
