"""One oddity of file stores at a time: old fields, broken files, strange folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mlflow_archive.errors import StoreError
from mlflow_archive.format.gaps import EXPERIMENT_UNREADABLE, FIELD_UNREADABLE, RUN_UNREADABLE
from mlflow_archive.selecting.selection import Selection
from tests.sources.mlruns_objects import read
from tests.support.mlruns import RUN_ID, Dataset, DatasetInput, Experiment, Run, Store, one_run, write_meta, write_store

OTHER_ID = "fedcba9876543210fedcba9876543210"


# --- meta.yaml ---------------------------------------------------------------------------------------------------


def edit_meta(folder: Path, old: str, new: str) -> None:
    text = (folder / "meta.yaml").read_text("utf-8")
    assert old in text
    (folder / "meta.yaml").write_text(text.replace(old, new), "utf-8")


@pytest.mark.parametrize("name", ["123", "1e5", "1.5e+3", "no", "0123", "null", "~", "2022-01-01", "'quoted'", "a: b"])
def test_names_that_look_like_other_yaml_stay_text(root: Path, name: str) -> None:
    run = Run(run_id=RUN_ID, name=name, user_id=name)
    write_store(Store(experiments=(Experiment(experiment_id="1", name=name, runs=(run,)),)), root)
    found = read(root)
    assert found.tables["experiments"][0]["name"] == name
    assert (found.tables["runs"][0]["run_name"], found.tables["runs"][0]["user_id"]) == (name, name)


@pytest.mark.parametrize("written", ["123", "1e5", "no", "0123", "2022-01-01"])
def test_names_written_without_quotes_by_another_tool_stay_text(root: Path, written: str) -> None:
    edit_meta(one_run(root), "run_name: a run", f"run_name: {written}")
    assert read(root).tables["runs"][0]["run_name"] == written


@pytest.mark.parametrize("run_id", ["1" * 32, "0" * 31 + "7", "1e10"])
def test_ids_stay_text_quoted_or_not(root: Path, run_id: str) -> None:
    folder = one_run(root, run_id=run_id)
    for line in ("run_id: ", "run_uuid: "):
        text = (folder / "meta.yaml").read_text("utf-8")
        (folder / "meta.yaml").write_text(text.replace(f"{line}'{run_id}'", f"{line}{run_id}"), "utf-8")
    found = read(root)
    assert [row["run_id"] for row in found.tables["runs"]] == [run_id]
    assert found.gaps() == set()


def test_a_run_of_the_first_versions(root: Path) -> None:
    """MLflow 0.x wrote ``run_uuid`` and ``name`` only, numbers for ids and no lifecycle stage."""
    folder = one_run(root, tags={}, params={"p": "1"})
    (folder / "meta.yaml").write_text(
        "{artifact_uri: /gone/0/x/artifacts, end_time: 2, entry_point_name: main, experiment_id: 1, name: old one,\n"
        f" run_uuid: {RUN_ID}, source_name: train.py, source_type: 3, source_version: abc, start_time: 1, status: 4,\n"
        " tags: [], user_id: me}\n"
    )
    (root / "1" / "meta.yaml").write_text("{artifact_location: /gone/0, experiment_id: 1, name: one}\n")
    found = read(root)
    assert found.tables["runs"] == [
        {
            "run_id": RUN_ID,
            "run_uuid": RUN_ID,
            "experiment_id": "1",
            "run_name": "old one",
            "user_id": "me",
            "status": "FAILED",
            "start_time": 1,
            "end_time": 2,
            "lifecycle_stage": "active",
            "artifact_uri": "/gone/0/x/artifacts",
            "deleted_time": None,
            "source_type": "PROJECT",
            "source_name": "train.py",
            "entry_point_name": "main",
            "source_version": "abc",
        }
    ]
    assert found.tables["experiments"][0]["creation_time"] is None
    assert found.gaps() == set()


@pytest.mark.parametrize(
    ("name", "tag", "expected"),
    [(None, "from tag", "from tag"), ("a", "b", "a"), ("a", None, "a"), ("", "b", "b"), (None, None, None)],
)
def test_run_name_is_that_of_meta_yaml_and_else_that_of_the_tag(
    root: Path, name: str | None, tag: str | None, expected: str | None
) -> None:
    one_run(root, name=name, tags={} if tag is None else {"mlflow.runName": tag})
    assert read(root).tables["runs"][0]["run_name"] == expected


def test_no_status_is_running(root: Path) -> None:
    edit_meta(one_run(root), "status: 3\n", "")
    assert read(root).tables["runs"][0]["status"] == "RUNNING"


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("status: 3", "status: 9", "status"),
        ("start_time: 1700000000000", "start_time: yesterday", "start_time"),
        ("end_time: 1700000001000", f"end_time: {2**63}", "end_time"),
    ],
)
def test_a_malformed_field_is_null_and_a_gap(root: Path, old: str, new: str, field: str) -> None:
    edit_meta(one_run(root), old, new)
    found = read(root)
    assert found.tables["runs"][0][field] is None
    assert found.gaps() == {(RUN_ID, field, FIELD_UNREADABLE)}
    assert found.tables["fingerprints"] == []


def test_credentials_in_artifact_uris_stay_out(root: Path) -> None:
    edit_meta(one_run(root), "artifact_uri: file:///", "artifact_uri: s3://me:secret@bucket/")
    edit_meta(root / "1", "artifact_location: file:///", "artifact_location: ftp://me:secret@host/")
    found = read(root)
    rows = found.tables["runs"] + found.tables["experiments"] + found.tables["gaps"]
    assert "secret" not in str(rows)
    assert found.tables["runs"][0]["artifact_uri"].startswith("s3://bucket/")


@pytest.mark.parametrize(
    "data",
    [b"", b"- a list\n", b"run_id: [broken\n", b"\xff\xfe\n", b"name: of nothing\n"],
    ids=repr,
)
def test_a_broken_run_is_a_gap_and_the_others_go_on(root: Path, data: bytes) -> None:
    runs = (Run(run_id=RUN_ID), Run(run_id=OTHER_ID))
    write_store(Store(experiments=(Experiment(experiment_id="1", name="one", runs=runs),)), root)
    (root / "1" / RUN_ID / "meta.yaml").write_bytes(data)
    found = read(root)
    assert [row["run_id"] for row in found.tables["runs"]] == [OTHER_ID]
    assert found.gaps() == {(RUN_ID, "", RUN_UNREADABLE)}


@pytest.mark.parametrize("data", [b"", b"experiment_id: '1'\n", None], ids=["empty", "no name", "no file"])
def test_a_broken_experiment_is_a_gap_and_keeps_its_runs(root: Path, data: bytes | None) -> None:
    one_run(root)
    if data is None:
        (root / "1" / "meta.yaml").unlink()
    else:
        (root / "1" / "meta.yaml").write_bytes(data)
    found = read(root)
    assert [(row["experiment_id"], row["name"]) for row in found.tables["experiments"]] == [("1", "1")]
    assert len(found.tables["runs"]) == 1
    assert found.gaps() == {("1", "", EXPERIMENT_UNREADABLE)}


# --- folders -----------------------------------------------------------------------------------------------------


def test_folders_of_other_kinds_are_no_runs(root: Path) -> None:
    one_run(root)
    for name in (".ipynb_checkpoints", "traces/tr-1", "models/m-1", "datasets/d", "tags", "notes"):
        (root / "1" / name).mkdir(parents=True, exist_ok=True)
        (root / "1" / name / "params").write_text("x")
    write_meta(root / "models" / "registered", {"name": "registered"})
    (root / ("c" * 32) / "artifacts").mkdir(parents=True)
    (root / ("c" * 32) / "artifacts" / "left").write_text("x")
    found = read(root)
    assert len(found.tables["experiments"]) == len(found.tables["runs"]) == 1
    assert found.gaps() == {("1", "datasets/d", FIELD_UNREADABLE)}


@pytest.mark.parametrize("kind", ["params", "metrics", "tags", "artifacts"])
def test_a_run_folder_without_meta_that_holds_data_is_a_gap(root: Path, kind: str) -> None:
    one_run(root)
    (root / "1" / OTHER_ID / kind).mkdir(parents=True)
    (root / "1" / ("e" * 32) / "params").mkdir(parents=True)
    assert read(root).gaps() == set()
    (root / "1" / OTHER_ID / kind / "x").write_text("1")
    assert read(root).gaps() == {(OTHER_ID, "", RUN_UNREADABLE)}


def test_a_run_copied_by_hand_is_a_gap(root: Path) -> None:
    folder = one_run(root)
    write_meta(root / "1" / f"{RUN_ID} (copy)", {"run_id": RUN_ID, "run_uuid": RUN_ID})
    write_meta(root / "2", {"name": "two", "experiment_id": "2"})
    write_meta(root / "2" / RUN_ID, {"run_id": RUN_ID, "run_uuid": RUN_ID})
    found = read(root)
    assert [(row["run_id"], row["experiment_id"]) for row in found.tables["runs"]] == [(folder.name, "1")]
    assert found.gaps() == {(f"{RUN_ID} (copy)", "", RUN_UNREADABLE), (RUN_ID, f"2/{RUN_ID}", RUN_UNREADABLE)}


def test_the_trash_is_deleted_and_runs_keep_their_stage(root: Path) -> None:
    runs = (Run(run_id=RUN_ID), Run(run_id=OTHER_ID, deleted=True))
    write_store(
        Store(
            experiments=(
                Experiment(experiment_id="1", name="one", runs=(Run(run_id="a" * 32, deleted=True),)),
                Experiment(experiment_id="2", name="two", deleted=True, runs=runs),
            )
        ),
        root,
    )
    edit_meta(root / ".trash" / "2", "lifecycle_stage: deleted", "lifecycle_stage: active")
    found = read(root)
    assert found.rows("experiments", experiment_id="2")[0]["lifecycle_stage"] == "deleted"
    stages = {row["run_id"]: row["lifecycle_stage"] for row in found.tables["runs"]}
    assert stages == {RUN_ID: "active", OTHER_ID: "deleted", "a" * 32: "deleted"}
    kept = read(root, Selection(deleted=False))
    assert [row["experiment_id"] for row in kept.tables["experiments"]] == ["1"]
    assert kept.tables["runs"] == []


def test_an_experiment_both_active_and_in_the_trash(root: Path) -> None:
    one_run(root)
    write_meta(root / ".trash" / "1", {"experiment_id": "1", "name": "older"})
    found = read(root)
    assert [row["name"] for row in found.tables["experiments"]] == ["one"]
    assert found.gaps() == {("1", ".trash/1", EXPERIMENT_UNREADABLE)}


def test_runs_moved_to_a_trash_inside_their_experiment_are_deleted(root: Path) -> None:
    folder = one_run(root)
    (root / "1" / ".trash").mkdir()
    folder.rename(root / "1" / ".trash" / RUN_ID)
    assert [row["lifecycle_stage"] for row in read(root).tables["runs"]] == ["deleted"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda root: None, "there is no folder"),
        (lambda root: root.write_text("x"), "is a file"),
        (lambda root: root.mkdir(), "none of its folders is an experiment"),
        (lambda root: (root / "mlruns").mkdir(parents=True), "use {root}/mlruns"),
        (lambda root: [root.mkdir(), (root / "mlflow.db").touch()], "{root}/mlflow.db"),
        (lambda root: [root.mkdir(), (root.parent / "mlflow.db").touch()], "{parent}/mlflow.db"),
        (lambda root: write_meta(root, {"experiment_id": "1"}), "perhaps {parent}"),
    ],
    ids=["nothing", "file", "empty", "one level up", "database", "database beside", "one experiment"],
)
def test_what_is_no_file_store_is_refused(root: Path, make: Callable[[Path], object], words: str) -> None:
    make(root)
    with pytest.raises(StoreError) as refused:
        read(root)
    assert words.format(root=root, parent=root.parent) in str(refused.value)


# --- dataset inputs ----------------------------------------------------------------------------------------------


def test_an_input_whose_dataset_is_gone_is_a_gap(root: Path) -> None:
    dataset = Dataset(name="d", digest="1")
    run = one_run(root, inputs=(DatasetInput(dataset=dataset, tags={"k": "v"}),))
    write_meta(run / "inputs" / "model", {"source_type": "MODEL", "source_id": "m-1", "tags": {}})
    assert read(root).gaps() == set()
    (root / "1" / "datasets" / dataset.folder / "meta.yaml").unlink()
    found = read(root)
    assert [(owner, code) for owner, _, code in found.gaps()] == [(RUN_ID, FIELD_UNREADABLE)]
    assert found.tables["dataset_inputs"] == []


def test_an_input_cannot_lead_out_of_the_store(root: Path) -> None:
    run = one_run(root)
    (root / "1" / "datasets").mkdir()
    write_meta(root.parent / "outside", {"name": "n", "digest": "d"})
    write_meta(run / "inputs" / "i", {"source_type": "DATASET", "source_id": "../../../outside", "tags": {}})
    found = read(root)
    assert found.tables["dataset_inputs"] == []
    assert found.gaps() == {(RUN_ID, "inputs/i", FIELD_UNREADABLE)}
