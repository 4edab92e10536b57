"""From a tracking URI to a target."""

from __future__ import annotations

from collections.abc import Callable

from mlflow_archive.http.session import TrackingSession, tell_nobody
from mlflow_archive.sinks.replay.target.rest_target import RestTarget
from mlflow_archive.sinks.replay.target.store_target import StoreTarget
from mlflow_archive.sinks.replay.target.target import Target


def open_target(uri: str, *, artifact_root: str | None = None, on_retry: Callable[[str], None] = tell_nobody) -> Target:
    """Return the target of a tracking URI: a server for http(s), else a store in this process.

    ``artifact_root`` is where a store keeps the artifacts of new experiments; a server decides that itself.
    Raises TargetError where a store cannot be opened; a server is contacted only by ``Target.check``.
    """
    if uri.startswith(("http://", "https://")):
        return RestTarget(TrackingSession(uri, on_retry=on_retry))
    return StoreTarget(uri, artifact_root=artifact_root, on_retry=on_retry)
