"""The page on archives in buckets: each of its commands is run, in its order, on a real S3 server."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from mlflow_archive.reader.archive import open_archive
from mlflow_archive_cli.main import run

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = re.findall(r"^    (mlflow-archive .*)$", (ROOT / "docs" / "buckets.md").read_text("utf-8"), re.MULTILINE)


def test_each_command_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3: tuple[str, Any]) -> None:
    uri, _ = s3
    monkeypatch.chdir(tmp_path)
    store = str(ROOT / "demo" / "mlruns")
    assert run(["export", "backup", "--from", store]) == 0
    with open_archive("backup") as archive:
        run_id = archive.table("artifacts")["owner_id"][0].as_py()
    for name, value in {"BUCKET": uri, "RUN": run_id, "STORE": store}.items():
        monkeypatch.setenv(name, value)
    for command in COMMANDS:
        words = [os.path.expandvars(word) for word in shlex.split(command, comments=True)[1:]]
        assert run(words) == 0, command
    assert len(COMMANDS) > 6
