"""Folders of a file store without a meta.yaml: those with files are gaps that say how many; empty ones are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlflow_archive.format.gaps import EXPERIMENT_UNREADABLE, FIELD_UNREADABLE, FOLDER_UNKNOWN, RUN_UNREADABLE
from mlflow_archive.selecting.selection import Selection
from tests.sources.mlruns_objects import read, registered
from tests.support.mlruns import RUN_ID, Experiment, Run, Store, one_run, write_store

OTHER_ID = "fedcba9876543210" * 2
MODEL_ID = "m-" + OTHER_ID


def write(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("x", "utf-8")


@pytest.mark.parametrize(
    ("paths", "place"),
    [
        ((f"7/{OTHER_ID}/params/lr", f"7/{OTHER_ID}/artifacts/m.pkl", f"7/models/{MODEL_ID}/artifacts/MLmodel"), "7"),
        ((f".trash/8/{OTHER_ID}/params/lr",), ".trash/8"),
        ((f"1/{OTHER_ID}/model.pkl",), f"1/{OTHER_ID}"),
        (("1/a copy/params/lr", "1/a copy/artifacts/x"), "1/a copy"),
        ((f"1/models/{MODEL_ID}/MLmodel",), f"1/models/{MODEL_ID}"),
        ((f"1/traces/tr-{OTHER_ID}/traces.json",), f"1/traces/tr-{OTHER_ID}"),
        (("models/lost/tags/team",), "models/lost"),
    ],
)
def test_folders_with_files_are_told(root: Path, paths: tuple[str, ...], place: str) -> None:
    one_run(root)
    registered(root, "m")
    before = read(root)
    write(root, *paths)
    [gap] = [row for row in read(root).rows("gaps") if row not in before.rows("gaps")]
    assert (gap["owner_kind"], gap["owner_id"], gap["path"], gap["code"]) == ("source", place, "", FOLDER_UNKNOWN)
    assert f" {len(paths)} files in it" in gap["reason"]


def test_empty_folders_and_others_are_left_alone(root: Path) -> None:
    one_run(root)
    for path in (f"7/{OTHER_ID}/artifacts", f"1/models/{MODEL_ID}/artifacts", f"1/{OTHER_ID}", "models/empty/tags"):
        (root / path).mkdir(parents=True)
    write(root, "src/train.py", "1/notes/readme.txt", ".ipynb_checkpoints/x")
    assert read(root).gaps() == set()


@pytest.mark.parametrize("target", ["nowhere", "."], ids=["to nothing", "to a folder"])
@pytest.mark.parametrize(
    ("folder", "place"),
    [
        (f"1/{OTHER_ID}/artifacts", f"1/{OTHER_ID}"),
        (f"1/{OTHER_ID}/artifacts/deeper", f"1/{OTHER_ID}"),
        (f"1/models/{MODEL_ID}/artifacts", f"1/models/{MODEL_ID}"),
    ],
)
def test_a_folder_that_holds_nothing_but_a_link_is_told(root: Path, folder: str, place: str, target: str) -> None:
    """What the link leads to is not copied, and may be all that there is of an object."""
    one_run(root)
    before = read(root).rows("gaps")
    (root / folder).mkdir(parents=True)
    (root / folder / "link").symlink_to(target, target_is_directory=True)
    [gap] = [row for row in read(root).rows("gaps") if row not in before]
    assert place in (gap["owner_id"], f"1/{gap['owner_id']}", f"1/models/{gap['owner_id']}")


def test_selected_runs_bring_no_strays(root: Path) -> None:
    one_run(root)
    write(root, f"7/{OTHER_ID}/params/lr")
    assert read(root, Selection(runs=(RUN_ID,))).gaps() == set()
    assert read(root, Selection(experiments=("1",))).gaps() == set()


def test_inputs_and_datasets_without_meta(root: Path) -> None:
    folder = one_run(root)
    write(folder, "inputs/a/tags/b")
    write(folder.parent, "datasets/c/x")
    assert read(root).gaps() == {
        (RUN_ID, "inputs/a", FIELD_UNREADABLE),
        ("1", "datasets/c", FIELD_UNREADABLE),
    }


def test_each_run_of_a_deleted_experiment_whose_id_is_alive_again(root: Path) -> None:
    write_store(Store(experiments=(Experiment(experiment_id="1", name="old", runs=(Run(run_id=OTHER_ID),)),)), root)
    (root / ".trash").mkdir(exist_ok=True)
    (root / "1").rename(root / ".trash" / "1")
    one_run(root)
    found = read(root)
    assert found.gaps() == {
        ("1", ".trash/1", EXPERIMENT_UNREADABLE),
        (OTHER_ID, f".trash/1/{OTHER_ID}", RUN_UNREADABLE),
    }
    assert "with 1 objects in it" in found.rows("gaps", owner_id="1")[0]["reason"]
