"""What runs say of logged models that come only after them, for the writer of logged models to bring up to date.

Histories in tags of the run, MLmodel files among its artifacts, and links to the models that it made and used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

from mlflow_archive.flow.chunk import ArtifactFile, Chunk
from mlflow_archive.format.source_tags import OWN_PREFIX
from mlflow_archive.sinks.replay.places.experiments import Bound
from mlflow_archive.sinks.replay.target.target import TargetRun
from mlflow_archive.sinks.replay.writing.rows import rows_of

MISSING: Final = OWN_PREFIX + "missing_logged_models"
"""Tag of a run of the target: the logged models of the source that its MLmodel files name still."""
MODEL_OUTPUTS: Final = "model_outputs"
MODEL_INPUTS: Final = "model_inputs"
_MANY: Final = "many"


@dataclass(slots=True, kw_only=True)
class RunFiles:
    """MLmodel files of a run that name logged models; ``target`` is the run there.

    ``waits`` says that the outcome of the run is not reported yet, ``ended`` that all else of it was written.
    """

    source_id: str
    bound: Bound
    target: TargetRun
    files: list[ArtifactFile] = field(default_factory=list)
    waits: bool = False
    ended: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLink:
    """A run used a logged model or made it; ids are the source's."""

    table: str
    run_id: str
    experiment_id: str
    model_id: str
    step: int


class ModelLinks:
    """Holds links until their models come. Usable by several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._by_model: dict[str, list[ModelLink]] = {}

    def take(self, chunk: Chunk) -> None:
        """Keep the links of the runs of a chunk."""
        if not any(chunk.tables.get(table) for table in (MODEL_INPUTS, MODEL_OUTPUTS)):
            return
        experiments = {row["run_id"]: row["experiment_id"] for row in rows_of(chunk, "runs")}
        with self._lock:
            for table in (MODEL_OUTPUTS, MODEL_INPUTS):
                for row in rows_of(chunk, table):
                    link = ModelLink(
                        table=table,
                        run_id=row["run_id"],
                        experiment_id=experiments.get(row["run_id"], ""),
                        model_id=row["model_id"],
                        step=row["step"],
                    )
                    self._by_model.setdefault(row["model_id"], []).append(link)

    def models(self) -> list[str]:
        """Return the source ids of the models for which links wait."""
        with self._lock:
            return list(self._by_model)

    def of(self, model_id: str) -> Sequence[ModelLink]:
        """Return the links that wait for a model."""
        with self._lock:
            return tuple(self._by_model.get(model_id, ()))

    def pop(self, model_id: str) -> Sequence[ModelLink]:
        """Return the links that wait for a model, and forget them."""
        with self._lock:
            return self._by_model.pop(model_id, [])


@dataclass(slots=True, kw_only=True)
class NamingModels:
    """What was written before the models that it names: ``histories`` and ``files`` by target run, and ``links``."""

    histories: dict[str, Bound] = field(default_factory=dict)
    files: dict[str, RunFiles] = field(default_factory=dict)
    links: ModelLinks = field(default_factory=ModelLinks)

    def add_files(self, source_id: str, bound: Bound, target: TargetRun, files: Sequence[ArtifactFile]) -> None:
        """Note files of a run: where it was written, it stays marked as incomplete until they are written again."""
        if files:
            run_files = RunFiles(source_id=source_id, bound=bound, target=target)
            self.files.setdefault(target.run_id, run_files).files.extend(files)


def missing_text(models: Collection[str], limit: int) -> str:
    """Return the value of the tag for models of the source; a digest where they are too many."""
    text = ",".join(sorted(models))
    return text if len(text) <= limit else f"{_MANY} {hashlib.sha256(text.encode()).hexdigest()}"


def may_have_come(text: str, models: Collection[str]) -> bool:
    """Return whether any model of a value of the tag can be among ``models``."""
    return (text.startswith(_MANY) and bool(models)) or any(model in models for model in text.split(","))
