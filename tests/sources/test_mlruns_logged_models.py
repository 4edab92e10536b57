"""Logged models of file stores, and the runs that took and made them."""

from __future__ import annotations

import math
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mlflow_archive.flow.copy import copy
from mlflow_archive.format.gaps import FIELD_UNREADABLE, METRIC_UNREADABLE, OBJECT_UNREADABLE
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.locate import locate_source
from mlflow_archive.sources.mlruns import MlrunsSource
from mlflow_archive.verification.checks import verify
from mlflow_archive.writer.export import ArchiveSink
from tests.sources.mlruns_objects import MODEL_ID, one_model, read
from tests.support.corpora import store_facts, store_path
from tests.support.mlruns import RUN_ID, one_run, write_meta
from tests.support.reading import Read, bits, content, read_source
from tests.support.restoring import restore

CORPUS = ("Addisu22__Credit-Risk-Probability-Model", "data/mlruns")
OTHER_ID = "m-" + "b" * 32


# --- what was counted, what MLflow reads -------------------------------------------------------------------------


def test_a_real_store_has_the_counted_content() -> None:
    facts = store_facts(*CORPUS)
    found = read(store_path(*CORPUS))
    files = [file for file in found.artifacts if file.owner_kind == "logged_model"]
    rows = {name: len(found.tables[f"logged_model{name}"]) for name in ("s", "_params", "_tags", "_metrics")}
    metric_files = {(row["model_id"], row["key"]) for row in found.tables["logged_model_metrics"]}
    assert rows["s"] == facts["logged_models"]
    assert len(metric_files) == rows["_metrics"] == facts["logged_model_metric_files"]
    assert rows["s"] + rows["_params"] + rows["_tags"] + len(metric_files) + len(files) == facts["logged_model_files"]
    assert len(found.tables["model_outputs"]) == facts["outputs"]
    assert {row["status"] for row in found.tables["logged_models"]} == {"READY"}
    made = {(row["run_id"], row["model_id"]) for row in found.tables["model_outputs"]}
    assert made == {(row["source_run_id"], row["model_id"]) for row in found.tables["logged_models"]}
    assert found.gaps() == set()


@pytest.mark.parametrize("corpus", [True, False], ids=["corpus", "written by MLflow"])
def test_every_value_is_what_mlflow_reads(full_store: Path, corpus: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.store.tracking.file_store import FileStore  # noqa: PLC0415

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    root = store_path(*CORPUS) if corpus else full_store
    found = read(root)
    store = FileStore.__new__(FileStore)  # its constructor makes folders
    folders = [path for pattern in ("*/models/m-*", ".trash/*/models/m-*") for path in root.glob(pattern)]
    assert sorted(row["model_id"] for row in found.tables["logged_models"]) == sorted(path.name for path in folders)
    assert len(folders) == (3 if corpus else 8)
    for folder in folders:
        theirs = store._get_model_from_dir(str(folder))
        (row,) = found.rows("logged_models", model_id=folder.name)
        names = [
            "experiment_id",
            "name",
            "artifact_location",
            "creation_timestamp",
            "last_updated_timestamp",
            "model_type",
            "source_run_id",
            "status_message",
        ]
        assert {name: row[name] for name in names} == {name: getattr(theirs, name) for name in names}
        assert row["status"] == theirs.status.value
        for table, values in (("logged_model_params", theirs.params), ("logged_model_tags", theirs.tags)):
            assert {each["key"]: each["value"] for each in found.rows(table, model_id=folder.name)} == values
        latest = {(m.key, m.dataset_name, m.dataset_digest, m.step, m.timestamp, bits(m.value)) for m in theirs.metrics}
        names = ["key", "dataset_name", "dataset_digest", "step", "timestamp"]
        ours = {
            (*(each[name] for name in names), bits(each["value"]))
            for each in found.rows("logged_model_metrics", model_id=folder.name)
        }
        assert latest <= ours


def test_a_store_written_by_mlflow_comes_in_full(full_store: Path, full_read: Read) -> None:
    """What MLflow's reader does not show: every point with its run, stages, edges with steps, files."""
    stages = Counter((row["name"], row["status"], row["lifecycle_stage"]) for row in full_read.tables["logged_models"])
    assert stages == {
        ("ready", "READY", "active"): 2,  # once in a deleted experiment
        ("pending", "PENDING", "active"): 2,
        ("failed", "FAILED", "active"): 2,
        ("deleted", "READY", "deleted"): 2,
    }
    trashed = [path.name for path in (full_store / ".trash").iterdir()]
    ready, other = list(full_read.rows("logged_models", name="ready"))
    if ready["experiment_id"] in trashed:
        ready, other = other, ready
    assert other["experiment_id"] in trashed
    maker = ready["source_run_id"]
    ids = {row["name"]: row["model_id"] for row in full_read.tables["logged_models"] if row["model_id"] != other}
    (user,) = {row["run_id"] for row in full_read.rows("model_inputs", model_id=ready["model_id"])}
    points = full_read.rows("logged_model_metrics", model_id=ready["model_id"])
    assert sorted(
        (p["run_id"], p["key"], p["step"], p["timestamp"], repr(p["value"]), p["dataset_name"], p["dataset_digest"])
        for p in points
    ) == sorted(
        point
        for run_id in (maker, user)
        for point in (
            (run_id, "acc", 1, 1_700_000_000_001, "0.5", None, None),
            (run_id, "acc", 2, 1_700_000_000_002, "0.75", None, None),
            (run_id, "deep/auc", 0, 1_700_000_000_000, "nan", "data", "d1"),
        )
    )
    outputs = {(row["model_id"], row["step"]) for row in full_read.rows("model_outputs", run_id=maker)}
    assert (ready["model_id"], 7) in outputs
    assert len(outputs) == 2
    assert {row["step"] for row in full_read.rows("model_inputs", run_id=user)} == {0}
    assert len(full_read.rows("model_inputs", run_id=user)) == 2
    assert len(ids) == 4
    files = {file.path: content(file) for file in full_read.artifacts if file.owner_id == ready["model_id"]}
    assert files == {
        "MLmodel": b"artifact_path: model\nflavors: {}\n",
        "data/weights ü.bin": b"weights",
    }
    assert {file.owner_kind for file in full_read.artifacts if file.owner_id == ready["model_id"]} == {"logged_model"}
    assert full_read.gaps() == set()


def test_the_store_goes_into_a_sound_archive_and_only_changes_are_added(full_store: Path, tmp_path: Path) -> None:
    store = tmp_path / "mlruns"
    shutil.copytree(full_store, store)
    path = tmp_path / "archive"
    report = copy(MlrunsSource(store), ArchiveSink(path, tool="test 1", clock_ms=lambda: 0))
    assert report.complete
    checked = verify(path)
    assert (checked.problems, checked.lost) == ([], set())
    with open_archive(path) as archive:
        known = {
            (row["owner_kind"], row["owner_id"]): row["fingerprint"]
            for row in archive.table("fingerprints").to_pylist()
        }
    assert Counter(kind for kind, _ in known) == {"run": 4, "logged_model": 8, "trace": 6}
    again = read_source(MlrunsSource(store), known=lambda kind, key: known.get((kind, key)))
    assert (again.tables["logged_models"], again.tables["traces"], again.tables["runs"]) == ([], [], [])
    assert {file.owner_kind for file in again.artifacts} == {"registered_model"}
    (changed,) = store.glob("*/models/*/tags/late")
    changed.write_text("other")
    (changed_trace,) = store.glob("*/traces/*/tags/team")
    changed_trace.write_text("other")
    again = read_source(MlrunsSource(store), known=lambda kind, key: known.get((kind, key)))
    assert [row["model_id"] for row in again.tables["logged_models"]] == [changed.parent.parent.name]
    assert [row["trace_id"] for row in again.tables["traces"]] == [changed_trace.parent.parent.name]


def test_it_can_be_restored_though_outputs_have_no_ids(full_store: Path, tmp_path: Path) -> None:
    path, uri = tmp_path / "archive", f"sqlite:///{tmp_path / 'mlflow.db'}"
    selection = Selection(kinds=("run", "logged_model"))
    copy(MlrunsSource(full_store), ArchiveSink(path, tool="test 1", clock_ms=lambda: 0), selection)
    restore(path, uri, artifact_root=str(tmp_path / "artifacts"))
    restored = read_source(locate_source(uri))
    for table in ("model_inputs", "model_outputs"):
        ours = read(full_store).tables[table]
        edges = {(row["run_id"], row["model_id"], row["step"]) for row in ours}
        assert edges == {(row["run_id"], row["model_id"], row["step"]) for row in restored.tables[table]}
        assert len({row["input_uuid"] for row in restored.tables[table]}) == len(ours)


# --- oddities ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "column", "value", "gap"),
    [
        ({"status": None}, "status", "READY", False),
        ({"status": "FAILED"}, "status", "FAILED", False),
        ({"status": 9}, "status", "9", False),
        ({"status": "Odd"}, "status", "Odd", True),
        ({"name": None}, "name", MODEL_ID, True),
        ({"name": "no"}, "name", "no", False),
        ({"creation_timestamp": "yesterday"}, "creation_timestamp", None, True),
        ({"last_updated_timestamp": 2**63}, "last_updated_timestamp", None, True),
        ({"lifecycle_stage": "deleted"}, "lifecycle_stage", "deleted", False),
        ({"experiment_id": "77"}, "experiment_id", "1", False),
        ({"artifact_location": "s3://me:secret@bucket/x"}, "artifact_location", "s3://bucket/x", None),
        ({"source_run_id": None}, "source_run_id", None, False),
    ],
)
def test_fields(root: Path, fields: dict[str, Any], column: str, value: object, gap: bool | None) -> None:
    one_model(root, **fields)
    found = read(root)
    assert found.tables["logged_models"][0][column] == value
    if gap is not None:
        assert found.gaps() == ({(MODEL_ID, column, FIELD_UNREADABLE)} if gap else set())
        assert len(found.rows("fingerprints", owner_kind="logged_model")) == (0 if gap else 1)


@pytest.mark.parametrize(
    "data", [b"", b"- a\n", b"name: [\n", b"name: of nothing\n", f"model_id: {OTHER_ID}\n".encode(), None]
)
def test_a_broken_model_is_a_gap_and_the_others_go_on(root: Path, data: bytes | None) -> None:
    folder = one_model(root, files={"params/p": "1"})
    one_model(root, OTHER_ID)
    if data is None:
        (folder / "meta.yaml").unlink()
    else:
        (folder / "meta.yaml").write_bytes(data)
    found = read(root)
    assert [row["model_id"] for row in found.tables["logged_models"]] == [OTHER_ID]
    assert found.gaps() == {(MODEL_ID, "", OBJECT_UNREADABLE)}
    assert len(found.tables["runs"]) == 1


def test_a_folder_that_git_left_empty_is_no_model(root: Path) -> None:
    one_run(root)
    (root / "1" / "models" / MODEL_ID / "artifacts").mkdir(parents=True)
    (root / "1" / "models" / "notes").mkdir()
    (root / "1" / "models" / "notes" / "x").write_text("x")
    assert read(root).gaps() == set()


def test_a_model_in_two_experiments_is_a_gap(root: Path) -> None:
    one_model(root)
    write_meta(root / "2", {"name": "two", "experiment_id": "2"})
    shutil.copytree(root / "1" / "models", root / "2" / "models")
    found = read(root)
    assert [row["experiment_id"] for row in found.tables["logged_models"]] == ["1"]
    assert found.gaps() == {(MODEL_ID, f"2/models/{MODEL_ID}", OBJECT_UNREADABLE)}


@pytest.mark.parametrize(
    ("lines", "points", "words"),
    [
        ("5 0.5 1 r\n", [(5, 1, "r", 0.5, None, None)], ""),
        ("5 0.5 1\n", [(5, 1, "", 0.5, None, None)], ""),
        ("5 0.5 1 r my data ab\n", [(5, 1, "r", 0.5, "my data", "ab")], ""),
        ("5 0.5 1 r\n5 0.5 1 r\n", [(5, 1, "r", 0.5, None, None)], ""),
        ("5 0.5 1 r\n5 0.5 1 s\n\n", [(5, 1, "r", 0.5, None, None), (5, 1, "s", 0.5, None, None)], ""),
        ("5 0.5 1 r\n5 0.25 1 r\n", [(5, 1, "r", 0.5, None, None)], "1 points have time, step and run of another"),
        ("5 0.25 1 r\n5 0.5 1 r d 1\n", [(5, 1, "r", 0.5, "d", "1")], "such as 0.25"),
        ("5 0.5\n6 1 2 r\n", [(6, 2, "r", 1.0, None, None)], "line 1: it has 2 fields"),
        ("6 1 2 r\n5 0.5 1 r d\n", [(6, 2, "r", 1.0, None, None)], "line 2: it has 5 fields"),
        ("6 1 2 r\n7 3", [(6, 2, "r", 1.0, None, None)], "line 2"),
        ("6 1 2 r\n7 3 2", [(6, 2, "r", 1.0, None, None)], "line 2: it breaks off"),
        (f"6 1 2 r\n{2**63} 1 1 r\n", [(6, 2, "r", 1.0, None, None)], "more than 64 bits"),
        ("", [], "the file is empty"),
    ],
)
def test_metric_lines(root: Path, lines: str, points: list[tuple[Any, ...]], words: str) -> None:
    one_model(root, files={"metrics/m/x": lines})
    found = read(root)
    names = ("timestamp", "step", "run_id", "value", "dataset_name", "dataset_digest")
    assert [tuple(row[name] for name in names) for row in found.tables["logged_model_metrics"]] == points
    assert found.gaps() == ({(MODEL_ID, "metrics/m/x", METRIC_UNREADABLE)} if words else set())
    assert all(words in row["reason"] for row in found.tables["gaps"])


def test_special_values_are_kept(root: Path) -> None:
    one_model(root, files={"metrics/m": "1 nan 0 r\n2 inf 0 r\n3 -inf 0 r\n"})
    values = [row["value"] for row in read(root).tables["logged_model_metrics"]]
    assert math.isnan(values[0])
    assert values[1:] == [math.inf, -math.inf]


@pytest.mark.parametrize(
    ("edge", "document", "gap"),
    [
        ("inputs", {"source_type": "MODEL", "source_id": MODEL_ID, "tags": {}}, False),
        ("inputs", {"source_type": "MODEL", "tags": {}}, True),
        ("inputs", {"source_type": "OTHER", "source_id": MODEL_ID}, True),
        ("outputs", {"destination_type": "MODEL_OUTPUT", "destination_id": MODEL_ID, "step": 3}, False),
        ("outputs", {"destination_type": "MODEL_OUTPUT", "step": 3}, True),
        ("outputs", {"destination_type": "ELSE", "destination_id": MODEL_ID}, True),
    ],
)
def test_edges(root: Path, edge: str, document: dict[str, Any], gap: bool) -> None:
    write_meta(one_run(root) / edge / "e", document)
    found = read(root)
    rows = found.tables[f"model_{edge}"]
    assert [(row["run_id"], row["model_id"], row["step"]) for row in rows] == (
        [] if gap else [(RUN_ID, MODEL_ID, document.get("step", 0))]
    )
    assert found.gaps() == ({(RUN_ID, f"{edge}/e", FIELD_UNREADABLE)} if gap else set())


def test_a_malformed_step_is_a_gap(root: Path) -> None:
    document = {"destination_type": "MODEL_OUTPUT", "destination_id": MODEL_ID, "step": "x"}
    write_meta(one_run(root) / "outputs" / "e", document)
    found = read(root)
    assert [row["step"] for row in found.tables["model_outputs"]] == [0]
    assert found.gaps() == {(RUN_ID, "outputs/e/step", FIELD_UNREADABLE)}


# --- selection ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("selection", "models", "runs"),
    [
        (Selection(), {"made", "taken", "deleted"}, 1),
        (Selection(deleted=False), {"made", "taken"}, 1),
        (Selection(experiments=("2",)), {"taken"}, 0),
        (Selection(runs=(RUN_ID,)), {"made", "taken", "deleted"}, 1),
        (Selection(runs=(RUN_ID,), experiments=("1",)), {"made", "deleted"}, 1),
        (Selection(filter_string="params.p = '1'"), {"made", "taken", "deleted"}, 1),
        (Selection(filter_string="params.p = 'none'"), set(), 0),
        (Selection(kinds=("logged_model",)), {"made", "taken", "deleted"}, 0),
        (Selection(kinds=("logged_model",), runs=(RUN_ID,)), {"made", "taken", "deleted"}, 0),
        (Selection(kinds=("run",)), set(), 1),
        (Selection(kinds=("registered_model",)), set(), 0),
    ],
)
def test_selection(root: Path, selection: Selection, models: set[str], runs: int) -> None:
    run = one_run(root, params={"p": "1"})
    one_model(root, name="made")
    one_model(root, OTHER_ID, name="deleted", lifecycle_stage="deleted")
    write_meta(root / "2", {"name": "two", "experiment_id": "2"})
    taken = "m-" + "c" * 32
    write_meta(root / "2" / "models" / taken, {"model_id": taken, "name": "taken", "status": 2})
    write_meta(run / "inputs" / "i", {"source_type": "MODEL", "source_id": taken, "tags": {}})
    found = read(root, selection)
    assert {row["name"] for row in found.tables["logged_models"]} == models
    assert len(found.tables["runs"]) == runs
    in_experiments = {row["experiment_id"] for name in ("runs", "logged_models") for row in found.tables[name]}
    experiments = [row["experiment_id"] for row in found.tables["experiments"]]
    assert in_experiments <= set(experiments)
    assert len(experiments) == len(set(experiments))
    if selection.kinds == ("registered_model",):
        assert experiments == []
