"""diff --imported: exit codes, evidence, and changes at the target of each kind, as a user meets them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import mlflow_archive as ma
from mlflow_archive.flow.copy import copy
from mlflow_archive.writer.export import ArchiveSink
from tests.cli.conftest import CHILD, PARENT, Command, archive_id, write_archive
from tests.support.chunks import ChunkSource, chunk, experiment, pairs
from tests.support.chunks import run as run_row


@dataclass(frozen=True, kw_only=True)
class Imported:
    """An archive that was imported into a database beside it, with the receipt."""

    archive: Path
    folder: Path
    runs: dict[str, str]

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.folder / 'mlflow.db'}"

    @property
    def receipt(self) -> Path:
        return self.folder / "receipt.json"

    def sql(self, statement: str, *values: object) -> None:
        with closing(sqlite3.connect(self.folder / "mlflow.db")) as connection, connection:
            connection.execute(statement, values)

    def file(self, run: str, path: str) -> Path:
        return next((self.folder / "root").glob(f"*/{self.runs[run]}/artifacts/{path}"))


Import = Callable[..., Imported]


@pytest.fixture
def imported(cli: Command, tmp_path: Path) -> Import:
    def call(archive: Path, *options: str, code: int = 0) -> Imported:
        to = ["--to", f"sqlite:///{tmp_path / 'mlflow.db'}", "--artifact-root", tmp_path / "root"]
        ran = cli("import", archive, *to, "--receipt", tmp_path / "receipt.json", *options)
        assert ran.code == code, ran.err
        runs = json.loads((tmp_path / "receipt.json").read_text())["runs"]
        return Imported(archive=archive, folder=tmp_path, runs=runs)

    return call


def test_a_transfer_is_proved_with_evidence(imported: Import, cli: Command, single_file: Path) -> None:
    done = imported(single_file)
    for receipt in (["--receipt", done.receipt], []):
        ran = cli("diff", single_file, done.uri, "--imported", *receipt, "--evidence", done.folder / "proof.json")
        assert (ran.code, ran.out) == (0, "")
        assert ran.err.splitlines()[-2:] == [
            "compared: 2 experiment, 1 dataset, 3 run",
            "proved: all of it is there",
        ]
    evidence: dict[str, Any] = json.loads((done.folder / "proof.json").read_text())
    assert evidence["proved"] is True
    assert evidence["archive"]["id"] == archive_id(single_file)
    assert evidence["begun"] < evidence["target"]["read_at"] < evidence["ended"]
    assert evidence["objects"] == {"experiment": 2, "dataset": 1, "run": 3}
    assert (evidence["rows"]["metrics"], evidence["rows"]["artifacts"]) == (6, 3)
    assert evidence["differences"] == evidence["refused"] == []
    rules = {(entry["rule"], entry["place"]): entry["count"] for entry in evidence["not_counted"]}
    assert rules["location", "runs.artifact_uri"] == 3
    assert evidence["archive"]["exports"][0]["gaps"] == 1


def test_what_changed_at_the_target_is_found(imported: Import, cli: Command, single_file: Path) -> None:
    """Six changes at once, each of which is told."""
    done = imported(single_file)
    parent, child = done.runs[PARENT], done.runs[CHILD]
    done.sql("UPDATE tags SET value = 'bob' WHERE run_uuid = ? AND key = 'mlflow.user'", parent)
    done.sql("DELETE FROM tags WHERE run_uuid = ? AND key = 'mlflow_export_import.run_info.status'", child)
    done.sql("UPDATE metrics SET timestamp = timestamp + 1 WHERE run_uuid = ? AND key = 'loss'", child)
    done.sql("DELETE FROM metrics WHERE run_uuid = ? AND key = 'bad' AND step = 1", parent)
    done.sql("UPDATE runs SET status = 'FINISHED' WHERE run_uuid = ?", child)
    done.sql("UPDATE datasets SET dataset_source = '{ }'")
    plot = done.file(CHILD, "plot 1.png")
    data = bytearray(plot.read_bytes())
    data[70_000] ^= 1
    plot.write_bytes(data)
    ran = cli("diff", single_file, done.uri, "--imported", "--receipt", done.receipt)
    assert ran.code == 1
    lines = [line.split(": ")[0] for line in ran.out.splitlines()]
    assert lines == [
        "~ dataset 1\\x1firis\\x1fd1",
        "    datasets.source",
        f"~ run {PARENT}",
        "    tags.mlflow.user.value",
        "    metrics.bad.points",
        f"~ run {CHILD}",
        "    runs.status",
        "    tags.mlflow_export_import.run_info.status",
        "    artifacts.plot 1.png.digest",
        "    metrics.loss 0.point",
    ]
    assert ran.err.splitlines()[-1] == "3 changed"


def test_a_run_that_is_gone(imported: Import, cli: Command, single_file: Path) -> None:
    done = imported(single_file)
    for table in ("tags", "params", "metrics", "latest_metrics", "runs"):
        done.sql(f"DELETE FROM {table} WHERE run_uuid = ?", done.runs[CHILD])  # noqa: S608 - names of this test
    ran = cli("diff", single_file, done.uri, "--imported", "--json")
    assert ran.code == 1
    assert json.loads(ran.out) == {"kind": "run", "id": CHILD, "change": "removed", "fields": []}


def test_options_and_selection_are_those_of_the_receipt(imported: Import, cli: Command, single_file: Path) -> None:
    done = imported(single_file, "--experiment-prefix", "old/", "--user", "importer", "--run", PARENT)
    proof = ma.diff(single_file, done.uri, imported=True, receipt=done.receipt)
    assert proof.proved
    assert proof.objects == {"experiment": 1, "dataset": 1, "run": 1}
    without = cli("diff", single_file, done.uri, "--imported")
    assert without.code == 1
    assert "experiments.name: churn → old/churn" in without.out


def test_what_the_import_refused_is_no_proof(imported: Import, cli: Command, tmp_path: Path) -> None:
    """A param with a key that MLflow does not take: told with its code, with and without a receipt."""
    archive = tmp_path / "a.mlfa"
    run = chunk(runs=[run_row(PARENT, "1")], params=pairs(PARENT, {"fine": "1", "no//good": "2"}))
    copy(
        ChunkSource((0, [chunk(experiments=[experiment("1", "e")])]), (1, [run])),
        ArchiveSink(archive, tool="t", clock_ms=lambda: 0),
        jobs=1,
    )
    done = imported(archive, code=3)
    for receipt in (["--receipt", done.receipt], []):
        ran = cli("diff", archive, done.uri, "--imported", *receipt)
        assert (ran.code, ran.out) == (3, "")
        assert ran.err.splitlines()[-3:] == [
            f"refused by the import: run {PARENT} (R102)",
            "compared: 1 experiment, 1 run",
            "nothing differs but what the import refused",
        ]
    done.sql("DELETE FROM params WHERE key = 'fine'")
    assert cli("diff", archive, done.uri, "--imported", "--receipt", done.receipt).code == 1


def test_what_is_no_receipt_of_this_archive(imported: Import, cli: Command, single_file: Path, tmp_path: Path) -> None:
    done = imported(single_file)
    (tmp_path / "no.json").write_text("[]")
    other = json.loads(done.receipt.read_text()) | {"archive_id": "0" * 64}
    (tmp_path / "other.json").write_text(json.dumps(other))
    dry = json.loads(done.receipt.read_text()) | {"dry_run": True}
    (tmp_path / "dry.json").write_text(json.dumps(dry))
    for name, said in (
        ("no", "not the receipt"),
        ("other", "of the archive 000"),
        ("dry", "dry run"),
        ("x", "No such"),
    ):
        ran = cli("diff", single_file, done.uri, "--imported", "--receipt", tmp_path / f"{name}.json")
        assert ran.code == 2
        assert said in ran.err
    for options in (["--evidence", tmp_path / "e.json"], ["--imported", "--no-locations"]):
        assert cli("diff", single_file, done.uri, *options).code == 2


def test_an_archive_that_was_not_imported(cli: Command, single_file: Path, tmp_path: Path) -> None:
    other = write_archive(tmp_path / "other.mlfa")
    ran = cli("diff", single_file, other, "--imported")
    assert ran.code == 1
    assert ran.out.splitlines()[0] == "~ experiment 1"
