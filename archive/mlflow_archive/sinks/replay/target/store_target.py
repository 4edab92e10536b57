"""A target without a server: any tracking store that MLflow itself can open, behind MLflow's own API in this process.

MLflow opens an older database by migrating it, unasked; such a one is refused here.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from mlflow_archive.errors import ItemError, TargetError
from mlflow_archive.http.default_uri import scheme_of
from mlflow_archive.http.session import TrackingSession, tell_nobody
from mlflow_archive.optional import mlflow_version, needing
from mlflow_archive.sinks.replay.target.in_process import ADDRESS, InProcessTransport
from mlflow_archive.sinks.replay.target.rest_target import RestTarget
from mlflow_archive.sinks.replay.target.target import NOBODY, TargetArtifacts
from mlflow_archive.sinks.replay.writing.artifacts import LocalPlace, RepositoryPlace, local_root


class StoreTarget(RestTarget):
    """A tracking store in this process. ``artifact_root`` is for new experiments, None as MLflow has it.

    Raises MissingExtraError where full MLflow is missing, TargetError where the store cannot be opened, or its schema
    is an older one.
    """

    def __init__(
        self, uri: str, *, artifact_root: str | None = None, on_retry: Callable[[str], None] = tell_nobody
    ) -> None:
        display_uri = _without_password(uri)
        transport, self._engines = _open(uri, display_uri, artifact_root)
        super().__init__(TrackingSession(ADDRESS, transport=transport, on_retry=on_retry, shown=display_uri))
        self.uri = display_uri

    def check(self) -> None:
        next(self.experiments(), None)
        self.version = mlflow_version()

    def in_workspace(self, name: str | None) -> Self:
        view = super().in_workspace(name)
        view._engines = []
        return view

    def close(self) -> None:
        super().close()
        for engine in self._engines:
            engine.dispose()

    def place(self, uri: str, owner: Mapping[str, str] = NOBODY) -> TargetArtifacts:
        if uri.startswith("mlflow-artifacts:"):
            message = f"{uri} lies behind a server; import through that server's http address"
            raise ItemError(message)
        root = local_root(uri)
        return RepositoryPlace(uri) if root is None else LocalPlace(root)


def _without_password(uri: str) -> str:
    scheme, separator, rest = uri.partition("://")
    authority, slash, path = rest.partition("/")
    return scheme + separator + authority.rpartition("@")[2] + slash + path


def _open(uri: str, display_uri: str, artifact_root: str | None) -> tuple[InProcessTransport, list[Any]]:
    with needing("server", f"writing into {display_uri} without a server"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what MLflow's server says of its own dependencies helps nobody here
        from mlflow.server import handlers  # noqa: PLC0415 - full MLflow takes seconds to import
        from mlflow.server.fastapi_app import app  # noqa: PLC0415
        from mlflow.tracking._model_registry import utils as registry  # noqa: PLC0415
        from mlflow.tracking._tracking_service import utils as tracking  # noqa: PLC0415
    if scheme_of(uri) == "sqlite":
        _make_file(uri)
    if scheme_of(uri) in ("sqlite", "postgresql", "mysql", "mssql"):
        _make_tables(uri, display_uri)
    try:
        stores = [tracking._get_store(uri, artifact_root), registry._get_store(uri, uri)]
    except Exception as exc:  # drivers, SQLAlchemy and plugins each have errors of their own
        message = f"{display_uri} cannot be opened as an MLflow tracking store: {exc}"
        raise TargetError(message) from exc
    engines = []
    for store in stores:
        with suppress(AttributeError):  # only SQL stores have one
            engines.append(store.engine)
    if scheme_of(uri) == "mysql":
        # Where MLflow has just made its first experiment, the session cuts what is too long from then on, unsaid
        # (sqlalchemy_store, `sql_mode=''`). New connections are as the server wants them.
        for engine in engines:
            engine.dispose()
    variables = [
        (handlers, "_tracking_store", stores[0]),
        (handlers, "_model_registry_store", stores[1]),
        (tracking, "_tracking_uri", uri),  # the registry looks up logged models by the global URI
    ]
    return InProcessTransport(app, variables), engines


def _make_file(uri: str) -> None:
    """Let MLflow make the tables of a SQLite file that is not there yet under another name.

    Interrupted among its migrations it leaves a database that it opens no more itself.
    """
    from mlflow.store.db import utils  # noqa: PLC0415

    from mlflow_archive.mlflow_database.uris import parse_database_uri  # noqa: PLC0415 - brings SQLAlchemy

    link = parse_database_uri(uri).path
    path = link and Path(os.path.realpath(link))
    if path is None or path.exists() or not path.parent.is_dir():
        return
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        temporary = Path(folder) / path.name
        engine = utils.create_sqlalchemy_engine(f"sqlite:///{temporary.absolute()}")
        try:
            utils._initialize_tables(engine)
        finally:
            engine.dispose()
        with suppress(FileExistsError):  # another import has made it meanwhile
            path.hardlink_to(temporary)


def _make_tables(uri: str, display_uri: str) -> None:
    """Let MLflow make its tables where there are none, and refuse those of another MLflow. Raises TargetError."""
    import sqlalchemy  # noqa: PLC0415
    from mlflow.store.db import utils  # noqa: PLC0415

    from mlflow_archive.mlflow_database.mlflow_schema import check_revision  # noqa: PLC0415 - brings SQLAlchemy
    from mlflow_archive.mlflow_database.whole_schema import is_whole, make_whole  # noqa: PLC0415

    try:
        engine = utils.create_sqlalchemy_engine(uri)
    except (ImportError, sqlalchemy.exc.SQLAlchemyError) as exc:
        message = (
            f"{display_uri} cannot be opened as a database: {exc}; name a driver that is installed, such as "
            "postgresql+psycopg2:// or mysql+pymysql://"
        )
        raise TargetError(message) from exc
    try:
        with engine.connect() as connection:
            whole = is_whole(connection)
        if not whole:
            make_whole(engine)
        check_revision(engine, display_uri)
    except sqlalchemy.exc.SQLAlchemyError as exc:
        message = (
            f"{display_uri} cannot be opened as a database: {type(exc).__name__}; check the URI and its permissions"
        )
        raise TargetError(message) from exc
    finally:
        engine.dispose()
