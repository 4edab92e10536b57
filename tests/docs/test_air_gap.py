"""The walk through a transfer in docs/air-gap.md: every command of it, in its order, as it stands there."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from contextlib import chdir
from pathlib import Path

import pytest

from mlflow_archive.verification.checks import verify
from mlflow_archive_cli.main import run
from tests.support.mlflow_server import MlflowServer
from tests.support.mlruns import RUN_ID, Experiment, Run, Store, write_store

PAGE = Path(__file__).resolve().parents[2] / "docs" / "air-gap.md"
PACKAGES = {"age-keygen": "age", "ssh-keygen": "openssh-client", "sha256sum": "coreutils"}


def walk() -> list[str]:
    """Return the commands of the page."""
    return [line.strip() for line in re.findall(r"^    (\S.*)$", PAGE.read_text("utf-8"), re.MULTILINE)]


def test_every_command_of_a_transfer(tmp_path: Path, mlflow_server: MlflowServer) -> None:
    missing = sorted({package for tool, package in PACKAGES.items() if shutil.which(tool) is None})
    if missing:
        pytest.fail(f"the page needs tools that are not here: install the packages {', '.join(missing)}")
    write_week(1, tmp_path / "mlruns")
    (tmp_path / "media").mkdir()
    stand_ins = {
        "https://mlflow.example": str(tmp_path / "mlruns"),
        "http://127.0.0.1:5000": mlflow_server.uri,
        "/media/usb": str(tmp_path / "media"),
    }
    before, after = tmp_path / "sender", tmp_path / "receiver"
    for folder in (before, after):
        folder.mkdir()
    commands = walk()
    for command in commands:
        unpacked = any(
            word in command for word in ("unpack", "--signers", "import", "diff", "all.mlfa", "cp all.index")
        )
        if week := re.search(r"week-(\d)\.mlfa --base", command):
            write_week(int(week[1]), tmp_path / "mlruns")
        if unpacked:
            for name in ("receiver.txt", "allowed_signers"):
                shutil.copy(before / name, after / name)
        for text, stand_in in stand_ins.items():
            command = command.replace(text, stand_in)  # noqa: PLW2901
        done(command, after if unpacked else before)
    assert (after / "transfer.mlfa").read_bytes() == (before / "transfer.mlfa").read_bytes()
    proof = json.loads((after / "proof.json").read_text())
    assert (proof["proved"], proof["archive"]["id"]) == (
        True,
        json.loads((before / "report.json").read_text())["archive_id"],
    )
    assert len(commands) == 27
    assert verify(before / "week-3.mlfa", base=after / "all.mlfa").ok
    receipt = json.loads((after / "receipt-2.json").read_text())
    assert (receipt["counts"]["runs"], receipt["created"], receipt["skipped"]) == (2, 1, 1)


def write_week(number: int, store: Path) -> None:
    """Write the store as it is in a week: each has one run more."""
    runs = [Run(run_id=f"{week:x}{RUN_ID[1:]}", name=f"run {week}", params={"lr": "0.1"}) for week in range(number)]
    shutil.rmtree(store, ignore_errors=True)
    write_store(Store(experiments=(Experiment(experiment_id="1", name="churn 7", runs=tuple(runs)),)), store)


def done(command: str, folder: Path) -> None:
    """Give a command in a folder; those of ours in this process, as each start of one takes long."""
    words = shlex.split(command, comments=True)
    if words[0] == "mlflow-archive":
        with chdir(folder):
            assert run(words[1:]) == 0, command
    else:
        ran = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, check=False)
        assert ran.returncode == 0, (command, ran.stderr.decode())
