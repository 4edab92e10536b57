"""Make ``tests.support`` importable and keep MLflow quiet and offline."""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

os.environ.update(
    {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "GIT_PYTHON_REFRESH": "quiet",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
)
# `make test-mariadb`, `test-matrix` and the like run these: they need a server that is installed, and packages.
collect_ignore = [
    folder
    for folder in ("mariadb", "matrix", "newest", "readers", "versions")
    if not os.environ.get(f"TEST_{folder.upper()}")
]

for name in [name for name in os.environ if name.startswith("MLFLOW_TRACKING_")]:
    del os.environ[name]

from tests.support.databases import (  # noqa: E402 - needs the path above
    PostgresServer,
    copy_database,
    initialize_by_copy,
    latest_revision,
    own_migrations,
    postgres_server,
)
from tests.support.everything import Filled, filled_server  # noqa: E402 - needs the path above
from tests.support.few_examples import register_few_examples  # noqa: E402 - needs the path above
from tests.support.left_behind import LookOut, names_in_checkout  # noqa: E402 - needs the path above
from tests.support.mlflow_server import MlflowServer, running_server  # noqa: E402 - needs the path above
from tests.support.needs import Needs  # noqa: E402 - needs the path above
from tests.support.object_store import running_s3  # noqa: E402 - needs the path above
from tests.support.session_folder import open_run_folder  # noqa: E402 - needs the path above
from tests.support.sharing import SharingScheduling, write_groups  # noqa: E402 - needs the path above
from tests.support.unsynced import unsynced  # noqa: E402 - needs the path above

register_few_examples()


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Have everything that the run writes in one folder; workers and other children inherit it."""
    if not hasattr(config, "workerinput"):
        if not config.pluginmanager.is_blocked("left-behind"):
            config.pluginmanager.register(LookOut(), "left-behind")
        folder = open_run_folder()
        config.option.basetemp = config.option.basetemp or str(Path(folder.name, "pytest"))
        config.add_cleanup(folder.cleanup)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, items: list[pytest.Item]) -> None:
    """Mark tests that start servers or are slow; give those that share much to one worker; let the longest begin."""
    needs = Needs(session)
    groups = {}
    weights: defaultdict[str, float] = defaultdict(float)
    for item in items:
        need = needs.of(item)
        if need.server:
            item.add_marker("server")
        if need.time:
            item.add_marker("slow")
        if need.group:
            groups[item.nodeid] = need.group
        weights[need.group or item.nodeid] += need.weight
    if hasattr(session.config, "workerinput"):
        items.sort(key=lambda item: -weights[groups.get(item.nodeid, item.nodeid)])
        write_groups(groups)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Schedule as :class:`SharingScheduling` does, if nothing else was asked for."""
    return SharingScheduling(config, log) if config.getoption("dist") == "load" else None


@pytest.fixture(autouse=True)
def checkout() -> Iterator[None]:
    """Nothing is added to the top of the checkout: MLflow's client makes a database where it is, if it is not led."""
    before = names_in_checkout()
    yield
    assert names_in_checkout() <= before, "files were left in the checkout"


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """One real server for the whole session; what fills it keeps to experiments of its own."""
    with running_server(tmp_path_factory.mktemp("shared-server")) as server:
        yield server


@pytest.fixture(scope="session")
def cleared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[MlflowServer, Path]]:
    """The server that :func:`mlflow_server` clears, and its database as it was at the start."""
    folder = tmp_path_factory.mktemp("mlflow-server")
    with running_server(folder) as server:
        copy_database(server.database, folder / "new.db")
        yield server, folder / "new.db"


@pytest.fixture
def mlflow_server(cleared_server: tuple[MlflowServer, Path]) -> MlflowServer:
    """A real server in which nothing is: with all that other tests left, each look at all of it would take longer."""
    server, new = cleared_server
    copy_database(new, server.database)  # files stay, and belong to nothing then
    return server


@pytest.fixture(scope="session")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[MlflowServer, Filled]]:
    """One real server for the whole session that holds every kind of object, and what was put into it; only read."""
    with filled_server(tmp_path_factory.mktemp("everything") / "server") as filled:
        yield filled


@pytest.fixture(autouse=True, scope="session")
def copied_databases() -> Iterator[None]:
    """MLflow makes a new SQLite database in this process once, and reads its migrations once; all others are copies."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mlflow.store.db.utils._initialize_tables", initialize_by_copy)
        patch.setattr("mlflow.store.db.utils._get_latest_schema_revision", latest_revision)
        yield


@pytest.fixture(autouse=True, scope="session")
def unsynced_disk() -> Iterator[None]:
    """Nothing in this process waits for the disk."""
    with unsynced():
        yield


@pytest.fixture
def migrated_databases() -> Iterator[None]:
    """MLflow makes each new database itself."""
    with own_migrations():
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One real PostgreSQL server for the whole session."""
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """One real S3 server for the whole session."""
    with running_s3() as url:
        yield url


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Any]:
    """A URI in a new bucket, and boto's client."""
    import boto3  # noqa: PLC0415

    keys = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key", "AWS_DEFAULT_REGION": "us-east-1"}
    for name, value in {**keys, "MLFLOW_S3_ENDPOINT_URL": s3_server}.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3", endpoint_url=s3_server)
    bucket = f"bucket-{uuid4().hex}"
    client.create_bucket(Bucket=bucket)
    return f"s3://{bucket}/deep/root", client
