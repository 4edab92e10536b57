"""What an import made of every kind is taken back, as far as nobody has changed it since."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import uuid4

from mlflow import MlflowClient

import mlflow_archive as ma
from mlflow_archive_cli.main import run
from tests.retiring.subjects import Subject, database_subject, give_models
from tests.retiring.test_purge import trace_in_run
from tests.support.mlflow_server import MlflowServer


def make_source(folder: Path) -> tuple[Subject, str]:
    """Make a store with an object of each kind that is taken back; return also what its names begin with."""
    source, mark = database_subject(folder, ("plain", "traced")), uuid4().hex
    client = source.client
    give_models(source, {"made": "plain"})
    trace_in_run(source, source.runs["traced"])
    for name, maker in (("own", "plain"), ("changed", "traced"), ("shared", "plain")):
        client.create_registered_model(f"{mark}-{name}")
        run_id = source.runs[maker]
        client.create_model_version(f"{mark}-{name}", f"runs:/{run_id}/docs", run_id, await_creation_for=0)
    client.create_dataset(f"{mark}-questions", experiment_id=[source.experiment])
    ma.export(folder / "all.mlfa", source.uri)
    return source, mark


def test_all_kinds(mlflow_server: MlflowServer, tmp_path: Path) -> None:
    source, mark = make_source(tmp_path)
    client, imported, undone = MlflowClient(mlflow_server.uri), tmp_path / "imported.json", tmp_path / "undone.json"
    client.create_registered_model(f"{mark}-shared")
    client.create_model_version(f"{mark}-shared", "s3://elsewhere/model", await_creation_for=0)
    words = ["import", str(tmp_path / "all.mlfa"), "--to", mlflow_server.uri, "--experiment-prefix", f"{mark}/", "-q"]
    assert run([*words, "--merge-models", "--receipt", str(imported)]) == 0
    receipt = json.loads(imported.read_text())
    runs, experiment = receipt["runs"], receipt["experiments"][source.experiment]
    plain, traced = runs[source.runs["plain"]], runs[source.runs["traced"]]
    [trace_id] = receipt["made"]["trace"]
    client.set_registered_model_tag(f"{mark}-changed", "later", "1")
    expected = {
        "experiment": ["deleted", "left"],
        "evaluation_dataset": ["purged"],
        "registered_model": ["left", "purged"],
        "model_version": ["purged"],
        "run": ["deleted", "held"],
        "logged_model": ["deleted"],
        "trace": ["held"],
    }
    planned = ma.undo(imported)
    assert {kind: len(states) for kind, states in becoming(planned).items()} == {
        kind: len(states) for kind, states in expected.items()
    }
    assert run(["undo", str(imported), "--receipt", str(undone), "--yes", "-q"]) == 3
    document = json.loads(undone.read_text())
    assert becoming(ma.Report(details=document)) == expected
    reasons = {each["id"]: each["reason"] for each in document["objects"] if "reason" in each}
    assert reasons == {
        experiment: f"it is not empty: the run {traced}, which did not go, lies in it",
        f"{mark}-changed": "it is not as the import made it any more",
        traced: "a version of a registered model stands on it",
        trace_id: f"the run {traced} to which it belongs stays",
    }
    assert {each.name for each in client.search_registered_models(f"name LIKE '{mark}%'")} == {
        f"{mark}-changed",
        f"{mark}-shared",
    }
    assert [each.version for each in client.search_model_versions(f"name = '{mark}-shared'")] == ["1"]
    assert client.search_datasets(filter_string=f"name = '{mark}-questions'") == []
    back = ma.undo(undone)
    assert becoming(back)["run"] == ["brought back", "held"]
    assert client.get_run(plain).info.lifecycle_stage == "active"
    assert {gap.reason.partition(":")[0] for gap in back.gaps} == {
        "it was purged, and comes back from the archive",
        "MLflow's API has no way to bring it back; its database has",
    }


def becoming(report: ma.Report) -> dict[str, list[str]]:
    """Return by kind what became of the objects of a receipt."""
    states: dict[str, list[str]] = {}
    for each in report.details["objects"]:  # type: ignore[attr-defined]
        states.setdefault(each["kind"], []).append(each["state"])
    return {kind: sorted(of_kind) for kind, of_kind in states.items()}
