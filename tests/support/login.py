"""A real ``mlflow server`` that asks who one is."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.support.mlflow_server import MlflowServer, running_server

USER: Final = "admin"
PASSWORD: Final = "long enough for MLflow"  # noqa: S105 - of a server that a test starts

_SETTINGS: Final = """
[mlflow]
default_permission = READ
database_uri = sqlite:///basic_auth.db
admin_username = admin
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 600
"""
"""MLflow's own settings, but that a password is not hashed anew for each request, which takes most of a second."""


@contextmanager
def server_with_login(
    folder: Path, *, python: str = sys.executable, environment: Mapping[str, str] | None = None
) -> Iterator[MlflowServer]:
    """Start a server with MLflow's own login, for which its Python needs ``mlflow[auth]``.

    MLflow asks for a key of its own and for the password that the first user gets.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "auth.ini").write_text(_SETTINGS)
    settings = {
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "any",
        "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
        **(environment or {}),
    }
    with running_server(folder, options=("--app-name", "basic-auth"), environment=settings, python=python) as server:
        yield server
