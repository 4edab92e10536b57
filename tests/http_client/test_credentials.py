"""What a session finds about itself: what MLflow would find, without importing MLflow."""

from __future__ import annotations

import base64
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow.tracking.request_header.registry import resolve_request_headers
from mlflow.utils.credentials import get_default_host_creds

from mlflow_archive.errors import SelectionError
from mlflow_archive.http.credentials import find_access

VARIABLES = (
    *(f"MLFLOW_TRACKING_{name}" for name in ("AUTH", "AWS_SIGV4", "TOKEN", "USERNAME", "PASSWORD")),
    *(f"MLFLOW_TRACKING_{name}" for name in ("INSECURE_TLS", "SERVER_CERT_PATH", "CLIENT_CERT_PATH")),
    "MLFLOW_HTTP_REQUEST_TIMEOUT",
)
SCRIPT = """
import sys
from mlflow_archive.http.credentials import find_access
access = find_access(None)
access.request_headers()
print("mlflow" in sys.modules, access.headers.get("Authorization"), access.timeout_seconds, access.verify)
"""


@pytest.mark.parametrize(
    ("variables", "file", "expected"),
    [
        ({}, "", "False None 120.0 True"),
        (dict.fromkeys(VARIABLES, ""), "", "False None 120.0 True"),
        ({"MLFLOW_TRACKING_TOKEN": "t"}, "", "False Bearer t 120.0 True"),
        ({"MLFLOW_HTTP_REQUEST_TIMEOUT": "7"}, "", "False None 7.0 True"),
        ({"MLFLOW_TRACKING_INSECURE_TLS": "true"}, "", "False None 120.0 False"),
        ({"MLFLOW_TRACKING_SERVER_CERT_PATH": "/ca.pem"}, "", "False None 120.0 /ca.pem"),
        ({}, "[mlflow]\nmlflow_tracking_username = u\nmlflow_tracking_password = p\n", "False Basic dTpw 120.0 True"),
    ],
)
def test_mlflow_is_not_imported(tmp_path: Path, variables: dict[str, str], file: str, expected: str) -> None:
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
    assert find_access(None).request_headers() == resolve_request_headers()


FILE = "[mlflow]\nmlflow_tracking_username = of file\nmlflow_tracking_password = 100%% secret\n"
URI = "http://127.0.0.1:5000"


@pytest.mark.parametrize("file", ["", FILE, "[other]\nx = y\n", "[mlflow]\nmlflow_tracking_username = alone\n"])
@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"USERNAME": "ann", "PASSWORD": "pä:ss"},
        {"USERNAME": "ann"},
        {"PASSWORD": "p", "TOKEN": "t"},
        {"USERNAME": "", "TOKEN": "t"},
        {"TOKEN": ""},
        {"AUTH": "plugin"},
        {"AUTH": ""},
        {"INSECURE_TLS": "TRUE"},
        {"INSECURE_TLS": "0", "SERVER_CERT_PATH": "/ca.pem"},
        {"CLIENT_CERT_PATH": "/me.pem"},
    ],
    ids=str,
)
def test_what_is_found_is_what_mlflow_finds(
    variables: dict[str, str], file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    if file:
        (tmp_path / ".mlflow").mkdir()
        (tmp_path / ".mlflow" / "credentials").write_text(file)
    for name, value in variables.items():
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", value)
    access, theirs = find_access(None), get_default_host_creds(URI)
    login = f"{theirs.username}:{theirs.password}".encode()
    basic = f"Basic {base64.b64encode(login).decode()}" if theirs.username and theirs.password else None
    assert access.headers.get("Authorization") == (basic or (f"Bearer {theirs.token}" if theirs.token else None))
    assert (access.provider or None) == (theirs.auth or None)
    assert (access.verify, access.certificate) == (theirs.verify, theirs.client_cert_path)


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        (
            {"MLFLOW_TRACKING_INSECURE_TLS": "yes"},
            "MLFLOW_TRACKING_INSECURE_TLS is 'yes'; expected true, false, 1 or 0",
        ),
        ({"MLFLOW_TRACKING_AWS_SIGV4": "on"}, "MLFLOW_TRACKING_AWS_SIGV4 is 'on'; expected true, false, 1 or 0"),
        ({"MLFLOW_HTTP_REQUEST_TIMEOUT": "1.5"}, "MLFLOW_HTTP_REQUEST_TIMEOUT is '1.5'; expected whole seconds"),
        (
            {"MLFLOW_TRACKING_INSECURE_TLS": "1", "MLFLOW_TRACKING_SERVER_CERT_PATH": "/ca.pem"},
            "MLFLOW_TRACKING_INSECURE_TLS and MLFLOW_TRACKING_SERVER_CERT_PATH exclude each other",
        ),
    ],
)
def test_what_mlflow_does_not_understand_is_named(
    variables: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SelectionError, match=re.escape(said)):
        find_access(None)


@pytest.mark.parametrize("file", ["[mlflow]\nmlflow_tracking_password = 5% secret\n", "secret\n"])
def test_a_file_of_credentials_in_another_form_is_named_without_what_it_holds(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".mlflow").mkdir()
    (tmp_path / ".mlflow" / "credentials").write_text(file)
    with pytest.raises(SelectionError, match=r"~/\.mlflow/credentials is not in the form of MLflow") as caught:
        find_access(None)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None
