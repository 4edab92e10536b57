"""What writes the objects of a kind that is no run, and what all such writers share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from mlflow_archive.errors import ItemError, ServerError
from mlflow_archive.flow.chunk import Chunk
from mlflow_archive.format.source_tags import ExportFacts
from mlflow_archive.kinds import RUN
from mlflow_archive.sinks.replay.options import ReplayOptions
from mlflow_archive.sinks.replay.places.experiments import Bound, ExperimentMap
from mlflow_archive.sinks.replay.runs.run_index import RunIndex
from mlflow_archive.sinks.replay.runs.run_writer import RunWriter
from mlflow_archive.sinks.replay.target.target import Api, Target
from mlflow_archive.sinks.replay.writing.failures import is_about_one_item, is_unknown_there
from mlflow_archive.sinks.replay.writing.receipt import Receipt
from mlflow_archive.sinks.replay.writing.rows import Row


class KindWriter(Protocol):
    """Writes the objects of some kinds of ``format.tables``; safe to repeat, so it looks for what is there first.

    Each object gets an id in the receipt (``receipt.mapped``), an outcome (``receipt.done``) or a refusal.
    """

    kinds: tuple[str, ...]

    def write(self, chunk: Chunk) -> None:
        """Take a chunk, of any kind; called from several threads.

        Chunks come in the order of ``kinds.KINDS``: when those of a kind come, all of the kinds before
        it have been written, runs and experiments first, which are active until the end.
        """

    def finish(self) -> None:
        """All chunks have come. Runs and experiments that are deleted at the source are still active."""

    def after_deletion(self) -> None:
        """Those runs and experiments are deleted now: for what MLflow deletes together with a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayContext:
    """What writers share. ``export_of`` says by which export a row came, ``experiment_names`` and ``workspaces`` the
    names at the source of the experiments that have come, and of the workspaces that these are in."""

    target: Target
    options: ReplayOptions
    receipt: Receipt
    experiments: ExperimentMap
    index: RunIndex
    runs: RunWriter
    export_of: Callable[[Row], ExportFacts]
    experiment_names: Mapping[str, str]
    workspaces: Mapping[str, str]

    @property
    def api(self) -> Api:
        return self.target.api

    def experiment(self, source_id: str) -> Bound:
        """Return the target's experiment, active for as long as the import lasts. Raises ItemError where none is.

        In a dry run ``target_id`` is None where it would be created.
        """
        bound = self.experiments.bind(source_id)
        self.experiments.make_writable(bound)
        return bound

    def run_id(self, source_id: str | None, experiment_id: str) -> str | None:
        """Return the target's id of a source run, None where it is not there or a dry run would create it.

        Runs of an earlier import are looked for in the experiment with that source id.
        """
        if not source_id:
            return None
        if source_id in self.receipt.ids(RUN):
            return self.receipt.ids(RUN)[source_id]
        return self.index.lookup(self.experiments.bind(experiment_id), source_id)

    def named(self, name: str, separator: str = ".") -> str:
        """Return what something is called in the target that has to have a name of its own there."""
        prefix = self.options.workspace_prefix
        return f"{prefix}{separator}{name}" if prefix else name

    def model_name(self, name: str, experiment_id: str) -> str:
        """Return what a registered model or prompt is called in the target that an object of a source experiment names.

        So it is also where that model does not come: an earlier import with these options, or a later, named it so.
        """
        return self.options.model_name(name, self.workspaces.get(experiment_id))

    def find_run(self, source_id: str | None, experiment_id: str | None = None) -> str | None:
        """Return the target's id of a source run as ``run_id``, but wherever in the target it is."""
        if not source_id:
            return None
        with suppress(ItemError):  # its experiment need not be in this archive
            if source_id in self.receipt.ids(RUN) or experiment_id is not None:
                found = self.run_id(source_id, experiment_id or "")
                if found is not None or source_id in self.receipt.ids(RUN):
                    return found
        return self.index.anywhere(source_id)

    def mapped(self, kind: str, source_id: str | None) -> str | None:
        """Return the target's id of an object that this import made or found, or None."""
        return self.receipt.ids(kind).get(source_id) if source_id else None

    def refuse(self, kind: str, source_id: str, code: str, exc: ItemError | ServerError, path: str = "") -> None:
        """Put a failure into the receipt, or raise it where it is not about this one item.

        Objects of a kind that the target does not know become one refusal with their number.
        """
        if is_unknown_there(exc) and not path:
            self.receipt.unknown(kind)
            return
        if not is_about_one_item(exc):
            raise exc
        self.receipt.refuse(kind, source_id, path, code, str(exc))
        if not path:
            self.receipt.done("refused", kind)
