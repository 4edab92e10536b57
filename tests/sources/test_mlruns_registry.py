"""The model registry of file stores, prompts included, and what is selected by it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from mlflow_archive.errors import SelectionError, StoreError
from mlflow_archive.flow.report import Quiet
from mlflow_archive.format.gaps import FIELD_UNREADABLE, OBJECT_UNREADABLE
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.mlruns import MlrunsSource
from tests.sources.mlruns_objects import MODEL_ID, PROMPT, read, registered, version
from tests.support.corpora import store_facts, store_path
from tests.support.mlruns import RUN_ID, one_run, write_meta
from tests.support.reading import Read, content

CORPUS = ("Addisu22__Credit-Risk-Probability-Model", "data/mlruns")


# --- what was counted, what MLflow reads -------------------------------------------------------------------------


def test_a_real_store_has_the_counted_content() -> None:
    facts = store_facts(*CORPUS)
    found = read(store_path(*CORPUS))
    assert len(found.tables["registered_models"]) == facts["registered_models"]
    assert len(found.tables["model_versions"]) == facts["model_versions"]
    assert len(found.rows("model_versions", current_stage="None")) == facts["mv_stage_None"]
    ids = {f"models:/{row['model_id']}" for row in found.tables["logged_models"]}
    assert {row["source"] for row in found.tables["model_versions"]} == ids
    assert "KAIM%205%2C6%2C7" in found.tables["model_versions"][0]["storage_location"]
    # Their files lie among those of the logged models.
    assert {file.owner_kind for file in found.artifacts} == {"logged_model"}
    assert found.gaps() == set()


@pytest.mark.parametrize("corpus", [True, False], ids=["corpus", "written by MLflow"])
def test_every_value_is_what_mlflow_reads(full_store: Path, corpus: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.store.model_registry.file_store import FileStore  # noqa: PLC0415

    root = store_path(*CORPUS) if corpus else full_store
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", full_store.as_uri())  # or it makes a database in the current folder
    found = read(root)
    store = FileStore(str(root))
    paths = [Path(path) for path in store._get_all_registered_model_paths()]
    assert {row["name"] for row in found.tables["registered_models"]} == {path.name for path in paths}
    assert len(paths) == (3 if corpus else 4)
    for path in paths:
        theirs = store.get_registered_model(path.name)
        (row,) = found.rows("registered_models", name=path.name)
        assert row == {
            "name": theirs.name,
            "workspace": "default",
            "creation_time": theirs.creation_timestamp,
            "last_updated_time": theirs.last_updated_timestamp,
            "description": theirs.description,
        }
        tags = found.rows("registered_model_tags", name=path.name)
        assert {tag["key"]: tag["value"] for tag in tags} == theirs._tags
        aliases = found.rows("registered_model_aliases", name=path.name)
        assert {each["alias"]: str(each["version"]) for each in aliases} == theirs.aliases
        versions = {each.version: each for each in store._list_file_model_versions_under_path(str(path))}
        assert [each["version"] for each in found.rows("model_versions", name=path.name)] == sorted(versions)
        for each in found.rows("model_versions", name=path.name):
            assert_same_version(found, each, versions[each["version"]])


def assert_same_version(found: Read, row: dict[str, Any], theirs: Any) -> None:
    names = "description user_id current_stage source storage_location run_id run_link status status_message"
    assert {name: row[name] for name in names.split()} == {name: getattr(theirs, name) for name in names.split()}
    assert (row["creation_time"], row["last_updated_time"]) == (
        theirs.creation_timestamp,
        theirs.last_updated_timestamp,
    )
    tags = found.rows("model_version_tags", name=row["name"], version=row["version"])
    assert {tag["key"]: tag["value"] for tag in tags} == theirs.tags


def test_a_store_written_by_mlflow_comes_in_full(full_store: Path, full_read: Read) -> None:
    """Order and stages of twelve versions, a deleted one, prompts, and the files of versions that lie nowhere else."""
    many = full_read.rows("model_versions", name="many")
    assert [row["version"] for row in many] == list(range(1, 13))
    assert [row["current_stage"] for row in many[:5]] == ["Archived", "Production", "None", "None", "Deleted_Internal"]
    aliases = {row["alias"]: row["version"] for row in full_read.rows("registered_model_aliases", name="many")}
    assert aliases == {"champion": 12, "Old-1": 2}
    texts = {
        (row["name"], row["version"]): row["value"]
        for row in full_read.rows("model_version_tags", key="mlflow.prompt.text")
    }
    assert texts["greeting", 1] == "Hello {{name}}"
    assert texts["greeting", 2] == "Hi {{name}}!\n"
    assert '"role": "system"' in texts["talk", 1]
    files = {file.path: content(file) for file in full_read.artifacts if file.owner_kind == "registered_model"}
    assert {file.owner_id for file in full_read.artifacts if file.owner_kind == "registered_model"} == {"many"}
    assert files == {
        f"{number}/{path}": data
        for number in range(4, 13)
        for path, data in (
            ("MLmodel", b"artifact_path: model\nflavors: {}\n"),
            ("data/weights ü.bin", b"weights"),
        )
    }
    assert full_read.rows("fingerprints", owner_kind="registered_model") == []
    assert full_read.gaps() == set()


# --- oddities ----------------------------------------------------------------------------------------------------


def test_a_model_without_meta_keeps_its_versions(root: Path) -> None:
    folder = registered(root, files={"tags/t": "1", "aliases/a": "2"})
    version(folder, 2, description="second")
    (folder / "meta.yaml").write_text("{")
    found = read(root)
    assert [(row["name"], row["creation_time"]) for row in found.tables["registered_models"]] == [("m", None)]
    assert [(row["version"], row["description"]) for row in found.tables["model_versions"]] == [(2, "second")]
    assert [row["value"] for row in found.tables["registered_model_tags"]] == ["1"]
    assert [row["version"] for row in found.tables["registered_model_aliases"]] == [2]
    assert found.gaps() == {("m", "", OBJECT_UNREADABLE)}
    (folder / "meta.yaml").unlink()
    assert read(root).gaps() == {("m", "", OBJECT_UNREADABLE)}


@pytest.mark.parametrize("data", [b"", b"- a\n", b"x: [\n", None])
def test_a_broken_version_keeps_its_number_and_tags(root: Path, data: bytes | None) -> None:
    """The text of a prompt is one of its tags."""
    folder = registered(root, files={**PROMPT, "version-1/tags/mlflow.prompt.text": "hi"})
    version(folder, 2)
    if data is not None:
        (folder / "version-1" / "meta.yaml").write_bytes(data)
    found = read(root)
    assert [(row["version"], row["status"]) for row in found.tables["model_versions"]] == [(1, None), (2, "READY")]
    assert [(row["version"], row["value"]) for row in found.tables["model_version_tags"]] == [(1, "hi")]
    assert found.gaps() == {("m", "version-1", OBJECT_UNREADABLE)}


@pytest.mark.parametrize(
    ("fields", "column", "value", "gap"),
    [
        ({"version": None}, "version", 1, ""),
        ({"version": 7}, "version", 1, "version"),
        ({"creation_timestamp": "x"}, "creation_time", None, "creation_timestamp"),
        ({"current_stage": None}, "current_stage", None, ""),
        ({"run_link": "http://elsewhere"}, "run_link", "http://elsewhere", ""),
        ({"user_id": "0123"}, "user_id", "0123", ""),
        ({"source": f"s3://me:secret@bucket/{RUN_ID}/x"}, "source", f"s3://bucket/{RUN_ID}/x", ""),
        ({"model_id": MODEL_ID}, "version", 1, "model_id"),
        ({"model_id": MODEL_ID, "source": f"models:/{MODEL_ID}"}, "source", f"models:/{MODEL_ID}", None),
    ],
)
def test_fields_of_versions(root: Path, fields: dict[str, Any], column: str, value: object, gap: str | None) -> None:
    version(registered(root), **fields)
    found = read(root)
    assert found.tables["model_versions"][0][column] == value
    if gap is not None:
        assert found.gaps() == ({("m", f"version-1/{gap}", FIELD_UNREADABLE)} if gap else set())


@pytest.mark.parametrize(
    ("stated", "name", "gap"),
    [("m", "m", False), (None, "m", False), ("other", "m", True), ("no", "m", True)],
)
def test_the_folder_names_the_model(root: Path, stated: str | None, name: str, gap: bool) -> None:
    folder = registered(root)
    write_meta(folder, {"name": stated} if stated else {"description": "x"})
    found = read(root)
    assert [row["name"] for row in found.tables["registered_models"]] == [name]
    assert found.gaps() == ({("m", "name", FIELD_UNREADABLE)} if gap else set())


def test_a_name_whose_accents_the_file_system_took_apart(root: Path) -> None:
    composed, apart = "caf\u00e9", "cafe\u0301"
    write_meta(registered(root, apart), {"name": composed})
    found = read(root)
    assert [row["name"] for row in found.tables["registered_models"]] == [composed]
    assert found.gaps() == set()


@pytest.mark.parametrize("name", ["version-x", "version-01", "version-", "version-1 (copy)"])
def test_a_folder_that_is_no_version_is_a_gap(root: Path, name: str) -> None:
    folder = registered(root)
    write_meta(folder / name, {"version": 1})
    found = read(root)
    assert found.tables["model_versions"] == []
    assert found.gaps() == {("m", name, OBJECT_UNREADABLE)}


@pytest.mark.parametrize(("text", "number"), [("3", 3), ("3\n", 3), ("x", None), ("", None), ("9" * 30, None)])
def test_aliases(root: Path, text: str, number: int | None) -> None:
    registered(root, files={"aliases/a": text})
    found = read(root)
    assert [row["version"] for row in found.tables["registered_model_aliases"]] == ([] if number is None else [number])
    assert found.gaps() == ({("m", "aliases/a", FIELD_UNREADABLE)} if number is None else set())


def test_stray_folders_are_no_models(root: Path) -> None:
    registered(root)
    (root / "models" / ".ipynb_checkpoints").mkdir()
    (root / "models" / "notes").mkdir()
    (root / "models" / "notes" / "readme").write_text("x")
    found = read(root)
    assert [row["name"] for row in found.tables["registered_models"]] == ["m"]
    assert found.gaps() == set()


def test_another_workspace_is_part_of_the_owner(root: Path) -> None:
    folder = registered(root, workspace="team", files={"aliases/a": "x"})
    found = read(root)
    assert [row["workspace"] for row in found.tables["registered_models"]] == ["team"]
    assert found.gaps() == {(f"team/{folder.name}", "aliases/a", FIELD_UNREADABLE)}


def test_a_registry_without_experiments_is_a_store(root: Path) -> None:
    version(registered(root), source="dummy")
    shutil.rmtree(root / "1")
    found = read(root)
    assert [row["name"] for row in found.tables["registered_models"]] == ["m"]
    shutil.rmtree(root / "models" / "m")
    with pytest.raises(StoreError, match="none of its folders is an experiment"):
        read(root)


# --- selection ---------------------------------------------------------------------------------------------------


@pytest.fixture
def several(root: Path) -> Path:
    """Models ``on-run`` (run 1), ``on-model`` (logged model of run 2 in experiment 2), ``on-nothing``; 3 more runs."""
    runs = {number: f"{number}" * 32 for number in range(1, 5)}
    for number, run_id in runs.items():
        one_run(root, run_id=run_id, start_time=number)
    write_meta(root / "2", {"name": "two", "experiment_id": "2"})
    shutil.move(root / "1" / runs[2], root / "2" / runs[2])
    for model_id, run in ((MODEL_ID, runs[2]), ("m-" + "b" * 32, runs[1])):
        document = {"model_id": model_id, "name": "x", "status": 2, "source_run_id": run}
        write_meta(root / "2" / "models" / model_id, document)
    version(registered(root, "on-run"), source=f"/gone/1/{runs[1]}/artifacts/model", run_id=runs[1])
    version(registered(root, "on-model"), source=f"models:/{MODEL_ID}")
    registered(root, "on-nothing")
    (root / "1" / "traces" / "t").mkdir(parents=True)
    text = "{trace_id: t, request_time: 1, state: OK}"
    (root / "1" / "traces" / "t" / "trace_info.yaml").write_text(text)
    return root


ALL = {"on-run", "on-model", "on-nothing"}


@pytest.mark.parametrize(
    ("selection", "models", "runs", "logged", "experiments", "traces"),
    [
        (Selection(), ALL, "1234", 2, "12", 1),
        (Selection(models=("on-run",)), {"on-run"}, "1", 0, "1", 0),
        (Selection(models=("on-m*",)), {"on-model"}, "2", 1, "2", 0),
        (Selection(models=("on-*",)), ALL, "12", 1, "12", 0),
        (Selection(models=("on-nothing",)), {"on-nothing"}, "", 0, "", 0),
        (Selection(models=("on-*",), runs=("1" * 32,)), ALL, "1", 1, "12", 0),
        (Selection(models=("on-*",), experiments=("two",)), ALL, "2", 1, "2", 0),
        (Selection(models=("on-*",), kinds=("registered_model",)), ALL, "", 0, "", 0),
        (Selection(models=("on-*",), kinds=("registered_model", "run")), ALL, "12", 0, "12", 0),
        (Selection(models=("on-*",), kinds=("logged_model",)), set(), "", 1, "2", 0),
        (Selection(kinds=("registered_model",)), ALL, "", 0, "", 0),
        (Selection(kinds=("run",)), set(), "1234", 0, "12", 0),
        (Selection(kinds=("trace", "logged_model")), set(), "", 2, "12", 1),
        (Selection(experiments=("1",)), set(), "134", 0, "1", 1),
        (Selection(runs=("2" * 32,)), set(), "2", 1, "2", 0),
        (Selection(filter_string="attributes.start_time > 3"), set(), "4", 0, "1", 0),
        (Selection(since_ms=4), set(), "4", 0, "12", 0),
        (Selection(trace_filter="status = 'ERROR'"), ALL, "1234", 2, "12", 0),
    ],
)
def test_selection(
    several: Path, selection: Selection, models: set[str], runs: str, logged: int, experiments: str, traces: int
) -> None:
    found = read(several, selection)
    assert {row["name"] for row in found.tables["registered_models"]} == models
    assert "".join(sorted(row["run_id"][0] for row in found.tables["runs"])) == runs
    assert len(found.tables["logged_models"]) == logged
    assert "".join(sorted(row["experiment_id"] for row in found.tables["experiments"])) == experiments
    assert len(found.tables["traces"]) == traces
    stages = [shard.stage for shard in found.shards]
    assert stages == sorted(stages)
    assert found.too_late() == set()


@pytest.mark.parametrize(
    ("models", "words"),
    [
        (("none*",), "no registered model of"),
        (("on-run", "On-run"), "matches 'On-run'; there are 'on-run', 'on-model', "),
    ],
)
def test_a_model_that_does_not_exist_is_refused_before_the_first_shard(
    several: Path, models: tuple[str, ...], words: str
) -> None:
    with pytest.raises(SelectionError) as refused:
        next(MlrunsSource(several).plan(Selection(models=models, on_missing="fail"), Quiet()))
    assert words in str(refused.value)
