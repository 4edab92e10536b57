"""Make ``tests.support`` importable and keep MLflow quiet and offline."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

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
# `make test-mariadb` and `make test-matrix` run these: they need a server that is installed, and packages.
collect_ignore = [
    folder
    for folder, variable in (("mariadb", "TEST_MARIADB"), ("matrix", "TEST_MATRIX"))
    if not os.environ.get(variable)
]

for name in [name for name in os.environ if name.startswith("MLFLOW_TRACKING_")]:
    del os.environ[name]

from tests.support.databases import PostgresServer, postgres_server  # noqa: E402 - needs the path above
from tests.support.mlflow_server import MlflowServer, running_server  # noqa: E402 - needs the path above


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """One real server for the whole session; tests keep to experiments of their own."""
    with running_server(tmp_path_factory.mktemp("mlflow-server")) as server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One real PostgreSQL server for the whole session."""
    with postgres_server() as server:
        yield server
