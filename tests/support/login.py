"""A real ``mlflow server`` that asks who one is."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.support.mlflow_server import MlflowServer, running_server

USER: Final = "admin"
PASSWORD: Final = "password-12345"  # noqa: S105 - of a server that a test starts


@contextmanager
def server_with_login(folder: Path, *, python: str = sys.executable) -> Iterator[MlflowServer]:
    """Start a server with MLflow's own login, for which its Python needs ``mlflow[auth]``.

    MLflow asks for a key of its own and for the password that the first user gets.
    """
    settings = {"MLFLOW_FLASK_SERVER_SECRET_KEY": "any", "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD}
    with running_server(folder, options=("--app-name", "basic-auth"), environment=settings, python=python) as server:
        yield server
