"""What is written later than it comes, because it needs another object: one collection for all that waits.

======================================  ========================================  =============================
what waits                              for                                       and is written by
======================================  ========================================  =============================
histories and MLmodel files of runs     logged models that they name              ``logged_models``
links of runs to logged models          the logged model                          ``logged_models``
registered models with copied versions  the registered models these come from     ``registry.registry``
links of traces to prompts              the prompts, which may come in any order  ``traces.trace_links``
tags that name prompts                  numbers of versions that are appended     ``registry.linked_prompts``
assessments                             ids of issues, or the deletion of runs    ``traces.waiting_assessments``
bindings of gateway endpoints           scorers                                   ``objects.gateway``
what needs a secret of the gateway      somebody who enters it: a later import    ``objects.gateway_names``
======================================  ========================================  =============================

Each is written by ``finish`` or ``after_deletion`` of its writer (``kind_writer``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Final, Generic, TypeVar

from mlflow_archive.flow.chunk import ArtifactFile, Chunk
from mlflow_archive.format.source_tags import OWN_PREFIX
from mlflow_archive.sinks.replay.places.experiments import Bound
from mlflow_archive.sinks.replay.target.target import TargetRun
from mlflow_archive.sinks.replay.writing.rows import rows_of

_Need = TypeVar("_Need", bound=Hashable)
_Work = TypeVar("_Work")

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
class LinkedPrompts:
    """The tag that names the prompts of an object: ``value`` at the source, ``written`` in the target."""

    target_id: str
    value: str
    written: str
    bound: Bound
    experiment_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLink:
    """A run used a logged model or made it; ids are the source's."""

    table: str
    run_id: str
    experiment_id: str
    model_id: str
    step: int


def model_links_of(chunk: Chunk) -> Iterator[ModelLink]:
    """Yield the links of the runs of a chunk."""
    if not any(chunk.tables.get(table) for table in (MODEL_INPUTS, MODEL_OUTPUTS)):
        return
    experiments = {row["run_id"]: row["experiment_id"] for row in rows_of(chunk, "runs")}
    for table in (MODEL_OUTPUTS, MODEL_INPUTS):
        for row in rows_of(chunk, table):
            yield ModelLink(
                table=table,
                run_id=row["run_id"],
                experiment_id=experiments.get(row["run_id"], ""),
                model_id=row["model_id"],
                step=row["step"],
            )


class Waiting(Generic[_Need, _Work]):
    """What waits, by what it needs; both in the order in which they came. Usable by several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._work_by_need: dict[_Need, list[_Work]] = {}

    def add(self, need: _Need, work: _Work) -> None:
        """Let something wait."""
        with self._lock:
            self._work_by_need.setdefault(need, []).append(work)

    def needs(self) -> list[_Need]:
        """Return all for which something waits."""
        with self._lock:
            return list(self._work_by_need)

    def of(self, need: _Need) -> Sequence[_Work]:
        """Return what waits for something."""
        with self._lock:
            return tuple(self._work_by_need.get(need, ()))

    def pop(self, need: _Need) -> Sequence[_Work]:
        """Return what waits for something, and forget it."""
        with self._lock:
            return self._work_by_need.pop(need, [])

    def pop_all(self) -> list[tuple[_Need, _Work]]:
        """Return all that waits, each with what it needs, and forget it."""
        return [(need, work) for need in self.needs() for work in self.pop(need)]


@dataclass(slots=True, kw_only=True)
class WaitingForModels:
    """What runs say of logged models: ``histories`` and ``files`` by target run, ``links`` by source model."""

    histories: Waiting[str, Bound] = field(default_factory=Waiting)
    files: dict[str, RunFiles] = field(default_factory=dict)
    links: Waiting[str, ModelLink] = field(default_factory=Waiting)

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
