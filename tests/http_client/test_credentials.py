"""What a session finds about itself: as MLflow would, but without importing MLflow where nothing is set up."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow.tracking.request_header.registry import resolve_request_headers

from mlflow_archive.http.credentials import find_access

URI = "http://127.0.0.1:5000"
SCRIPT = f"""
import sys
from mlflow_archive.http.credentials import find_access
access = find_access({URI!r}, None)
access.request_headers()
print("mlflow" in sys.modules, access.headers.get("Authorization"), access.timeout_seconds, access.verify)
"""


@pytest.mark.parametrize(
    ("variables", "file", "expected"),
    [
        ({}, "", "False None 120.0 True"),
        ({"MLFLOW_TRACKING_TOKEN": "t"}, "", "True Bearer t 120.0 True"),
        ({"MLFLOW_HTTP_REQUEST_TIMEOUT": "7"}, "", "True None 7.0 True"),
        ({"MLFLOW_TRACKING_INSECURE_TLS": "true"}, "", "True None 120.0 False"),
        ({"MLFLOW_TRACKING_SERVER_CERT_PATH": "/ca.pem"}, "", "True None 120.0 /ca.pem"),
        ({}, "[mlflow]\nmlflow_tracking_username = u\nmlflow_tracking_password = p\n", "True Basic dTpw 120.0 True"),
    ],
)
def test_mlflow_is_imported_only_where_it_has_something_to_find(
    tmp_path: Path, variables: dict[str, str], file: str, expected: str
) -> None:
    if file:
        (tmp_path / ".mlflow").mkdir()
        (tmp_path / ".mlflow" / "credentials").write_text(file)
    stock = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "DATABRICKS_"))}
    environment = {**stock, **variables, "HOME": str(tmp_path)}
    command = [sys.executable, "-c", SCRIPT]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == expected


def test_our_headers_are_those_of_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABRICKS_RUNTIME_VERSION", raising=False)
    assert find_access(URI, None).request_headers() == resolve_request_headers()
