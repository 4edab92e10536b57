"""The receipt is there however a command ends: as it goes, after an error, after each signal."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from mlflow_archive.flow.report import Report
from mlflow_archive_cli import receipt
from tests.cli.conftest import Command
from tests.support.listening import listening


class _Slow(BaseHTTPRequestHandler):
    """A server that makes experiments, and refuses each run after a while."""

    asked_for_run: Event

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.endswith("runs/create"):
            self.asked_for_run.set()
            time.sleep(0.5)
            self._answer(400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "no"})
        else:
            self._answer(200, {"experiment_id": "7"} if self.path.endswith("experiments/create") else {"runs": []})

    def do_GET(self) -> None:
        self._answer(404, {"error_code": "RESOURCE_DOES_NOT_EXIST"})

    def _answer(self, status: int, document: Any) -> None:
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: Any) -> None: ...


@pytest.fixture
def slow_server() -> Iterator[tuple[str, Event]]:
    asked = Event()
    with listening(type("_Handler", (_Slow,), {"asked_for_run": asked})) as url:
        yield url, asked


@pytest.mark.parametrize(
    ("number", "state", "code"),
    [
        (signal.SIGTERM, "interrupted", 130),
        (signal.SIGINT, "interrupted", 130),
        (signal.SIGKILL, "running", -signal.SIGKILL),
    ],
)
def test_a_signal_leaves_the_receipt(
    single_file: Path, slow_server: tuple[str, Event], tmp_path: Path, number: signal.Signals, state: str, code: int
) -> None:
    uri, asked = slow_server
    path = tmp_path / "r.json"
    command = [sys.executable, "-m", "mlflow_archive_cli", "import", str(single_file), "--to", uri]
    process = subprocess.Popen([*command, "--receipt", str(path), "-q"], stderr=subprocess.PIPE)
    assert asked.wait(60)
    process.send_signal(number)
    said = process.communicate(timeout=60)[1].decode()
    assert process.returncode == code, said
    document = json.loads(path.read_text())
    assert (document["state"], document["complete"]) == (state, False)
    assert document["archive"] == str(single_file)
    if state == "interrupted":
        assert document["experiments"]["1"] == "7"


def test_an_error_leaves_the_receipt(cli: Command, single_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    ran = cli("import", single_file, "--to", "http://127.0.0.1:9", "--receipt", path)
    document = json.loads(path.read_text())
    assert (ran.code, document["state"], document["complete"]) == (13, "failed", False)
    assert "connection refused" in document["error"]
    ran = cli("restore", single_file, "--to", "sqlite:///", "--keep-artifact-uris", "--receipt", path)
    assert (ran.code, json.loads(path.read_text())["state"]) == (2, "failed")


def test_it_is_written_as_the_command_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receipt, "PAUSE_SECONDS", 0.01)
    real, path = tmp_path / "real.json", tmp_path / "link.json"
    path.symlink_to(real)
    report = Report(counts={"runs": 0})
    with receipt.ReceiptFile(path, {"archive": "a"}) as file:
        file.begin(lambda: report)
        for number in range(3):
            report = Report(counts={"runs": number})
            end = time.monotonic() + 30
            while json.loads(real.read_text())["counts"] != {"runs": number} and time.monotonic() < end:
                time.sleep(0.01)
            assert json.loads(real.read_text())["counts"] == {"runs": number}
        file.end(Report(counts={"runs": 4}))
    assert json.loads(real.read_text()) == {"archive": "a", "state": "done", "complete": True, "counts": {"runs": 4}}
    assert sorted(tmp_path.iterdir()) == [path, real]
    assert path.is_symlink()
