"""Into which workspace of the target the objects of each workspace of the source go.

A target that has workspaces gets those that it lacks. In one that has none, and where one workspace is given for
all, names from other workspaces than ``default`` are put behind that of their workspace, so that nothing meets an
object of the same name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import Any, Final

from mlflow_archive.errors import ItemError, ServerError, TargetError
from mlflow_archive.format import refusals
from mlflow_archive.kinds import DEFAULT_WORKSPACE, WORKSPACE
from mlflow_archive.sinks.replay.options import ReplayOptions
from mlflow_archive.sinks.replay.target.target import Target
from mlflow_archive.sinks.replay.writing.failures import check_one_item, is_unknown_there
from mlflow_archive.sinks.replay.writing.receipt import Receipt
from mlflow_archive.sinks.replay.writing.rows import Row

_API: Final = "/api/3.0/mlflow/workspaces"
_ACTING: Final = ("default_artifact_root", "trace_archival_location", "trace_archival_retention")
"""Settings that would let the target write to the source's storage, or archive its traces; in the receipt only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspacePlace:
    """Where the objects of a workspace go: ``workspace`` is None for as the target has it without being asked.

    ``prefix`` goes before their names; ``new`` says that a dry run would make that workspace.
    """

    workspace: str | None
    prefix: str = ""
    new: bool = False


class WorkspaceMap:
    """The workspaces of a target. ``only`` is the one that all objects of the archive are in, None where several are.

    Raises TargetError where the target lacks the workspace that everything is to go into. Usable by several threads.
    """

    def __init__(self, target: Target, options: ReplayOptions, receipt: Receipt, *, only: str | None) -> None:
        self._target, self._options, self._receipt = target, options, receipt
        self._only = only
        self._lock = Lock()
        self._places: dict[str, WorkspacePlace] = {}
        self._refused: dict[str, str] = {}

    def check(self) -> None:
        """Make sure that there is the workspace that everything is to go into."""
        if self._options.workspace not in (None, DEFAULT_WORKSPACE) and not self._enabled:
            message = (
                f"{self._target.uri} has no workspaces; start it with --enable-workspaces or leave out --workspace"
            )
            raise TargetError(message)

    def add(self, row: Row) -> None:
        """Take a workspace of the source, with its description, before what lies in it."""
        name = row["name"]
        if name == DEFAULT_WORKSPACE:
            return
        self._receipt.kept(WORKSPACE, name, {key: row[key] for key in _ACTING})
        try:
            self.place_of(name, row["description"])
        except ItemError:
            return  # reported by place_of

    def place_of(self, source: str, description: str | None = None) -> WorkspacePlace:
        """Return where the objects of a workspace of the source go. Raises ItemError where they cannot."""
        with self._lock:
            if source in self._refused:
                raise ItemError(self._refused[source])
            if source not in self._places:
                self._places[source] = self._find(source, description)
            return self._places[source]

    def _find(self, source: str, description: str | None) -> WorkspacePlace:
        plain = source in (DEFAULT_WORKSPACE, self._only)
        if self._options.workspace is not None:
            name = self._options.workspace if self._enabled else None
            place = WorkspacePlace(workspace=name, prefix="" if plain else source)
            return place if name is None else self._ensure(name, None, place, source)
        if source == DEFAULT_WORKSPACE:
            return WorkspacePlace(workspace=None)
        if not self._enabled:
            self._receipt.note(
                f"the target has no workspaces; what was in {source!r} is there"
                + ("" if plain else f", with {source!r} before its name")
            )
            return WorkspacePlace(workspace=None, prefix="" if plain else source)
        return self._ensure(source, description, WorkspacePlace(workspace=source), source)

    def _ensure(self, name: str, description: str | None, place: WorkspacePlace, source: str) -> WorkspacePlace:
        """Make a workspace if it is not there."""
        outcome = "skipped"
        if name not in self._existing:
            outcome = "created"
            if self._options.dry_run:
                place = WorkspacePlace(workspace=name, prefix=place.prefix, new=True)
            else:
                self._create(name, description, source)
            self._existing.add(name)
        if source != DEFAULT_WORKSPACE:
            self._receipt.mapped(WORKSPACE, source, name)
            self._receipt.done(outcome, WORKSPACE)
        return place

    def _create(self, name: str, description: str | None, source: str) -> None:
        body: Mapping[str, Any] = {"name": name} if description is None else {"name": name, "description": description}
        try:
            self._target.api.post(_API, body)
        except ServerError as exc:
            check_one_item(exc)
            if exc.error_code != "RESOURCE_ALREADY_EXISTS":
                self._refused[source] = str(exc)
                self._receipt.refuse(WORKSPACE, source, "", refusals.WORKSPACE_REFUSED, str(exc))
                raise ItemError(str(exc)) from exc

    @cached_property
    def _existing(self) -> set[str]:
        return {workspace["name"] for workspace in self._target.api.get(_API).get("workspaces", [])}

    @cached_property
    def _enabled(self) -> bool:
        """Whether the target has workspaces; servers before 3.10 do not know the question."""
        try:
            return bool(self._target.api.get("/api/3.0/mlflow/server-info").get("workspaces_enabled", False))
        except ServerError as exc:
            if not is_unknown_there(exc):
                raise
            return False
