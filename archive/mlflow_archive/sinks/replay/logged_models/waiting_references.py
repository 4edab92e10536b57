"""What runs say of logged models, remapped in the end: histories in their tags, and MLmodel files among their own."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping

from mlflow_archive.errors import ItemError, ServerError
from mlflow_archive.flow.chunk import ArtifactFile
from mlflow_archive.format import refusals
from mlflow_archive.kinds import LOGGED_MODEL, RUN
from mlflow_archive.sinks.replay.context import ReplayContext
from mlflow_archive.sinks.replay.places.experiments import Bound
from mlflow_archive.sinks.replay.writing.failures import check_one_item
from mlflow_archive.sinks.replay.writing.references import (
    HISTORY,
    Mapped,
    models_in_mlmodel,
    remap_history,
    remap_mlmodel,
)
from mlflow_archive.sinks.replay.writing.waiting import MISSING, RunFiles, may_have_come, missing_text


class WaitingReferences:
    """Remaps ids of logged models that runs name."""

    def __init__(self, context: ReplayContext) -> None:
        self._context = context

    def model(self, source_id: str, experiment_ids: Iterable[str]) -> str | None:
        """Return the target's id of a model that came, or that lies in one of these source experiments there."""
        ids = self._context.receipt.ids(LOGGED_MODEL)
        if source_id in ids:
            return ids[source_id]
        for experiment_id in experiment_ids:
            target_id = self._context.model_index.lookup(self._context.experiments.bind(experiment_id), source_id)
            if target_id is not None:
                return target_id
        return None

    def finish(self) -> None:
        """Set the histories and write the files again whose models are there now.

        A run whose files name models that are still not there keeps a tag with these, for the import that brings them.
        """
        waiting = self._context.waiting
        for run_id, bound in waiting.histories.pop_all():
            self._remap_history(run_id, bound)
        for run in waiting.files.values():
            if run.waits:
                self._context.receipt.done("updated" if self._mend(run) else "skipped")
            else:
                self._write_again(run, self._read(run))
                if run.ended and self._context.receipt.has_files(RUN, run.source_id):
                    self._context.runs.complete(run.target.run_id)

    def _mend(self, run: RunFiles) -> bool:
        """Write the files of a run that needs nothing else, if models that they name have come; return whether so."""
        missing, context = run.target.tags[MISSING], self._context
        if not may_have_come(missing, context.receipt.ids(LOGGED_MODEL)):
            return False
        if context.options.dry_run:
            return True
        texts = self._read(run)
        if self._missing(run, texts) == missing:
            return False
        context.runs.make_writable(run.bound, run.target.run_id)
        self._write_again(run, texts)
        return True

    def _read(self, run: RunFiles) -> dict[ArtifactFile, bytes]:
        """Return the files as they were at the source."""
        texts = {}
        for file in run.files:
            try:
                with file.open() as opened:
                    texts[file] = opened.read()
            except ItemError as exc:
                self._refuse(run.source_id, file.path, refusals.ARTIFACT_REFUSED, exc)
        return texts

    def _missing(self, run: RunFiles, texts: Mapping[ArtifactFile, bytes]) -> str:
        """Return the value of the tag for the models that files name and that are not there, empty for none."""
        mapped = self._mapped(run.bound)
        models = {model for text in texts.values() for model in models_in_mlmodel(text)}
        return missing_text([model for model in models if mapped(model) is None], self._context.options.limits.tag)

    def _write_again(self, run: RunFiles, texts: Mapping[ArtifactFile, bytes]) -> None:
        """Write files with all ids that are known now, and set the tag."""
        written = [self._write_one(run, file, text) for file, text in texts.items()]
        missing, target = self._missing(run, texts), run.target
        if missing and target.tags.get(MISSING) != missing:
            self._context.target.log_batch(target.run_id, metrics=(), params=(), tags={MISSING: missing})
        elif not missing and MISSING in target.tags and written.count(True) == len(run.files):
            self._context.target.delete_tag(target.run_id, MISSING)

    def _write_one(self, run: RunFiles, file: ArtifactFile, text: bytes) -> bool:
        """Write a file, if it names a model of the target; return whether it is now as it should be."""
        own = remap_mlmodel(text, {run.source_id: run.target.run_id}.get)
        remapped = remap_mlmodel(own, self._mapped(run.bound))
        try:
            if remapped != own:
                self._context.target.artifacts(run.target).put(file.path, io.BytesIO(remapped), len(remapped))
        except (ItemError, ServerError) as exc:
            self._refuse(run.source_id, file.path, refusals.ARTIFACT_REFUSED, exc)
            return False
        return True

    def _remap_history(self, run_id: str, bound: Bound) -> None:
        history = self._context.target.get_run(run_id).tags.get(HISTORY, "")
        remapped = remap_history(history, self._mapped(bound))
        if remapped == history or self._context.options.dry_run:
            return
        try:
            self._context.runs.make_writable(bound, run_id)
            self._context.target.log_batch(run_id, metrics=(), params=(), tags={HISTORY: remapped})
        except ServerError as exc:
            self._refuse(run_id, HISTORY, refusals.TAG_REFUSED, exc)

    def _mapped(self, bound: Bound) -> Mapped:
        ids = self._context.receipt.ids(LOGGED_MODEL)

        def mapped(source_id: str) -> str | None:
            return ids[source_id] if source_id in ids else self._context.model_index.lookup(bound, source_id)

        return mapped

    def _refuse(self, run_id: str, path: str, code: str, exc: ItemError | ServerError) -> None:
        check_one_item(exc)
        self._context.receipt.refuse(RUN, run_id, path, code, str(exc))
