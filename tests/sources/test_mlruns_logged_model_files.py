"""Files of logged models in file stores: where they lie, and what a run declares."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlflow_archive.format.gaps import ARTIFACT_LISTING
from mlflow_archive.selecting.selection import Selection
from tests.sources.mlruns_objects import MODEL_ID, one_model, read
from tests.support.mlruns import one_run
from tests.support.reading import content


def test_the_folder_in_the_store_wins(root: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere" / MODEL_ID / "artifacts"
    elsewhere.mkdir(parents=True)
    (elsewhere / "x").write_text("else")
    folder = one_model(root, artifact_location=elsewhere.as_uri())
    assert {file.path: content(file) for file in read(root).artifacts} == {"x": b"else"}
    (folder / "artifacts").mkdir()
    (folder / "artifacts" / "MLmodel").write_text("own")
    assert {file.path: content(file) for file in read(root).artifacts} == {"MLmodel": b"own"}


@pytest.mark.parametrize(
    "location",
    [
        "file:///d:/KAIM%205%2C6/mlruns/1/models/{id}/artifacts",
        "D:\\work\\mlruns\\1\\models\\{id}\\artifacts",
        "/home/gone/mlruns/1/models/{id}/artifacts",
    ],
)
def test_models_of_a_store_whose_experiment_kept_artifacts_beside_it(root: Path, location: str) -> None:
    """The experiment was moved by hand, and the models lie where the location says, seen from the store."""
    one_model(root, artifact_location=location.format(id=MODEL_ID))
    (root / "1").rename(root / "5")
    place = root / "1" / "models" / MODEL_ID / "artifacts"
    place.mkdir(parents=True)
    (place / "MLmodel").write_text("x")
    assert read(root).paths(MODEL_ID) == {"MLmodel": 1}


def test_the_artifact_map_and_places_out_of_reach(root: Path, tmp_path: Path) -> None:
    one_model(root, artifact_location=f"s3://bucket/1/models/{MODEL_ID}/artifacts")
    assert read(root).gaps() == {(MODEL_ID, "", ARTIFACT_LISTING)}
    place = tmp_path / "to" / "1" / "models" / MODEL_ID / "artifacts"
    place.mkdir(parents=True)
    (place / "MLmodel").write_text("x")
    found = read(root, artifact_map=[("s3://bucket", str(tmp_path / "to"))])
    assert (found.paths(MODEL_ID), found.gaps()) == ({"MLmodel": 1}, set())
    assert read(root, Selection(artifacts=False)).gaps() == set()


def test_a_location_that_is_not_this_models_is_not_followed(root: Path, tmp_path: Path) -> None:
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "key").write_text("secret")
    one_model(root, artifact_location=f"file://{tmp_path}/private")
    assert read(root).artifacts == []


def test_a_declared_model_history_does_not_hide_missing_ones(root: Path) -> None:
    entries = [{"artifact_path": "model", "model_id": MODEL_ID}]
    one_run(root, tags={"mlflow.log-model.history": json.dumps(entries)})
    one_model(root, files={"artifacts/MLmodel": "x"})
    assert read(root).gaps() == set()
