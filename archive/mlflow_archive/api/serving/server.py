"""``serve``: MLflow's own server and web pages on an archive, in this process, read-only."""

from __future__ import annotations

import os
import socket
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any, Final

from mlflow_archive.api.serving.database import database_of
from mlflow_archive.api.serving.guard import ReadOnlyGuard
from mlflow_archive.api.serving.location import SCHEME, State, artifact_root
from mlflow_archive.errors import TargetError
from mlflow_archive.flow.report import Progress, Quiet
from mlflow_archive.format.earlier import AskedAt
from mlflow_archive.format.location import ArchivePath, local_path
from mlflow_archive.optional import needing
from mlflow_archive.reader.archive import open_archive

_GRACE_SECONDS: Final = 3
"""How long an interrupt waits for answers that are under way."""


def serve(
    archive: ArchivePath,
    *,
    at: AskedAt | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    ready: Callable[[str], None] = print,
    progress: AbstractContextManager[Progress] | None = None,
) -> None:
    """Show an archive, as it is or was, in MLflow's web pages until the process is interrupted; then return.

    ``ready`` is called with the URL once it can be opened; port 0 takes a free one. ``progress`` watches what comes
    before that.
    Raises ArchiveError, TargetError where the port is taken or the cache cannot be written, MissingExtraError where
    full MLflow is missing.
    """
    state = _state(local_path(archive).absolute(), at)
    with needing("server", "serve"):
        import flask  # noqa: F401, PLC0415 - full MLflow has it, its skinny part has not
        import uvicorn  # noqa: PLC0415
    listening = _listen(host, port)
    with listening:
        quiet: Progress = Quiet()
        with progress or nullcontext(quiet) as listener:
            database = database_of(state, progress=listener)
            application = ReadOnlyGuard(_application(state, database), f"read-only: {_name(state)}")
        url = f"http://{_shown(host)}:{listening.getsockname()[1]}"
        config = uvicorn.Config(
            application, log_level="error", lifespan="off", timeout_graceful_shutdown=_GRACE_SECONDS
        )
        with suppress(KeyboardInterrupt):  # the way to end it
            _announcing(config, lambda: ready(url)).run(sockets=[listening])


def _state(path: Path, at: AskedAt | None) -> State:
    """Return an archive with the number of the export after which it is shown."""
    if at is None:
        return State(path)
    with open_archive(path, at=at) as archive:
        return State(path, archive.manifest.export_number)


def _name(state: State) -> str:
    return state.path.name if state.at is None else f"{state.path.name} as it was after export {state.at}"


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise TargetError(f"{host}:{port} cannot be listened on: {error.strerror}; choose another --port") from error
    return listening


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _application(state: State, database: Path) -> Any:
    """Return MLflow's application with its stores set to the archive."""
    os.environ.update(
        {
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_ENABLE_AI_GATEWAY": "false",
            "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{database}",
            "_MLFLOW_SERVER_REGISTRY_STORE": f"sqlite:///{database}",
            "_MLFLOW_SERVER_ARTIFACT_ROOT": artifact_root(state),
            "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
            "_MLFLOW_SERVER_ARTIFACT_DESTINATION": artifact_root(state),
        }
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what MLflow's server says of its own dependencies helps nobody here
        from mlflow.server import handlers  # noqa: PLC0415
        from mlflow.server.fastapi_app import app  # noqa: PLC0415
    from mlflow_archive.api.serving.artifacts import hold_open  # noqa: PLC0415 - MLflow imports it, too
    from mlflow_archive.api.serving.stores import registry_store, tracking_store  # noqa: PLC0415

    hold_open(state)
    uri = f"{SCHEME}:{artifact_root(state).partition(':')[2].removesuffix('!')}"
    stores: Any = handlers
    stores._tracking_store = tracking_store(uri)
    stores._model_registry_store = registry_store(uri)
    return app


def _announcing(config: Any, listening: Callable[[], None]) -> Any:
    """Return a server that says when it listens."""
    import uvicorn  # noqa: PLC0415

    class Announcing(uvicorn.Server):  # type: ignore[misc] # untyped where MLflow is not there
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets=sockets)
            listening()

    return Announcing(config)
