"""An import is undone as far as nobody has changed what it made, and the undo can be undone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

import mlflow_archive as ma
from mlflow_archive.errors import SelectionError
from mlflow_archive_cli.main import run
from tests.retiring.subjects import Subject, database_subject, make_run, reasons
from tests.support.mlflow_server import MlflowServer

NAMES = ("plain", "metrics", "tagged", "longer", "with file", "registered")


def test_of_an_import(mlflow_server: MlflowServer, tmp_path: Path) -> None:
    source = database_subject(tmp_path, NAMES)
    imported, undone = tmp_path / "imported.json", tmp_path / "undone.json"
    prefix = f"{uuid4().hex}/"
    words = ["import", str(source.archive), "--to", mlflow_server.uri, "--experiment-prefix", prefix, "-q"]
    assert run([*words, "--receipt", str(imported)]) == 0
    receipt = json.loads(imported.read_text())
    assert receipt["made"] == {
        "experiment": list(receipt["experiments"].values()),
        "run": sorted(receipt["runs"].values()),
    }
    target = _imported(source, mlflow_server, receipt)
    _change(target)
    before = target.export("before.mlfa")
    changed = {"tagged": "R502", "longer": "R502", "with file": "R502"}
    held = {"registered": "a version of a registered model stands on it"}
    assert reasons(ma.undo(imported)) == {**changed, **held}
    assert run(["undo", str(imported), "--receipt", str(undone), "--yes", "-q"]) == 3
    assert {name for name, stage in target.stages().items() if stage == "deleted"} == {"plain", "metrics"}
    states = [entry["state"] for entry in json.loads(undone.read_text())["objects"]]
    assert sorted(states) == ["deleted", "deleted", "held", "left", "left", "left", "left"]  # and the experiment
    assert ma.undo(undone).counts["runs_brought_back"] == 2
    assert ma.diff(before, target.export("after.mlfa")).changes == ()
    second = tmp_path / "second.json"
    assert run([*words, "--receipt", str(second)]) == 0
    assert json.loads(second.read_text())["made"] == {}
    assert ma.undo(second).counts == {}


def test_what_is_no_receipt(tmp_path: Path) -> None:
    place = tmp_path / "receipt.json"
    for text, sentence in (
        ("", "is no receipt: "),
        ("[]", "is no receipt"),
        ("{}", "says what it made: 'made' is missing"),
    ):
        place.write_text(text)
        with pytest.raises(SelectionError, match=sentence):
            ma.undo(place)


def _imported(source: Subject, server: MlflowServer, receipt: dict[str, dict[str, str]]) -> Subject:
    """Return the runs that were imported, by their names."""
    from mlflow import MlflowClient  # noqa: PLC0415

    runs = {name: receipt["runs"][run_id] for name, run_id in source.runs.items()}
    experiment = receipt["experiments"][source.experiment]
    return replace(source, uri=server.uri, client=MlflowClient(server.uri), experiment=experiment, runs=runs)


def _change(target: Subject) -> None:
    target.client.set_tag(target.runs["tagged"], "later", "1")
    target.client.log_metric(target.runs["longer"], "loss", 0.25, step=9)
    target.client.log_text(target.runs["with file"], "later", "later.txt")
    name = f"stands {target.folder.name} {uuid4().hex}"
    target.client.create_registered_model(name)
    run_id = target.runs["registered"]
    target.client.create_model_version(name, f"runs:/{run_id}/docs", run_id, await_creation_for=0)
    make_run(target.client, target.experiment, "of others")
