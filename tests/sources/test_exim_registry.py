"""Registered models, prompts and evaluation datasets in folders of mlflow-export-import."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlflow_archive.kinds import REGISTERED_MODEL
from tests.support.exim import run_body, write_document
from tests.support.exim_objects import (
    DATASET,
    DATASET_PLACE,
    MODEL,
    RECORD,
    TRACE_ID,
    A,
    dataset,
    gaps,
    given,
    logged_model,
    prompt,
    read,
    registered_model,
    replace,
    version,
    write_everything,
)
from tests.support.mlruns import Run


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_everything(tmp_path / "exported")


def test_registered_model(root: Path) -> None:
    found = read(root)
    (row,) = found.rows("registered_models", name="reg")
    assert given(row) == {
        "name": "reg",
        "workspace": "default",
        "creation_time": 1795562006858,
        "last_updated_time": 1795562007208,
        "description": "d",
    }
    assert sorted(row["version"] for row in found.rows("model_versions", name="reg")) == [1, 2, 10, 11]
    (row,) = found.rows("model_versions", name="reg", version=10)
    assert given(row) == {
        "name": "reg",
        "workspace": "default",
        "version": 10,
        "creation_time": 1795562006904,
        "last_updated_time": 1795562006904,
        "description": "v10",
        "user_id": "",
        "current_stage": "None",
        "source": f"models:/{MODEL}",
        "run_id": A,
        "run_link": "",
        "status": "READY",
    }
    assert [(row["alias"], row["version"]) for row in found.rows("registered_model_aliases", name="reg")] == [
        ("champ", 11)
    ]
    assert [row["value"] for row in found.rows("registered_model_tags", name="reg")] == ["b"]
    assert {row["version"]: row["value"] for row in found.rows("model_version_tags", name="reg")} == {
        1: "1",
        2: "2",
        10: "10",
        11: "11",
    }


def test_aliases_of_versions_are_those_of_the_model(root: Path) -> None:
    body = registered_model(version(11, aliases=["champ", "also"]), version(2, aliases=["x"]))
    replace(root, "models/reg/model.json", body)
    found = read(root)
    aliases = found.rows("registered_model_aliases", name="reg")
    assert {(row["alias"], row["version"]) for row in aliases} == {("champ", 11), ("also", 11), ("x", 2)}
    replace(root, "models/reg/model.json", registered_model(version(2, aliases=["champ"])))
    assert gaps(read(root)) == {("registered_model", "reg", "aliases/champ", "G403")}


def test_a_model_in_another_workspace(root: Path) -> None:
    replace(root, "models/reg/model.json", registered_model(version(1, workspace="w", run_id="c" * 32)))
    found = read(root)
    assert {(row["name"], row["workspace"]) for row in found.rows("model_versions", name="reg")} == {("reg", "w")}
    assert gaps(found) == {("run", "c" * 32, "", "G201")}
    replace(root, "models/reg/model.json", registered_model(version(1, workspace="w", status={})))
    assert gaps(read(root)) == {("registered_model", "w/reg", "versions/1/status", "G203")}


@pytest.mark.parametrize(
    ("failed", "expected"),
    [
        pytest.param(
            {"message": "deleted run", "version": version(3, run_id="c" * 32)},
            {("run", "c" * 32, "", "G201")},
            id="of which all is known",
        ),
        pytest.param(
            {"message": "Version run probably does not exist", "version": "3", "run_id": "c" * 32},
            {("registered_model", "reg", "versions/3", "G403")},
            id="of which little is known",
        ),
        pytest.param({"message": "x", "version": "1", "run_id": A}, set(), id="that is there all the same"),
    ],
)
def test_versions_that_the_tool_could_not_export(
    root: Path, failed: dict[str, Any], expected: set[tuple[str, str, str, str]]
) -> None:
    replace(root, "models/reg/model.json", registered_model(version(1)), info={"failed_versions": [failed]})
    found = read(root)
    assert gaps(found) == expected
    there = {1, 3} if isinstance(failed["version"], dict) else {1}
    assert {row["version"] for row in found.rows("model_versions", name="reg")} == there


def test_models_that_the_tool_could_not_export_are_told(root: Path) -> None:
    replace(root, "models/models.json", {"models": ["reg", "gone"]}, info={"failed_models": ["norunreg"]})
    replace(root, "prompts/prompts_summary.json", {"total_prompts": 3, "successful_exports": 2, "failed_exports": 1})
    replace(root, "experiments/1/traces/traces.json", {"experiments": [{"id": "1", "traces": [TRACE_ID, "tr-gone"]}]})
    replace(
        root,
        "experiments/1/logged_models/logged_models.json",
        {"experiments": []},
        info={"failed_logged_models": ["m-gone"]},
    )
    summary = {"datasets": [{"name": "ev", "dataset_id": DATASET}, {"name": "x", "dataset_id": "d-gone"}]}
    replace(root, "evaluation_datasets/evaluation_datasets_summary.json", summary)
    assert gaps(read(root)) == {
        ("registered_model", "gone", "", "G403"),
        ("registered_model", "norunreg", "", "G403"),
        ("registered_model", "", "prompts/prompts_summary.json", "G403"),
        ("trace", "tr-gone", "", "G403"),
        ("logged_model", "m-gone", "", "G403"),
        ("evaluation_dataset", "d-gone", "", "G403"),
    }


def test_one_version_with_its_run(tmp_path: Path) -> None:
    root = tmp_path / "version"
    write_document(root / "model.json", {"registered_model": {"name": "reg", "aliases": []}})
    write_document(
        root / "version.json", {"model_version": version(11, aliases=["champ"], _download_uri="models:/r/1")}
    )
    experiment = {"experiment_id": "1", "name": "one", "tags": [{"key": "team", "value": "ü"}]}
    write_document(root / "experiment.json", {"experiment": experiment})
    write_document(root / "run" / "run.json", run_body(Run(run_id=A), "1"))
    write_document(root / A / "logged_model.json", logged_model(MODEL, A))
    found = read(root)
    assert gaps(found) == set()
    assert [(row["version"], row["storage_location"]) for row in found.tables["model_versions"]] == [(11, None)]
    assert [row["alias"] for row in found.tables["registered_model_aliases"]] == ["champ"]
    assert [row["value"] for row in found.tables["experiment_tags"]] == ["ü"]
    assert [row["run_id"] for row in found.tables["runs"]] == [A]
    assert [row["model_id"] for row in found.tables["logged_models"]] == [MODEL]


@pytest.mark.parametrize(
    ("source", "run_files", "own"),
    [
        pytest.param(f"s3://b/1/{A}/artifacts/model", {"model/MLmodel": b"m"}, [], id="in the run"),
        pytest.param(f"runs:/{A}/model", {"model/MLmodel": b"m"}, [], id="in the run by its URI"),
        pytest.param(f"s3://b/1/{A}/artifacts/model", {"other/MLmodel": b"m"}, ["3/MLmodel"], id="not in the run"),
        pytest.param(f"s3://b/1/{A}/artifacts/model", {"model/MLmodel": b"mm"}, ["3/MLmodel"], id="other in the run"),
        pytest.param("s3://elsewhere/x", {}, ["3/MLmodel"], id="nowhere else"),
        pytest.param(f"models:/{MODEL}", {}, ["3/MLmodel"], id="other in the logged model"),
    ],
)
def test_files_of_a_version_are_its_own_only_if_they_are_nowhere_else(
    root: Path, source: str, run_files: dict[str, bytes], own: list[str]
) -> None:
    for path, data in run_files.items():
        place = root / "experiments" / "1" / "runs" / A / "artifacts" / path
        place.parent.mkdir(parents=True)
        place.write_bytes(data)
    replace(root, "models/reg/model.json", registered_model(version(3, source=source)))
    folder = root / "models" / "reg" / "version_models" / "3"
    folder.mkdir(parents=True)
    (folder / "MLmodel").write_bytes(b"m")
    (folder / "registered_model_meta").write_text("model_name: reg")
    found = read(root)
    assert [file.path for file in found.artifacts if file.owner_kind == REGISTERED_MODEL] == own
    assert [file.owner_id for file in found.artifacts if file.owner_kind == REGISTERED_MODEL] == ["reg"] * len(own)
    assert gaps(found) == set()


def test_a_version_without_run_and_without_files_is_told(root: Path) -> None:
    replace(root, "models/reg/model.json", registered_model(version(3, run_id="", source="s3://elsewhere/x")))
    assert gaps(read(root)) == {("registered_model", "reg", "3", "G101")}
    assert gaps(read(root, artifacts=False)) == set()


def test_prompts_are_registered_models_with_mlflows_marks(root: Path) -> None:
    found = read(root)
    (row,) = found.rows("registered_models", name="greet")
    assert given(row) == {"name": "greet", "workspace": "default"}
    assert [(row["key"], row["value"]) for row in found.rows("registered_model_tags", name="greet")] == [
        ("mlflow.prompt.is_prompt", "true")
    ]
    (row,) = found.rows("model_versions", name="greet", version=1)
    assert given(row) == {
        "name": "greet",
        "workspace": "default",
        "version": 1,
        "creation_time": 1795562008464,
        "last_updated_time": 1795562008465,
        "description": "c1",
        "user_id": "",
        "current_stage": "None",
        "source": "prompt-template",
        "status": "READY",
    }

    def tags(number: int) -> dict[str, str]:
        return {row["key"]: row["value"] for row in found.rows("model_version_tags", name="greet", version=number)}

    assert tags(1) == {
        "p": "1",
        "mlflow.prompt.is_prompt": "true",
        "mlflow.prompt.text": "Hello {{name}}",
        "_mlflow_prompt_type": "text",
    }
    assert tags(10)["_mlflow_prompt_type"] == "chat"
    assert json.loads(tags(10)["mlflow.prompt.text"]) == [{"role": "user", "content": "hé"}]


def test_what_more_a_prompt_may_hold(root: Path) -> None:
    body = prompt(1, "x", description="of the prompt", commit_message="of the version", model_config={"t": 1}, new=1)
    replace(root, "prompts/greet_v1/prompt.json", body)
    found = read(root, models=("greet",))
    assert [row["description"] for row in found.rows("model_versions", version=1)] == ["of the version"]
    tags = {row["key"]: row["value"] for row in found.rows("model_version_tags", version=1)}
    assert tags["_mlflow_prompt_model_config"] == '{"t": 1}'
    assert gaps(found) == {("source", "registered_model", "versions/new", "G404")}


def test_evaluation_dataset(root: Path) -> None:
    found = read(root)
    assert [given(row) for row in found.tables["evaluation_datasets"]] == [
        {
            "dataset_id": DATASET,
            "name": "ev",
            "schema": '{"inputs": {"q": "string"}}',
            "profile": '{"num_records": 1}',
            "digest": "ffd26a35",
            "created_time": 1795562008737,
            "last_update_time": 1795562008764,
            "created_by": "root",
            "last_updated_by": "root",
        }
    ]
    assert [given(row) for row in found.tables["evaluation_dataset_records"]] == [
        {
            "dataset_id": DATASET,
            "dataset_record_id": "dr-1",
            "inputs": '{"q": "h\\u00ed"}',
            "outputs": '{"mlflow_wrapped": {}}',
            "expectations": '{"a": "b"}',
            "tags": '{"k": "v"}',
            "source": json.dumps(RECORD["source"]),
            "source_id": TRACE_ID,
            "source_type": "TRACE",
            "created_time": 1795562008764,
            "last_update_time": 1795562008765,
            "created_by": "root",
            "last_updated_by": "root",
        }
    ]
    assert [row["experiment_id"] for row in found.tables["evaluation_dataset_experiments"]] == ["1"]


def test_records_without_an_id_get_one_that_stays(root: Path) -> None:
    plain = {"inputs": {"x": 1}}
    replace(root, DATASET_PLACE, dataset(plain, plain, {"outputs": 1}))
    found = read(root)
    ids = [row["dataset_record_id"] for row in found.tables["evaluation_dataset_records"]]
    assert len(set(ids)) == 2
    assert [row["dataset_record_id"] for row in read(root).tables["evaluation_dataset_records"]] == ids
    assert gaps(found) == {("evaluation_dataset", DATASET, "records/2/inputs", "G203")}


def test_a_source_of_an_evaluation_dataset_is_a_gap(root: Path) -> None:
    replace(root, DATASET_PLACE, dataset(source="s3://bucket/questions"))
    (gap,) = read(root).rows("gaps", owner_id=DATASET)
    reason = "MLflow 3 keeps no source of an evaluation dataset, and neither does an archive"
    assert (gap["path"], gap["code"], gap["reason"]) == ("source", "G203", reason)
