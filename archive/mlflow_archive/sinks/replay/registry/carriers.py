"""Places for the files of model versions that lie under no run and no logged model.

MLflow takes a version's source only inside a run or logged model that it knows. So such files go to a logged model made
for them, in an experiment made for these; to a run on a server that knows no logged models (decision 0013).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final

from mlflow_archive.errors import ItemError, ServerError
from mlflow_archive.flow.chunk import ArtifactFile
from mlflow_archive.format.source_tags import OWN_PREFIX
from mlflow_archive.sinks.replay.context import ReplayContext
from mlflow_archive.sinks.replay.places.experiments import INCOMPLETE, STATE, create_experiment
from mlflow_archive.sinks.replay.target.target import NewRun, entries_of, tag_condition
from mlflow_archive.sinks.replay.writing.artifact_copy import ArtifactOwner, copy_artifacts, refuse_artifacts
from mlflow_archive.sinks.replay.writing.earlier_imports import search_models, tags_of
from mlflow_archive.sinks.replay.writing.failures import is_missing, is_unknown_there, once

EXPERIMENT_NAME: Final = "Files of model versions"
CARRIES: Final = OWN_PREFIX + "carries_files_of"
"""Tag of a carrier: the identity of the version whose files it has."""
NOTHING: Final = "nothing"
_API: Final = "/api/2.0/mlflow/logged-models"
_NOT_IN_NAMES: Final = re.compile(r"""[/:.%"']""")
_READY, _FAILED = 2, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Carrier:
    """Where files of a version are: a logged model of the target, or a run; the other id is None."""

    uri: str
    model_id: str | None
    run_id: str | None
    complete: bool = True


class Carriers:
    """Makes carriers, or finds those of an earlier import. Usable by several threads."""

    def __init__(self, context: ReplayContext) -> None:
        self._context = context
        self._lock = Lock()
        self._experiment_id: str | None = None
        self._known: dict[str, Carrier] = {}
        self._of_runs = False

    def of_files(self, identity: str, name: str, artifacts: Sequence[ArtifactFile], owner: ArtifactOwner) -> Carrier:
        """Return the carrier of a version's files, with these in it."""
        experiment_id = self._experiment()
        with self._lock:
            carrier = self._known.get(identity)
        if carrier is None:
            carrier = self._make(experiment_id, identity, name)
        elif carrier.complete:
            return carrier
        try:
            ids = {"run_id": carrier.run_id, "model_id": carrier.model_id}
            carrier_id = {name: target_id for name, target_id in ids.items() if target_id is not None}
            place = self._context.target.place(carrier.uri, carrier_id)
            copy_artifacts(artifacts, owner, place, place.sizes(), self._context.receipt)
        except ItemError as exc:
            refuse_artifacts(artifacts, owner, exc, self._context.receipt)
        return self._end(identity, carrier, _READY)

    def of_nothing(self) -> Carrier:
        """Return the one carrier for all versions whose files are nowhere: it is empty and says that it failed."""
        experiment_id = self._experiment()
        with self._lock:  # it is one for all threads
            carrier = self._known.get(NOTHING)
        if carrier is None:
            carrier = self._make(experiment_id, NOTHING, "no files")
        return carrier if carrier.complete else self._end(NOTHING, carrier, _FAILED)

    def _experiment(self) -> str:
        with self._lock:
            if self._experiment_id is not None:
                return self._experiment_id
            target, name = self._context.target, self._context.options.experiment_prefix + EXPERIMENT_NAME
            existing = next((experiment for experiment in target.experiments() if experiment.name == name), None)
            if existing is None:
                experiment_id = self._create_experiment(name)
            else:
                experiment_id = existing.experiment_id
                if existing.deleted:
                    target.restore_experiment(experiment_id)
                self._load(experiment_id)
            self._experiment_id = experiment_id
            return experiment_id

    def _create_experiment(self, name: str) -> str:
        target = self._context.target
        note = "Files of model versions that lay in no run and in no logged model where they come from."
        return create_experiment(target, name, {"mlflow.note.content": note})

    def _load(self, experiment_id: str) -> None:
        condition = tag_condition(CARRIES, None)
        try:
            for model in search_models(self._context.api, [experiment_id], condition):
                tags = tags_of(model)
                self._known.setdefault(tags[CARRIES], _of_model(model))
        except ServerError as exc:
            if not is_unknown_there(exc):
                raise
        for run in self._context.target.tagged_runs(experiment_id, CARRIES):
            self._known.setdefault(run.tags[CARRIES], _of_run(run.run_id, run.artifact_uri, STATE not in run.tags))

    def _make(self, experiment_id: str, identity: str, name: str) -> Carrier:
        if not self._of_runs:
            try:
                return self._make_model(experiment_id, identity, name)
            except ServerError as exc:
                if not is_unknown_there(exc):
                    raise
                self._of_runs = True
        return self._make_run(experiment_id, identity, name)

    def _make_model(self, experiment_id: str, identity: str, name: str) -> Carrier:
        tags = entries_of({CARRIES: identity, STATE: INCOMPLETE})
        body = {"experiment_id": experiment_id, "name": _NOT_IN_NAMES.sub("_", name), "tags": tags}

        def make() -> dict[str, Any]:
            model: dict[str, Any] = self._context.api.post(_API, body, idempotent=False)["model"]
            return model

        def look() -> dict[str, Any] | None:
            condition = tag_condition(CARRIES, None)
            models = search_models(self._context.api, [experiment_id], condition)
            return next((model for model in models if tags_of(model)[CARRIES] == identity), None)

        return _of_model(once(make, look))

    def _make_run(self, experiment_id: str, identity: str, name: str) -> Carrier:
        target = self._context.target
        tags = {CARRIES: identity, STATE: INCOMPLETE}
        new = NewRun(experiment_id=experiment_id, name=name, user_id="", start_time=0, tags=tags)
        run = once(
            lambda: target.create_run(new),
            lambda: next((r for r in target.tagged_runs(experiment_id, CARRIES) if r.tags[CARRIES] == identity), None),
        )
        return _of_run(run.run_id, run.artifact_uri, complete=False)

    def _end(self, identity: str, carrier: Carrier, status: int) -> Carrier:
        """Say that all is there that will be."""
        if carrier.model_id is not None:
            self._context.api.patch(f"{_API}/{carrier.model_id}", {"model_id": carrier.model_id, "status": status})
            try:
                self._context.api.delete(f"{_API}/{carrier.model_id}/tags/{STATE}")
            except ServerError as exc:
                if not is_missing(exc):
                    raise
        elif carrier.run_id is not None:
            run_status = "FINISHED" if status == _READY else "FAILED"
            self._context.target.update_run(carrier.run_id, status=run_status, end_time=None, name=None)
            self._context.target.delete_tag(carrier.run_id, STATE)
        ended = Carrier(uri=carrier.uri, model_id=carrier.model_id, run_id=carrier.run_id)
        with self._lock:
            self._known[identity] = ended
        return ended


def _of_model(model: dict[str, Any]) -> Carrier:
    info = model["info"]
    complete = STATE not in tags_of(model)
    return Carrier(uri=info["artifact_uri"], model_id=info["model_id"], run_id=None, complete=complete)


def _of_run(run_id: str, uri: str, complete: bool) -> Carrier:
    return Carrier(uri=uri, model_id=None, run_id=run_id, complete=complete)
