"""A tracking server, over its REST API: it deletes runs so that they come back, and nothing else.

MLflow's API has no way to bring back a logged model, and deletes traces for good.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, cast

from mlflow_archive.errors import ServerError
from mlflow_archive.flow.source import Source
from mlflow_archive.http.session import TrackingSession
from mlflow_archive.kinds import RUN
from mlflow_archive.retiring.site import ACTIVE, DELETED, Address, Foundation
from mlflow_archive.sinks.replay.target.rest_target import RestTarget
from mlflow_archive.sources.locate import locate_source
from mlflow_archive.sources.rest.workspaces import workspaces_of

if TYPE_CHECKING:
    from mlflow_archive.sources.rest import RestSource

_API: Final = "/api/2.0/mlflow/"
_NOT_FOUND: Final = "RESOURCE_DOES_NOT_EXIST"


class ServerSite:
    """The server at a URI; ``reading`` is what ``locate_source`` takes beside it."""

    kinds: tuple[str, ...] = (RUN,)
    kind = "rest"

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
                run = self._in(address).get_run(address.id)
            except ServerError as error:
                if error.error_code != _NOT_FOUND:
                    raise
                continue
            stages[address.kind, address.id] = DELETED if run.deleted else ACTIVE
        return stages

    def foundation(self, runs: Sequence[Address]) -> Foundation:
        foundation = self._rest_source.registered()
        of_versions = {run.id for run in runs if self._has_version(run)}
        return Foundation(runs=foundation.runs | of_versions, logged_models=foundation.logged_models)

    def _has_version(self, run: Address) -> bool:
        """Return whether a version names a run: asked by itself, as a list may lack what the server cannot show."""
        session = self._session.in_workspace(run.workspace) if self._is_divided else self._session
        answer = session.get(_API + "model-versions/search", {"filter": f"run_id = '{run.id}'"})
        return bool(answer.get("model_versions"))

    def assessed_runs(self, experiments: Collection[str] | None) -> set[str]:
        return self._rest_source.assessed_runs(experiments)

    def hide(self, address: Address) -> None:
        self._in(address).delete_run(address.id)

    def show(self, address: Address) -> None:
        self._in(address).restore_run(address.id)

    def roots(self) -> list[str]:
        return list(self._locations())

    def close(self) -> None:
        if "_rest_source" in self.__dict__:
            self._rest_source.close()
        self._target.close()

    def _locations(self) -> Iterator[str]:
        token = None
        while True:
            body = {"view_type": "ALL", "max_results": 1000, **({"page_token": token} if token else {})}
            answer = self._session.post(_API + "experiments/search", body)
            yield from (row["artifact_location"] for row in answer.get("experiments", []) if "artifact_location" in row)
            token = answer.get("next_page_token")
            if not token:
                return

    @cached_property
    def _rest_source(self) -> RestSource:
        """A source that is asked again and again."""
        source = cast("RestSource", self.source())  # what leads to a server
        source.facts()
        return source

    def _in(self, address: Address) -> RestTarget:
        return self._target.in_workspace(address.workspace) if self._is_divided else self._target

    @cached_property
    def _is_divided(self) -> bool:
        """Whether the server keeps workspaces apart."""
        workspaces = workspaces_of(self._session)
        return workspaces is not None and workspaces.divided
