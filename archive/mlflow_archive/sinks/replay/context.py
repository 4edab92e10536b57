"""What all writers of a replay share: the target, the receipt, and which objects of the source are there already."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Lock
from typing import Self

from mlflow_archive.errors import ItemError, ServerError
from mlflow_archive.format.source_tags import ExportFacts
from mlflow_archive.kinds import KINDS, REGISTERED_MODEL, RUN, named_owner
from mlflow_archive.sinks.replay.options import ReplayOptions
from mlflow_archive.sinks.replay.places.experiments import STATE, Bound, ExperimentMap
from mlflow_archive.sinks.replay.target.target import Api, Target
from mlflow_archive.sinks.replay.writing.earlier_imports import LoggedModelIndex, RunIndex
from mlflow_archive.sinks.replay.writing.failures import check_one_item, is_unknown_there
from mlflow_archive.sinks.replay.writing.receipt import Receipt
from mlflow_archive.sinks.replay.writing.references import LINKED_PROMPTS, remap_linked_prompts
from mlflow_archive.sinks.replay.writing.rows import Row
from mlflow_archive.sinks.replay.writing.version_numbers import VersionNumbers
from mlflow_archive.sinks.replay.writing.waiting import LinkedPrompts, Waiting, WaitingForModels

Tags = Mapping[str, str | None]


class WritableRuns:
    """Keeps runs of the target active. Usable by several threads.

    ``ending_deleted`` are the source ids of the runs that end deleted, alone or with their experiment.
    """

    def __init__(self, target: Target, experiments: ExperimentMap, *, dry_run: bool) -> None:
        self._target = target
        self._experiments = experiments
        self._dry_run = dry_run
        self._lock = Lock()
        self._active: set[str] = set()
        self._to_delete: set[str] = set()
        self.ending_deleted: set[str] = set()

    def learn(self, run: Row) -> None:
        """Note of a row of ``runs`` whether it ends deleted."""
        experiment = self._experiments.rows.get(run["experiment_id"], {})
        if "deleted" in (run["lifecycle_stage"], experiment.get("lifecycle_stage")):
            self.ending_deleted.add(run["run_id"])

    def complete(self, run_id: str) -> None:
        """Take the mark off a run of the target."""
        self._target.delete_tag(run_id, STATE)

    def wrote(self, run_id: str, *, deleted: bool) -> None:
        """Note that a run of the target is active; ``deleted`` where it must not be so in the end."""
        self._active.add(run_id)
        if deleted:
            self._to_delete.add(run_id)

    def make_writable(self, bound: Bound, run_id: str) -> None:
        """Make a run of the target active that is deleted there, until ``delete``, for what belongs to it."""
        with self._lock:
            if run_id in self._active or self._dry_run:
                return
            self._experiments.make_writable(bound)
            deleted = self._target.get_run(run_id).deleted
            if deleted:
                self._target.restore_run(run_id)
            self.wrote(run_id, deleted=deleted)

    def delete(self) -> None:
        """Delete the runs that must not stay."""
        for run_id in sorted(self._to_delete):
            self._target.delete_run(run_id)
        self._to_delete.clear()
        self._active.clear()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayContext:
    """What writers share. ``export_of`` returns the export that a row of an owner came by.

    Families know each other only by what one of them leaves here: ``runs`` and ``waiting`` are filled by the
    writer of runs and read by those of traces and logged models, ``linked`` is read by that of the registry.
    """

    target: Target
    options: ReplayOptions
    receipt: Receipt
    export_of: Callable[[Row], ExportFacts]
    experiments: ExperimentMap
    runs: WritableRuns
    run_index: RunIndex
    model_index: LoggedModelIndex
    versions: VersionNumbers
    waiting: WaitingForModels = field(default_factory=WaitingForModels)
    linked: Waiting[tuple[str, str], LinkedPrompts] = field(default_factory=Waiting)

    @classmethod
    def of(
        cls, target: Target, options: ReplayOptions, receipt: Receipt, export_of: Callable[[Row], ExportFacts]
    ) -> Self:
        """Return the context of a new replay."""
        experiments = ExperimentMap(target, options, receipt, export_of)
        return cls(
            target=target,
            options=options,
            receipt=receipt,
            export_of=export_of,
            experiments=experiments,
            runs=WritableRuns(target, experiments, dry_run=options.dry_run),
            run_index=RunIndex(target, receipt),
            model_index=LoggedModelIndex(target.api, receipt),
            versions=VersionNumbers(target.api, options, receipt),
        )

    @property
    def api(self) -> Api:
        """The API of the target."""
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
        return self.run_index.lookup(self.experiments.bind(experiment_id), source_id)

    def prefixed(self, name: str, kind: str = "") -> str:
        """Return the name in the target of something, of a kind or not, whose name must be unique in a workspace."""
        prefix, mark = self.options.workspace_prefix, KINDS[kind].prefix_mark if kind else "."
        return f"{prefix}{mark}{name}" if prefix else name

    def model_name(self, name: str, workspace: str | None) -> str:
        """Return the name in the target of a registered model or prompt of a workspace at the source.

        Whether or not that model comes with this import: an earlier one with these options, or a later, named it so.
        """
        known = self.receipt.ids(REGISTERED_MODEL).get(named_owner(name, workspace))
        return known or self.options.model_name(name, workspace)

    def prompt_version(self, name: str, version: str, workspace: str | None) -> str | None:
        """Return the version in the target of a prompt of a workspace at the source.

        None where the target has it not, or not yet.
        """
        if not version.isdecimal():
            return version
        number = self.versions.of(name, workspace, int(version), is_prompt=True)
        return None if number is None else str(number)

    def linked_prompts(self, tags: Tags, experiment_id: str) -> dict[str, str | None]:
        """Return tags in which linked prompts are named as in the target; one that is not there keeps its version."""
        workspace = self.experiments.workspace(experiment_id)
        return remap_linked_prompts(
            tags,
            lambda name: self.model_name(name, workspace),
            lambda name, version: self.prompt_version(name, version, workspace) or version,
        )

    def link_again(self, kind: str, source_id: str, tags: Tags, bound: Bound, experiment_id: str) -> None:
        """Let the tag of linked prompts of an object wait for the versions that get numbers in this import only."""
        value, target_id = tags.get(LINKED_PROMPTS), self.mapped(kind, source_id)
        if value and target_id is not None and self.options.merge_models and not self.options.dry_run:
            written = self.linked_prompts({LINKED_PROMPTS: value}, experiment_id)[LINKED_PROMPTS] or ""
            self.linked.add(
                (kind, source_id),
                LinkedPrompts(
                    target_id=target_id, value=value, written=written, bound=bound, experiment_id=experiment_id
                ),
            )

    def find_run(self, source_id: str | None, experiment_id: str | None = None) -> str | None:
        """Return the target's id of a source run as ``run_id``, but wherever in the target it is."""
        if not source_id:
            return None
        with suppress(ItemError):  # its experiment need not be in this archive
            if source_id in self.receipt.ids(RUN) or experiment_id is not None:
                run_id = self.run_id(source_id, experiment_id or "")
                if run_id is not None or source_id in self.receipt.ids(RUN):
                    return run_id
        return self.run_index.anywhere(source_id)

    def mapped(self, kind: str, source_id: str | None) -> str | None:
        """Return the target's id of an object that this import made or found, or None."""
        return self.receipt.ids(kind).get(source_id) if source_id else None

    def required(self, kind: str, source_id: str | None) -> str:
        """Return the target's id of an object that another one cannot be without. Raises ItemError where it lacks."""
        target_id = self.mapped(kind, source_id)
        if target_id is None:
            raise ItemError(f"{kind.replace('_', ' ')} {source_id} is not in the target")
        return target_id

    @contextmanager
    def refusing(self, kind: str, source_id: str, code: str, path: str = "") -> Iterator[None]:
        """Refuse an object, or what lies at ``path`` of it, where what is done within fails because of it."""
        try:
            yield
        except (ItemError, ServerError) as exc:
            self.refuse(kind, source_id, code, exc, path)

    def refuse(self, kind: str, source_id: str, code: str, exc: ItemError | ServerError, path: str = "") -> None:
        """Put a failure into the receipt, or raise it where it is not about this one item.

        Objects of a kind that the target does not know become one refusal with their number.
        """
        if is_unknown_there(exc) and not path:
            self.receipt.unknown(kind)
            return
        check_one_item(exc)
        self.receipt.refuse(kind, source_id, path, code, str(exc))
        if not path:
            self.receipt.done("refused", kind)
