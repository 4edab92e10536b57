"""The ten years of docs/retention.md: each of its commands is run, in its order, by what it says."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mlflow_archive_cli.main import run
from tests.support.authority import Authority, make_authority, served

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "retention.md").read_text("utf-8")
COMMANDS = re.findall(r"^    (\S.*)$", PAGE, re.MULTILINE)


@pytest.fixture
def authorities(tmp_path: Path) -> Iterator[tuple[Authority, Authority]]:
    """The authority of the first day, and the one of the renewal."""
    old, new = (make_authority(tmp_path / name) for name in ("authority", "new authority"))
    with served(old), served(new):
        yield old, new


def test_each_command_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, authorities: tuple[Authority, Authority]
) -> None:
    old, new = authorities
    places = {"DISK_A": tmp_path / "a", "DISK_B": tmp_path / "b", "STORE": ROOT / "demo" / "mlruns"}
    for name, path in places.items():
        path.mkdir(exist_ok=True)
        monkeypatch.setenv(name, str(path))
    monkeypatch.setenv("AUTHORITY", old.uri)
    monkeypatch.setenv("NEW_AUTHORITY", new.uri)
    desk = tmp_path / "desk"
    desk.mkdir()
    monkeypatch.chdir(desk)
    for authority, name in ((old, "authorities.pem"), (new, "new-authority.pem")):
        (desk / name).write_bytes(authority.ca.read_bytes())
    today = f"{datetime.now(UTC):%Y}"
    for line in COMMANDS:
        # The page is read in any year: its key was retired, and its token made, in the one after.
        command = line.replace("20270101", f"{int(today) + 1}0101").replace("20261130", f"{today}1231")
        assert perform(command) == 0, command
    tokens = sorted(path.name for path in (tmp_path / "b" / "2026-11.mlfa.sig").iterdir())
    assert tokens == [f"0001-records@bank.example{end}" for end in ("-2.tsr", ".sig", ".tsr")]
    assert (desk / "mlflow.db").exists()
    assert len(COMMANDS) > 20


def perform(command: str) -> int:
    """Run a line and return its exit code: ours in this process, as they all take their time to start."""
    if command.startswith("mlflow-archive "):
        return run([os.path.expandvars(word) for word in shlex.split(command, comments=True)[1:]])
    return subprocess.run(["bash", "-c", command], check=False, capture_output=True).returncode
