"""What runs say of logged models, remapped in the end: histories in their tags, and MLmodel files among their own."""

from __future__ import annotations

import io
from collections.abc import Iterable

from mlflow_archive.errors import ItemError, ServerError
from mlflow_archive.format import refusals
from mlflow_archive.format.tables import LOGGED_MODEL, RUN
from mlflow_archive.pipeline import ArtifactFile
from mlflow_archive.sinks.replay.artifact_copy import ArtifactOwner
from mlflow_archive.sinks.replay.experiments import Bound
from mlflow_archive.sinks.replay.failures import is_about_one_item
from mlflow_archive.sinks.replay.kinds.logged_model_index import LoggedModelIndex
from mlflow_archive.sinks.replay.kinds.writer import ReplayContext
from mlflow_archive.sinks.replay.references import HISTORY, Mapped, remap_history, remap_mlmodel
from mlflow_archive.sinks.replay.target import ArtifactPlace


class LateReferences:
    """Remaps ids of logged models that runs name."""

    def __init__(self, context: ReplayContext, index: LoggedModelIndex) -> None:
        self._context = context
        self._index = index

    def model(self, source_id: str, experiment_ids: Iterable[str]) -> str | None:
        """Return the target's id of a model that came, or that lies in one of these source experiments there."""
        ids = self._context.receipt.ids(LOGGED_MODEL)
        if source_id in ids:
            return ids[source_id]
        for experiment_id in experiment_ids:
            found = self._index.lookup(self._context.experiments.bind(experiment_id), source_id)
            if found is not None:
                return found
        return None

    def finish(self) -> None:
        """Set the histories and write the files again whose models are there now."""
        naming = self._context.runs.naming_models
        for run_id, bound in naming.histories.items():
            self._remap_history(run_id, bound)
        for run_id, files in naming.files.items():
            for owner, place, file in files:
                self._write_again(owner, place, file)
            self._context.runs.complete(run_id)

    def _write_again(self, owner: ArtifactOwner, place: ArtifactPlace, file: ArtifactFile) -> None:
        try:
            with file.open() as opened:
                original = opened.read()
            own = remap_mlmodel(original, owner.mapped)
            remapped = remap_mlmodel(own, self._context.receipt.ids(LOGGED_MODEL).get)
            if remapped != own:
                place.put(file.path, io.BytesIO(remapped), len(remapped))
        except (ItemError, ServerError) as exc:
            self._refuse(owner.source_id, file.path, refusals.ARTIFACT_REFUSED, exc)

    def _remap_history(self, run_id: str, bound: Bound) -> None:
        held = self._context.target.get_run(run_id).tags.get(HISTORY, "")
        remapped = remap_history(held, self._mapped(bound))
        if remapped == held or self._context.options.dry_run:
            return
        try:
            self._context.runs.make_writable(bound, run_id)
            self._context.target.log_batch(run_id, metrics=(), params=(), tags={HISTORY: remapped})
        except ServerError as exc:
            self._refuse(run_id, HISTORY, refusals.TAG_REFUSED, exc)

    def _mapped(self, bound: Bound) -> Mapped:
        ids = self._context.receipt.ids(LOGGED_MODEL)

        def mapped(source_id: str) -> str | None:
            return ids[source_id] if source_id in ids else self._index.lookup(bound, source_id)

        return mapped

    def _refuse(self, run_id: str, path: str, code: str, exc: ItemError | ServerError) -> None:
        if not is_about_one_item(exc):
            raise exc
        self._context.receipt.refuse(RUN, run_id, path, code, str(exc))
