"""What runs say of logged models that come only after them: histories in their tags, MLmodel files among their own."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from mlflow_archive.flow.chunk import ArtifactFile
from mlflow_archive.format.source_tags import OWN_PREFIX
from mlflow_archive.sinks.replay.places.experiments import Bound
from mlflow_archive.sinks.replay.runs.open_run import OpenRun
from mlflow_archive.sinks.replay.writing.references import HISTORY, is_mlmodel, models_in_history

MISSING: Final = OWN_PREFIX + "missing_logged_models"
"""Tag of a run of the target: the logged models of the source that its MLmodel files name still."""
_MANY: Final = "many"


@dataclass(slots=True, kw_only=True)
class RunFiles:
    """MLmodel files of a run that name logged models. ``waits`` says that the run's outcome is not told yet."""

    run: OpenRun
    files: list[ArtifactFile]
    waits: bool = False


@dataclass(slots=True, kw_only=True)
class NamingModels:
    """What was written before the models that it names, by target run."""

    histories: dict[str, Bound] = field(default_factory=dict)
    files: dict[str, RunFiles] = field(default_factory=dict)

    def note_history(self, run: OpenRun) -> None:
        """Note a run whose history in the target names, or is about to name, logged models of the source."""
        history, there = run.plan.history, run.there
        if history is None or there is None:
            return
        models = models_in_history(history)
        if models and (not run.found or models & models_in_history(there.tags.get(HISTORY, history))):
            self.histories[there.run_id] = run.bound

    def note_files(self, files: Sequence[ArtifactFile], run: OpenRun) -> None:
        """Note files of a run: where it was written, it stays marked as incomplete until they are written again."""
        if run.there is not None and files:
            noted = self.files.setdefault(run.there.run_id, RunFiles(run=run, files=[]))
            noted.files.extend(files)

    def note_found(self, files: Sequence[ArtifactFile], run: OpenRun) -> None:
        """Note the MLmodel files of a run that needs nothing else, where an earlier import left some as they were."""
        if run.there is not None and MISSING in run.there.tags:
            self.note_files([file for file in files if is_mlmodel(file.path)], run)

    def waits(self, run: OpenRun) -> bool:
        """Say, at its end, whether it is known only later if a run that needed nothing is updated all the same."""
        noted = None if run.there is None or run.outcome != "skipped" else self.files.get(run.there.run_id)
        if noted is not None:
            noted.waits = True
        return noted is not None


def missing_text(models: Collection[str], limit: int) -> str:
    """Return the value of the tag for models of the source; where they are too many it tells only sets apart."""
    text = ",".join(sorted(models))
    return text if len(text) <= limit else f"{_MANY} {hashlib.sha256(text.encode()).hexdigest()}"


def may_be_there(text: str, there: Collection[str]) -> bool:
    """Say whether any model of a value of the tag can be among those that are there."""
    return (text.startswith(_MANY) and bool(there)) or any(model in there for model in text.split(","))
