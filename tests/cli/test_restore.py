"""restore: what stands against it is listed line by line."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import PARENT, Command


def test_conflicts_are_listed_each_on_a_line(cli: Command, single_file: Path, tmp_path: Path) -> None:
    target = ["--to", f"sqlite:///{tmp_path / 'new.db'}", "--artifact-root", tmp_path / "artifacts"]
    planned = cli("restore", single_file, *target, "--dry-run")
    assert planned.out.startswith(f"would restore {single_file} to {target[1]}\n")
    assert cli("restore", single_file, *target).out.startswith(f"restored {single_file} to {target[1]}\n")
    again = cli("restore", single_file, *target)
    assert again.code == 1
    first, *listed = again.err.splitlines()
    assert first.startswith("mlflow-archive: ")
    assert "nothing was written" in first
    assert "--merge" in first
    assert f"  runs (run_id '{PARENT}'): id is in the target already" in listed
