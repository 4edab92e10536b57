"""Files of model versions in file stores: those of a run or logged model, and their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlflow_archive.format.gaps import ARTIFACT_LISTING, ARTIFACT_MISSING
from mlflow_archive.selecting.selection import Selection
from tests.sources.mlruns_objects import MODEL_ID, PROMPT, a_model, read, registered, version
from tests.support.mlruns import RUN_ID, write_meta
from tests.support.reading import Read

GONE_ID = "c" * 32


def files_of(found: Read) -> set[str]:
    return {file.path for file in found.artifacts if file.owner_kind == "registered_model"}


@pytest.mark.parametrize(
    "source",
    [
        f"runs:/{RUN_ID}/model",
        f"file:///gone/mlruns/1/{RUN_ID}/artifacts/model",
        f"mlflow-artifacts:/1/{RUN_ID}/artifacts/model",
        f"D:\\work\\mlruns\\1\\{RUN_ID}\\artifacts\\model",
        f"models:/{MODEL_ID}",
        f"file:///d:/KAIM%205%2C6/mlruns/1/models/{MODEL_ID}/artifacts",
        "models:/m/1",
        "models:/m@champion",
    ],
)
def test_files_of_runs_and_logged_models_are_theirs(root: Path, source: str) -> None:
    folder = registered(root)
    write_meta(root / "1" / "models" / MODEL_ID, {"model_id": MODEL_ID, "name": "x", "status": 2})
    version(folder, 1, source=f"models:/{MODEL_ID}")
    version(folder, 2, source=source)
    found = read(root)
    assert (files_of(found), found.gaps()) == (set(), set())


def test_a_run_in_the_trash_of_its_experiment_has_its_files(root: Path) -> None:
    version(registered(root), source=f"file:///gone/1/{RUN_ID}/artifacts/model")
    (root / "1" / ".trash").mkdir()
    (root / "1" / RUN_ID).rename(root / "1" / ".trash" / RUN_ID)
    found = read(root)
    assert (files_of(found), found.gaps()) == (set(), set())


def test_files_elsewhere_on_this_machine(root: Path, tmp_path: Path) -> None:
    place = a_model(tmp_path / "far off" / "model")
    folder = registered(root)
    version(folder, 1, source=str(place))
    version(folder, 10, source="models:/other/3", storage_location=place.as_uri())
    version(folder, 11, source="../far off/model")
    found = read(root)
    assert files_of(found) == {f"{number}/{name}" for number in (1, 10) for name in ("MLmodel", "model.pkl")}
    assert found.gaps() == {("m", "11", ARTIFACT_MISSING)}
    some = read(root, Selection(artifact_globs=("10/*",), max_artifact_size=12))
    assert (files_of(some), some.gaps()) == ({"10/MLmodel", "10/model.pkl"}, set())
    none = read(root, Selection(artifacts=False))
    assert (files_of(none), none.gaps()) == (set(), set())


@pytest.mark.parametrize("uri", ["file:///C:/old/mlruns/kept/model", "/old/mlruns/kept/model", "mlruns/kept/model"])
def test_files_inside_a_store_that_was_moved(root: Path, uri: str) -> None:
    version(registered(root), source=uri)
    a_model(root / "kept" / "model")
    assert files_of(read(root)) == {"1/MLmodel", "1/model.pkl"}


def test_a_run_that_is_gone_leaves_its_versions_files_to_them(root: Path, tmp_path: Path) -> None:
    place = a_model(tmp_path / GONE_ID / "artifacts" / "model")
    version(registered(root), source=str(place), run_id=GONE_ID)
    assert files_of(read(root)) == {"1/MLmodel", "1/model.pkl"}


@pytest.mark.parametrize("folder", ["private", "mlruns", "mlruns/1", "nowhere"])
def test_what_is_no_model_is_not_followed(root: Path, tmp_path: Path, folder: str) -> None:
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "key").write_text("secret")
    version(registered(root), source=str(tmp_path / folder))
    found = read(root)
    assert files_of(found) == set()
    assert found.gaps() == {("m", "1", ARTIFACT_MISSING)}


def test_a_link_in_a_model_does_not_lead_out(root: Path, tmp_path: Path) -> None:
    place = a_model(tmp_path / "model")
    (place / "hosts").symlink_to("/etc/hosts")
    version(registered(root), source=str(place))
    found = read(root)
    assert files_of(found) == {"1/MLmodel", "1/model.pkl"}
    assert [(owner, path) for owner, path, _ in found.gaps()] == [("m", "1/hosts")]


def test_the_artifact_map_and_places_out_of_reach(root: Path, tmp_path: Path) -> None:
    version(registered(root), source="s3://me:secret@bucket/models/x")
    found = read(root)
    assert found.gaps() == {("m", "1", ARTIFACT_LISTING)}
    assert "--artifact-map" in found.tables["gaps"][0]["reason"]
    assert "me:secret" not in str(found.tables)
    (tmp_path / "to" / "x").mkdir(parents=True)
    (tmp_path / "to" / "x" / "weights").write_text("w")  # named by the user, so it need not be a model
    found = read(root, artifact_map=[("s3://bucket/models", str(tmp_path / "to"))])
    assert (files_of(found), found.gaps()) == ({"1/weights"}, set())


def test_prompts_and_deleted_versions_miss_no_files(root: Path) -> None:
    version(registered(root, "prompt", files=PROMPT), source="dummy-source", storage_location="dummy-source")
    version(registered(root), source="/gone", current_stage="Deleted_Internal")
    found = read(root)
    assert found.gaps() == set()
    assert len(found.tables["model_versions"]) == 2
