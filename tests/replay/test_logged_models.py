"""Logged models made with MLflow's client on a server, replayed into another and read back there."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from tests.replay.conftest import Place
from tests.replay.filling import TIME, Filled
from tests.replay.looking import P, files, files_of_model, logged_models, own_tags, runs, state


@pytest.fixture(scope="session")
def replayed(archive: Path, store_folder: Path) -> Place:
    """A place into which the archive was replayed; not to be changed."""
    root = store_folder / "artifacts"
    place = Place(
        uri=f"sqlite:///{store_folder / 'mlflow.db'}", folder=root, artifact_root=str(root), prefix="replayed-models"
    )
    report = place.replay(archive)
    assert report.gaps == []
    return place


def test_every_field_of_every_logged_model(place: Place, archive: Path, filled: Filled) -> None:
    report = place.replay(archive)
    assert report.gaps == []
    ids = report.details["ids"]
    assert isinstance(ids, dict)
    run_ids = report.details["runs"]
    assert isinstance(run_ids, dict)
    there = {**logged_models(place, "main"), **logged_models(place, "other"), **logged_models(place, "gone")}
    assert there.keys() == filled.models.keys()
    store = filled.client._tracking_client.store
    for name, source_id in filled.models.items():
        source, model = store.get_logged_model(source_id, allow_deleted=True), there[name]
        assert model.model_id == ids["logged_model"][source_id]
        assert (model.name, model.model_type, model.status) == (source.name, source.model_type, source.status)
        assert model.params == source.params
        assert own_tags(model.tags) == own_tags(source.tags)
        assert model.source_run_id == (run_ids[source.source_run_id] if source.source_run_id else source.source_run_id)
        assert sorted(
            (m.key, m.value, m.timestamp, m.step, m.dataset_name, m.dataset_digest, m.run_id)
            for m in model.metrics or []
        ) == sorted(
            (m.key, m.value, m.timestamp, m.step, m.dataset_name, m.dataset_digest, run_ids[m.run_id])
            for m in source.metrics or []
        )
        assert model.tags[f"{P}logged_model.creation_timestamp"] == str(source.creation_timestamp)
        assert model.tags[f"{P}logged_model.model_id"] == source_id
        assert not any(key.startswith("mlflow_archive.") for key in model.tags)


def test_files_arrive_and_name_the_new_ids(replayed: Place, filled: Filled) -> None:
    models = {**logged_models(replayed, "main"), **logged_models(replayed, "other")}
    made = {**runs(replayed, "main"), **runs(replayed, "other")}
    for name, run in (("shared", "maker"), ("alone", "other"), ("lost", "maker"), ("of deleted", "deleted")):
        found = files_of_model(replayed, models[name])
        assert found["data/w ü.bin"] == bytes(range(256))
        location, run_line, model_line, uuid_line, end = found["MLmodel"].decode().split("\n")
        assert location == f"artifact_path: mlflow-artifacts:/1/models/{filled.models[name]}/artifacts", "is no id"
        assert run_line == f"run_id: {made[run].info.run_id}"
        assert model_line == f"model_id: {models[name].model_id}"
        assert (uuid_line, end) == (f"model_uuid: '{models[name].model_id}'", "")
    assert not (replayed.folder / models["failed"].experiment_id / "models" / models["failed"].model_id).exists()


def test_which_runs_made_and_used_which_models(replayed: Place) -> None:
    models, made = logged_models(replayed, "main"), runs(replayed, "main")
    outputs = {n: {(o.model_id, o.step) for o in run.outputs.model_outputs} for n, run in made.items() if run.outputs}
    inputs = {n: {i.model_id for i in run.inputs.model_inputs} for n, run in made.items() if run.inputs.model_inputs}
    shared = models["shared"].model_id
    assert {name: some for name, some in outputs.items() if some} == {
        "maker": {(shared, 3), (models["lost"].model_id, 0)},
        "deleted": {(models["of deleted"].model_id, -2)},
    }
    assert inputs == {"user": {shared}, "deleted": {shared}}
    assert made["deleted"].info.lifecycle_stage == "deleted"


def test_what_is_deleted_is_deleted(replayed: Place) -> None:
    assert replayed.client.get_experiment_by_name(f"{replayed.prefix}/gone").lifecycle_stage == "deleted"
    active = replayed.client.search_logged_models([replayed.experiment("main")], max_results=100)
    assert "lost" not in {model.name for model in active}
    assert "lost" in logged_models(replayed, "main")


def test_the_points_of_runs_stay_as_they_were(replayed: Place) -> None:
    """A database shows a model's NaN as 0; the run, which has NaN there, must not get a 0 by it."""
    user = runs(replayed, "main")["user"].info.run_id
    history = replayed.client.get_metric_history(user, "accuracy")
    assert sorted((m.step, "nan" if math.isnan(m.value) else m.value, m.timestamp) for m in history) == [
        (0, 0.75, TIME),
        (1, 0.30000000000000004, TIME + 1),
        (2, "nan", TIME + 2),
    ]
    assert [m.value for m in replayed.client.get_metric_history(user, "zero")] == [0.0]


def test_histories_and_files_of_runs_name_the_new_models(replayed: Place) -> None:
    old, shared = runs(replayed, "main")["old"], logged_models(replayed, "main")["shared"].model_id
    [entry] = json.loads(old.data.tags["mlflow.log-model.history"])
    assert (entry["run_id"], entry["model_id"], entry["model_uuid"]) == (old.info.run_id, shared, shared)
    root = replayed.folder / old.info.experiment_id / old.info.run_id / "artifacts"
    assert files(root) == {"old/MLmodel": f"run_id: {old.info.run_id}\nmodel_id: {shared}\n".encode()}


@pytest.mark.parametrize("source_tags", [True, False])
def test_twice_changes_nothing(place: Place, archive: Path, source_tags: bool) -> None:
    place.replay(archive, source_tags=source_tags)
    before = state(place)
    report = place.replay(archive, source_tags=source_tags)
    outcomes = report.details["outcomes"]
    assert isinstance(outcomes, dict)
    for done in (report.details, *outcomes.values()):
        assert (done["created"], done["updated"]) == (0, 0)
    assert {kind: done["skipped"] for kind, done in outcomes.items()} == {
        "logged_model": 7,
        "registered_model": 6,
        "model_version": 25,
    }
    assert report.gaps == []
    assert state(place) == before


def test_without_source_tags_only_the_identity_is_added(store_place: Place, archive: Path, filled: Filled) -> None:
    store_place.replay(archive, source_tags=False)
    tags = logged_models(store_place, "main")["shared"].tags
    assert {key for key in tags if key.startswith((P, "mlflow_archive."))} == {"mlflow_archive.source_model_id"}
    assert tags["mlflow_archive.source_model_id"] == filled.models["shared"]


def test_a_dry_run_writes_nothing_and_counts_all(store_place: Place, archive: Path) -> None:
    before = state(store_place)
    report = store_place.replay(archive, dry_run=True)
    outcomes = report.details["outcomes"]
    assert isinstance(outcomes, dict)
    assert {kind: done["created"] for kind, done in outcomes.items()} == {
        "logged_model": 7,
        "registered_model": 6,
        "model_version": 25,
    }
    assert report.gaps == []
    assert state(store_place) == before == {}
