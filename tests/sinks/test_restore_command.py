"""The command restore: what it says, its receipt, its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlflow_archive_cli.main import run as run_command
from tests.contracts.source_contract import PARENT
from tests.support.databases import sqlite_rows
from tests.support.restoring import content, export


class TestCommand:
    @pytest.fixture(autouse=True)
    def _capture(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def call(self, *argv: object, code: int = 0) -> str:
        found = run_command(["restore", *map(str, argv)])
        output = "".join(self.capsys.readouterr())
        assert found == code, output
        return output

    def test_restores_and_says_what(self, store: Path, tmp_path: Path) -> None:
        target = f"sqlite:///{tmp_path / 't.db'}"
        output = self.call(
            store, "--to", target, "--artifact-root", tmp_path / "root", "--receipt", tmp_path / "r.json"
        )
        assert "runs" in output
        receipt = json.loads((tmp_path / "r.json").read_text())
        assert receipt["complete"] is True
        assert (receipt["counts"]["runs"], receipt["counts"]["artifacts"]) == (4, 3)
        assert (tmp_path / f"root/1/{PARENT}/artifacts/a b.txt").read_bytes() == b"spaces"
        again = export(target, tmp_path / "again.mlfa")
        assert content(again)["artifacts"] == content(store)["artifacts"]

    def test_dry_run_writes_nothing(self, store: Path, tmp_path: Path) -> None:
        assert "would restore" in self.call(
            store, "--to", f"sqlite:///{tmp_path / 'new/folder/t.db'}", "--keep-artifact-uris", "--dry-run"
        )
        assert not (tmp_path / "new").exists()

    def test_conflicts_are_in_the_receipt(self, store: Path, tmp_path: Path) -> None:
        target = ("--to", f"sqlite:///{tmp_path / 't.db'}", "--keep-artifact-uris")
        self.call(store, *target)
        assert "nothing was written" in self.call(store, *target, "--receipt", tmp_path / "r.json", code=1)
        receipt = json.loads((tmp_path / "r.json").read_text())
        assert {obstacle["table"] for obstacle in receipt["obstacles"]} >= {"experiments", "runs"}
        assert self.call(store, *target, "--merge").count("there already") >= 2

    def test_one_of_two_options_is_needed(self, store: Path, tmp_path: Path) -> None:
        assert "--keep-artifact-uris" in self.call(store, "--to", f"sqlite:///{tmp_path / 't.db'}", code=2)

    def test_unwritable_artifacts_are_refused_one_by_one(self, store: Path, tmp_path: Path) -> None:
        (tmp_path / "root").write_bytes(b"a file")
        target = f"sqlite:///{tmp_path / 't.db'}"
        output = self.call(store, "--to", target, "--artifact-root", tmp_path / "root", code=3)
        assert "R106" in output
        assert sqlite_rows(tmp_path / "t.db", "SELECT count(*) FROM runs") == [(4,)]
