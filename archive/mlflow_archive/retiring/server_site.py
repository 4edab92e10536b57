"""A tracking server, over its REST API: it deletes runs and logged models softly, and traces for good.

MLflow's API brings runs back, but has no way to bring back a logged model: that needs its database.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final, cast

from mlflow_archive.artifact_roots import ArtifactRoots
from mlflow_archive.artifact_roots.proxy import PROXY_LIST, quoted
from mlflow_archive.errors import SelectionError, ServerError
from mlflow_archive.flow.chunk import Chunk
from mlflow_archive.flow.source import Source
from mlflow_archive.http.paging import paged
from mlflow_archive.http.session import TrackingSession
from mlflow_archive.http.tried import untried
from mlflow_archive.kinds import LOGGED_MODEL, RUN, TRACE
from mlflow_archive.retiring.site import ACTIVE, DELETED, Address, Entangled, Foundation
from mlflow_archive.sinks.replay.target.rest_target import RestTarget
from mlflow_archive.sources.locate import locate_source
from mlflow_archive.sources.rest.lookups import LOGGED_MODELS
from mlflow_archive.sources.rest.traces.traces import TRACES
from mlflow_archive.sources.rest.workspaces import workspaces_of

if TYPE_CHECKING:
    from mlflow_archive.sources.rest import RestSource

_API: Final = "/api/2.0/mlflow/"
_NOT_FOUND: Final = "RESOURCE_DOES_NOT_EXIST"


class ServerSite:
    """The server at a URI; ``reading`` is what ``locate_source`` takes beside it."""

    kinds: tuple[str, ...] = (LOGGED_MODEL, RUN)
    kind = "rest"
    unseen: frozenset[str] = frozenset({LOGGED_MODEL})

    def __init__(self, uri: str, reading: Mapping[str, Any]) -> None:
        self._uri, self._reading = uri, reading
        self._session = TrackingSession(uri, on_retry=reading["progress"].note)
        self._target = RestTarget(self._session)
        self.uri = self._session.uri

    def source(self) -> Source:
        return locate_source(self._uri, **self._reading)

    def stages(self, objects: Sequence[Address]) -> dict[tuple[str, str], str]:
        stages = {}
        for address in objects:
            try:
                deleted = self._is_deleted(address)
            except ServerError as error:
                if error.error_code != _NOT_FOUND:
                    raise
                continue
            stages[address.kind, address.id] = DELETED if deleted else ACTIVE
        return stages

    def _is_deleted(self, address: Address) -> bool:
        if address.kind == RUN:
            return self._in(address).get_run(address.id).deleted
        session = self._session_in(address.workspace)
        if address.kind == TRACE:
            session.get(f"{TRACES}/{quoted(address.id)}")
            return False
        path = f"{LOGGED_MODELS}/{quoted(address.id)}"
        try:
            session.get(path)
        except ServerError as error:
            if error.error_code != _NOT_FOUND:
                raise
            session.get(path, {"allow_deleted": "true"})
            return True
        return False

    def foundation(self, runs: Sequence[Address], source: Source) -> Foundation:
        foundation = self._rest_source.registered()
        of_versions = {run.id for run in runs if self._has_version(run)}
        return Foundation(runs=foundation.runs | of_versions, logged_models=foundation.logged_models)

    def _has_version(self, run: Address) -> bool:
        """Return whether a version names a run: asked by itself, as a list may lack what the server cannot show."""
        answer = self._session_in(run.workspace).get(_API + "model-versions/search", {"filter": f"run_id = '{run.id}'"})
        return bool(answer.get("model_versions"))

    def entangled(self, kinds: Collection[str], experiments: Collection[str] | None) -> Entangled:
        """Return the runs that assessments come from, and the traces that review queues have."""
        ask = {RUN: self._rest_source.assessed_runs, TRACE: self._rest_source.queued_traces}
        return {kind: ask[kind](experiments) for kind in kinds if kind in ask}

    def by_id(self, address: Address) -> Iterator[Chunk]:
        """Yield a logged model, deleted or not, or a trace without its links, as it is now; nothing for none."""
        return self._rest_source.by_id(address.kind, address.id, address.workspace if self._is_divided else None)

    def hide(self, address: Address) -> None:
        if address.kind == RUN:
            self._in(address).delete_run(address.id)
        else:
            self._session_in(address.workspace).delete(f"{LOGGED_MODELS}/{quoted(address.id)}")

    def show(self, address: Address) -> None:
        if address.kind == RUN:
            self._in(address).restore_run(address.id)

    def check_purge(self) -> None:
        """Raise SelectionError where a trace may have what this version does not know, or cannot be read by its id."""
        version = self._rest_source.facts().mlflow_version or ""
        if not version.startswith("3.") or untried(version):
            raise SelectionError(
                f"{self.uri} is of MLflow {version or 'of an unknown version'}: traces are purged only at one whose "
                "traces this version knows whole; give the URI of its database"
            )

    def delete_trace(self, address: Address, experiment_id: str) -> bool:
        """Delete a trace for good; return whether it was there."""
        body = {"experiment_id": experiment_id, "request_ids": [address.id]}
        answer = self._session_in(address.workspace).post(f"{_API}traces/delete-traces", body)
        return bool(answer.get("traces_deleted"))

    def artifacts(
        self, workspace: str | None, artifact_map: Sequence[tuple[str, str]], destination: str | None
    ) -> ArtifactRoots:
        """Return where files lie that may be removed: behind its proxy, and where the user says."""
        return ArtifactRoots(
            artifact_map=artifact_map,
            artifacts_destination=destination or f"{self._session.uri.rstrip('/')}{PROXY_LIST}",
            tracking=self._session_in(workspace),
        )

    def roots(self) -> list[str]:
        return list(self._locations())

    def close(self) -> None:
        if "_rest_source" in self.__dict__:
            self._rest_source.close()
        self._target.close()

    def _locations(self) -> Iterator[str]:
        ask = partial(self._session.post, _API + "experiments/search")
        for answer in paged(ask, {"view_type": "ALL", "max_results": 1000}):
            yield from (row["artifact_location"] for row in answer.get("experiments", []) if "artifact_location" in row)

    @cached_property
    def _rest_source(self) -> RestSource:
        """A source that is asked again and again."""
        source = cast("RestSource", self.source())  # what leads to a server
        source.facts()
        return source

    def _in(self, address: Address) -> RestTarget:
        return self._target.in_workspace(address.workspace) if self._is_divided else self._target

    def _session_in(self, workspace: str | None) -> TrackingSession:
        return self._session.in_workspace(workspace) if self._is_divided else self._session

    @cached_property
    def _is_divided(self) -> bool:
        """Whether the server keeps workspaces apart."""
        workspaces = workspaces_of(self._session)
        return workspaces is not None and workspaces.divided
