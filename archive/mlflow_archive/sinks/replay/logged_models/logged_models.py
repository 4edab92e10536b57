"""Writes logged models: one that was cut off is marked incomplete, and found and completed by the next import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from mlflow_archive.errors import ItemError, ServerError
from mlflow_archive.flow.chunk import Chunk
from mlflow_archive.format import refusals
from mlflow_archive.kinds import LOGGED_MODEL, RUN
from mlflow_archive.sinks.replay.context import ReplayContext
from mlflow_archive.sinks.replay.logged_models.model_links import LinkedModel, ModelLinker
from mlflow_archive.sinks.replay.logged_models.model_metrics import ModelMetrics
from mlflow_archive.sinks.replay.logged_models.planned_model import (
    LoggedModelRows,
    ModelDifference,
    PlannedModel,
    TargetModel,
    compare_model,
    logged_models_of,
    plan_model,
)
from mlflow_archive.sinks.replay.logged_models.waiting_references import WaitingReferences
from mlflow_archive.sinks.replay.places.experiments import INCOMPLETE, STATE, Bound
from mlflow_archive.sinks.replay.target.target import entries_of
from mlflow_archive.sinks.replay.writing.artifact_copy import ArtifactOwner, copy_artifacts, refuse_artifacts
from mlflow_archive.sinks.replay.writing.earlier_imports import DELETED, MODEL_IDENTITY, SOURCE_MODEL_ID
from mlflow_archive.sinks.replay.writing.failures import is_missing, once
from mlflow_archive.sinks.replay.writing.kind_writer import KindWriter

_API: Final = "/api/2.0/mlflow/logged-models"


@dataclass(slots=True, kw_only=True)
class OpenModel:
    """A logged model under way. ``model_id`` is the target's, None where a dry run would make it.

    ``target`` is what the target had of it when this import found or made it.
    """

    plan: PlannedModel
    model_id: str | None
    outcome: str
    target: TargetModel | None = None


class LoggedModelWriter(KindWriter):
    """Writes the logged models of a replay, and what runs say of them."""

    kinds = (LOGGED_MODEL,)

    def __init__(self, context: ReplayContext) -> None:
        self._context = context
        self._metrics = ModelMetrics(context)
        self._linker = ModelLinker(context)
        self._waiting = WaitingReferences(context)
        self._to_delete: list[tuple[Bound, str, str]] = []

    def write(self, chunk: Chunk) -> None:
        """Write the logged models of a chunk, with their links to runs."""
        written = []
        for rows in logged_models_of(chunk):
            try:
                written.append(self._write(rows))
            except (ItemError, ServerError) as exc:
                self._refuse(rows.model_id, exc)
        linked = self._linker.write(
            LinkedModel(source_id=model.plan.source_id, target_id=model.model_id, new=model.outcome == "created")
            for model in written
            if model.model_id is not None
        )
        for model in written:
            if model.outcome == "skipped" and model.plan.source_id in linked:
                model.outcome = "updated"
            try:
                self._end(model)
            except (ItemError, ServerError) as exc:
                self._refuse(model.plan.source_id, exc)

    def finish(self) -> None:
        """Remap what names logged models, and write links to models that an earlier import brought."""
        self._waiting.finish()
        for model_id in self._context.waiting.links.needs():
            self._link_earlier(model_id)

    def delete(self) -> None:
        """Delete models, once all is written that refers to them: MLflow does not show deleted ones."""
        for bound, source_id, target_id in self._to_delete:
            if bound.target_id is not None:
                self._context.experiments.make_writable(bound)
                # The experiment's tag comes first: by it the model is found again.
                self._context.target.set_experiment_tag(bound.target_id, DELETED + source_id, target_id)
                self._context.api.delete(f"{_API}/{target_id}")

    def _write(self, rows: LoggedModelRows) -> OpenModel:
        if self._context.receipt.is_unknown(LOGGED_MODEL):
            raise ServerError("the target does not know logged models", status=404)
        experiment_id = rows.info["experiment_id"]
        bound = self._context.experiments.bind(experiment_id)
        run_id = self._context.find_run(rows.info["source_run_id"], experiment_id)
        plan = plan_model(rows, bound, run_id, self._context)
        existing = self._context.model_index.lookup(bound, rows.model_id)
        model = self._create(plan) if existing is None else self._find(plan, existing)
        self._context.receipt.mapped(LOGGED_MODEL, rows.model_id, model.model_id)
        self._context.link_again(LOGGED_MODEL, rows.model_id, rows.tags, bound, experiment_id)
        points = self._metrics.missing(rows, model.target)
        if existing is not None and model.target is not None:
            self._complete(model, model.target, compare_model(plan, model.target), bool(points))
        if model.outcome != "skipped" and model.model_id is not None and not self._context.options.dry_run:
            self._copy_artifacts(rows, model)
            self._metrics.write(plan, model.model_id, points)
        return model

    def _find(self, plan: PlannedModel, model_id: str) -> OpenModel:
        answer = self._context.api.get(f"{_API}/{model_id}", {"allow_deleted": "true"})
        return OpenModel(plan=plan, model_id=model_id, outcome="skipped", target=TargetModel.parse(answer["model"]))

    def _create(self, plan: PlannedModel) -> OpenModel:
        if self._context.options.dry_run or plan.bound.target_id is None:
            return OpenModel(plan=plan, model_id=None, outcome="created")
        experiment_id = plan.bound.target_id
        self._context.experiments.make_writable(plan.bound)
        body = {
            "experiment_id": experiment_id,
            "name": plan.name,
            "model_type": plan.model_type,
            "source_run_id": plan.run_id,
            "params": entries_of(plan.params),
            "tags": entries_of({**plan.tags, STATE: INCOMPLETE}),
        }
        body = {name: value for name, value in body.items() if value is not None}
        key = SOURCE_MODEL_ID if self._context.options.source_tags else MODEL_IDENTITY

        def make() -> dict[str, Any]:
            model: dict[str, Any] = self._context.api.post(_API, body, idempotent=False)["model"]
            return model

        index = self._context.model_index
        target = TargetModel.parse(once(make, lambda: index.search([experiment_id], key, plan.source_id)))
        self._context.receipt.made(LOGGED_MODEL, target.model_id)
        return OpenModel(plan=plan, model_id=target.model_id, outcome="created", target=target)

    def _complete(self, model: OpenModel, target: TargetModel, difference: ModelDifference, points: bool) -> None:
        """Write what an earlier import left out, or what is newer than that."""
        for key in difference.conflicting:
            reason = "the target holds another value for this param, which MLflow does not let change"
            self._context.receipt.refuse(LOGGED_MODEL, model.plan.source_id, key, refusals.PARAM_REFUSED, reason)
        if not difference and not points:
            return
        model.outcome = "updated"
        if self._context.options.dry_run:
            return
        self._context.experiments.make_writable(model.plan.bound)
        tags = entries_of({**difference.tags, STATE: INCOMPLETE})
        self._context.api.patch(f"{_API}/{target.model_id}/tags", {"tags": tags})
        if difference.params:
            self._add_params(target.model_id, difference.params)

    def _add_params(self, model_id: str, params: Mapping[str, str]) -> None:
        """Add params, once: MLflow refuses those that are there."""
        body = {"model_id": model_id, "params": entries_of(params)}

        def send() -> bool:
            self._context.api.post(f"{_API}/{model_id}/params", body, idempotent=False)
            return True

        def look() -> bool | None:
            model = TargetModel.parse(self._context.api.get(f"{_API}/{model_id}")["model"])
            return True if params.keys() <= model.params.keys() else None

        once(send, look)

    def _copy_artifacts(self, rows: LoggedModelRows, model: OpenModel) -> None:
        if not rows.artifacts or model.target is None:
            return
        own = {rows.model_id: model.model_id, rows.info["source_run_id"]: model.plan.run_id}
        receipt = self._context.receipt

        def mapped(source_id: str) -> str | None:
            return own.get(source_id) or receipt.ids(RUN).get(source_id) or receipt.ids(LOGGED_MODEL).get(source_id)

        owner = ArtifactOwner(kind=LOGGED_MODEL, source_id=rows.model_id, mapped=mapped)
        try:
            place = self._context.target.place(model.target.artifact_uri, {"model_id": model.target.model_id})
            sizes = {} if model.outcome == "created" else place.sizes()
        except ItemError as exc:
            refuse_artifacts(rows.artifacts, owner, exc, receipt)
            return
        copy_artifacts(rows.artifacts, owner, place, sizes, receipt)

    def _end(self, model: OpenModel) -> None:
        """Set the status and take the mark off."""
        plan, target = model.plan, model.target
        if model.model_id is not None and target is not None and not self._context.options.dry_run:
            if model.outcome != "skipped":
                if plan.status is not None and plan.status != target.status:
                    body = {"model_id": model.model_id, "status": plan.status}
                    self._context.api.patch(f"{_API}/{model.model_id}", body)
                if self._context.receipt.has_files(LOGGED_MODEL, plan.source_id):
                    self._delete_tag(model.model_id, STATE)
            if plan.deleted and not self._context.model_index.is_deleted(plan.bound, model.model_id):
                self._to_delete.append((plan.bound, plan.source_id, model.model_id))
        self._context.receipt.done(model.outcome, LOGGED_MODEL)

    def _delete_tag(self, model_id: str, key: str) -> None:
        try:
            self._context.api.delete(f"{_API}/{model_id}/tags/{quote(key, safe='')}")
        except ServerError as exc:
            if not is_missing(exc):
                raise

    def _link_earlier(self, source_id: str) -> None:
        """Write links to a model that did not come: it may be there from an earlier import."""
        receipt, links = self._context.receipt, self._context.waiting.links
        target_id = None
        if not receipt.is_unknown(LOGGED_MODEL):
            target_id = self._waiting.model(source_id, {link.experiment_id for link in links.of(source_id)})
        if target_id is None:
            number = len(links.pop(source_id))
            receipt.changed("links_to_models_not_there", 0 if source_id in receipt.ids(LOGGED_MODEL) else number)
        else:
            self._linker.write([LinkedModel(source_id=source_id, target_id=target_id, new=False)])

    def _refuse(self, source_id: str, exc: ItemError | ServerError) -> None:
        self._context.refuse(LOGGED_MODEL, source_id, refusals.LOGGED_MODEL_REFUSED, exc)
