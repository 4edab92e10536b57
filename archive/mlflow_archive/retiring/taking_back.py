"""Takes back through MLflow's API what an import made beside runs, logged models and traces.

Registered models, prompts, their versions, evaluation datasets and webhooks go for good, before what they stand on; an
experiment goes last, softly, and only if it holds nothing but what went.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Final
from urllib.parse import quote

from mlflow_archive.errors import ItemError, ServerError
from mlflow_archive.format import refusals
from mlflow_archive.http.paging import paged
from mlflow_archive.kinds import EVALUATION_DATASET, EXPERIMENT, KINDS, MODEL_VERSION, REGISTERED_MODEL, WEBHOOK
from mlflow_archive.retiring.judging import Stay
from mlflow_archive.retiring.plan import stays
from mlflow_archive.retiring.reading import RETIRED_KINDS
from mlflow_archive.retiring.receipt import (
    DELETED,
    DELETING,
    LEFT,
    PLANNED,
    PURGED,
    PURGING,
    RetiredObject,
    RetireReceipt,
)
from mlflow_archive.retiring.retire import GONE, refusal
from mlflow_archive.sinks.replay.target.target import Target

FOR_GOOD: Final = (MODEL_VERSION, REGISTERED_MODEL, EVALUATION_DATASET, WEBHOOK)
"""The kinds that are taken back for good, in this order."""
_SEEN: Final = (*FOR_GOOD, EXPERIMENT, *RETIRED_KINDS)
_DELETED_ALREADY: Final = Stay(reason="it is deleted already")
_API: Final = "/api/2.0/mlflow/"
_IN_EXPERIMENT: Final = {"runs": "runs/search", "models": "logged-models/search"}


def no_way(kind: str) -> Stay:
    """Return why an object of a kind stays that undo does not take back."""
    words = KINDS[kind].plural
    return Stay(reason=f"undo takes back no {words}: delete it in MLflow", code=refusals.RETIRE_REFUSED)


@dataclass(frozen=True, slots=True)
class TakingBack:
    """What is taken back of one receipt, through the API of ``target``."""

    target: Target
    receipt: RetireReceipt

    def take(self) -> None:
        """Delete what is planned of FOR_GOOD. Raises ServerError, TargetError; then it goes on."""
        for kind in FOR_GOOD:
            for index, entry in enumerate(self.receipt.entries):
                if entry.kind == kind and entry.state in (PLANNED, PURGING):
                    self._take(index, entry)
        self.receipt.save()

    def take_experiments(self, traces: Collection[str]) -> None:
        """Delete the experiments that are planned and empty; ``traces`` are experiments that hold some.

        Where something is left that undo does not take back, it may lie in any of them.
        """
        unlooked = [entry for entry in self.receipt.entries if entry.state == LEFT and entry.kind not in _SEEN]
        deleted = {experiment.experiment_id for experiment in self.target.experiments() if experiment.deleted}
        for index, entry in enumerate(self.receipt.entries):
            if entry.kind != EXPERIMENT or entry.state not in (PLANNED, DELETING):
                continue
            if entry.id in deleted:  # by a command that was killed, or by the import, as it was so at the source
                again = replace(entry, state=DELETED)
                self.receipt.put(index, again if entry.state == DELETING else stays(entry, _DELETED_ALREADY))
                continue
            stay = (
                _not_empty(f"{KINDS[unlooked[0].kind].plural}") if unlooked else self._why_not_empty(entry.id, traces)
            )
            if stay is not None:
                self.receipt.put(index, stays(entry, stay))
                continue
            self.receipt.put(index, replace(entry, state=DELETING))
            self.receipt.save()
            try:
                self.target.delete_experiment(entry.id)
            except (ServerError, ItemError) as error:
                self.receipt.put(index, stays(entry, _refused(error)))
            else:
                self.receipt.put(index, replace(entry, state=DELETED))
        self.receipt.save()

    def _take(self, index: int, entry: RetiredObject) -> None:
        self.receipt.put(index, replace(entry, state=PURGING))
        self.receipt.save()
        path, body = _request(entry)
        try:
            self.target.api.delete(path, body)
        except (ServerError, ItemError) as error:
            is_gone = isinstance(error, ServerError) and error.error_code == "RESOURCE_DOES_NOT_EXIST"
            stay = None if is_gone and entry.state == PURGING else GONE if is_gone else _refused(error)
            if stay is not None:
                self.receipt.put(index, stays(entry, stay))
                return
        self.receipt.put(index, replace(entry, state=PURGED))

    def _why_not_empty(self, experiment_id: str, traces: Collection[str]) -> Stay | None:
        """Return why an experiment stays that holds something that did not go, deleted runs of others among it."""
        went = {entry.id for entry in self.receipt.entries if entry.state == DELETED}
        ids = {"runs": "run_id", "models": "model_id"}
        for name, path in _IN_EXPERIMENT.items():
            body = {"experiment_ids": [experiment_id], "run_view_type": "ALL"}
            answers = paged(partial(self.target.api.post, _API + path), body)
            for row in chain.from_iterable(answer.get(name, []) for answer in answers):
                if row["info"][ids[name]] not in went:
                    noun = "run" if name == "runs" else "logged model"
                    return _not_empty(f"the {noun} {row['info'][ids[name]]}")
        return _not_empty("traces") if experiment_id in traces else None


def _request(entry: RetiredObject) -> tuple[str, Mapping[str, str] | None]:
    if entry.kind == MODEL_VERSION:
        name, _, version = entry.id.rpartition("/")
        return f"{_API}model-versions/delete", {"name": name, "version": version}
    if entry.kind == REGISTERED_MODEL:
        return f"{_API}registered-models/delete", {"name": entry.id}
    if entry.kind == EVALUATION_DATASET:
        return f"/api/3.0/mlflow/datasets/{quote(entry.id, safe='')}", None
    return f"{_API}webhooks/{quote(entry.id, safe='')}", None


def _not_empty(content: str) -> Stay:
    return Stay(reason=f"it is not empty: {content}, which did not go, lies in it", code=refusals.CHANGED_SINCE)


def _refused(error: ServerError | ItemError) -> Stay:
    if isinstance(error, ServerError):
        return refusal(error)
    return Stay(reason=f"the target refused: {error}", code=refusals.RETIRE_REFUSED)
