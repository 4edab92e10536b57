"""Folders of mlflow-export-import that are broken, incomplete, doubled or odd: told, and the rest is read."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlflow_archive.errors import StoreError
from mlflow_archive.kinds import RUN
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.exim import EximSource
from tests.support.exim import SYSTEM, run_body, write_document, write_exim, write_run
from tests.support.mlruns import Experiment, Point, Run, Store
from tests.support.reading import Read, content, read_source

A, B, C = "a" * 32, "b" * 32, "c" * 32


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """Return an export of runs A (with artifacts) and B in experiment 1, none in experiment 2."""
    runs = (
        Run(run_id=A, name="first", params={"lr": "0.1"}, artifacts={"a/b.txt": b"x", "c": b""}),
        Run(run_id=B, name="second", tags={"mlflow.parentRunId": A}),
    )
    experiments = (Experiment(experiment_id="1", name="one", runs=runs), Experiment(experiment_id="2", name="two"))
    return write_exim(Store(experiments=experiments), tmp_path / "exported")


def run_file(root: Path, run_id: str = A) -> Path:
    return root / "experiments" / "1" / "runs" / run_id / "run.json"


def read(root: Path, **selection: Any) -> Read:
    return read_source(EximSource(root), Selection(**selection))


def gaps(found: Read) -> dict[tuple[str, str, str, str], str]:
    return {(row["owner_kind"], row["owner_id"], row["path"], row["code"]): row["reason"] for row in found.rows("gaps")}


def run_ids(found: Read) -> set[str]:
    return {row["run_id"] for row in found.tables["runs"]}


def change_run(root: Path, **parts: Any) -> None:
    """Replace parts of run A."""
    path = run_file(root)
    body = json.loads(path.read_text("utf-8"))["mlflow"]
    write_document(path, {**body, **parts})


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"{", "is not valid JSON", id="cut off"),
        pytest.param(b'{"a": "\n"}', "is not valid JSON: Invalid control character", id="raw line break"),
        pytest.param(b'{"mlflow": "\xff"}', "is not UTF-8", id="not UTF-8"),
        pytest.param(b"[" * 100_000, "is not valid JSON", id="nested too deeply"),
        pytest.param(b"[]", "holds no JSON object", id="list"),
        pytest.param(b'{"info": {}}', "has no part `mlflow`", id="another tool's"),
        pytest.param(b'{"mlflow": {"params": {}}}', "has no part `info`", id="no info"),
        pytest.param(b'{"mlflow": {"info": {"experiment_id": "1"}}}', "states no run_id or run_uuid", id="no id"),
        pytest.param(b'{"mlflow": {"info": {"run_id": "x"}}}', "states no experiment_id", id="no experiment"),
        pytest.param(b'{"mlflow": {"info": {"run_id": ["x"]}}}', "expected text", id="id is a list"),
        pytest.param(b'{"mlflow": {"info": {"run_id": "\\ud800"}}}', "which is no text", id="id is no text"),
        pytest.param(None, "is not a regular file", id="link to nowhere"),
    ],
)
def test_a_run_that_cannot_be_read_is_told_and_the_rest_is_read(
    exported: Path, data: bytes | None, reason: str
) -> None:
    run_file(exported).unlink()
    if data is None:
        run_file(exported).symlink_to("nowhere")
    else:
        run_file(exported).write_bytes(data)
    found = read(exported)
    assert run_ids(found) == {B}
    ((key, said),) = gaps(found).items()
    assert key == ("run", A, "", "G201")
    assert said.startswith(f"experiments/1/runs/{A}/run.json")
    assert reason in said
    assert gaps(read(exported, runs=(A,))).keys() == {key}
    assert gaps(read(exported, experiments=("two",))) == {}
    assert gaps(read(exported, runs=(B,))) == {}


def test_a_missing_run_is_told_once(exported: Path) -> None:
    run_file(exported).unlink()
    found = read(exported)
    assert run_ids(found) == {B}
    ((key, said),) = gaps(found).items()
    assert key == ("run", A, "", "G201")
    assert "experiments/1/experiment.json lists it" in said


def test_a_run_in_the_folder_of_another_is_read_as_what_it_is(exported: Path) -> None:
    write_document(run_file(exported), run_body(Run(run_id=C, name="third"), "1"))
    found = read(exported)
    assert run_ids(found) == {B, C}
    assert f"runs/{A}/run.json is that of run {C}" in gaps(found)["run", A, "", "G201"]


def test_a_run_that_the_tool_could_not_export_is_told(exported: Path) -> None:
    path = exported / "experiments" / "2" / "experiment.json"
    body = json.loads(path.read_text("utf-8"))["mlflow"]
    write_document(path, body, info={"failed_runs": [C]})
    reason = "mlflow-export-import could not export it, as experiments/2/experiment.json says"
    assert gaps(read(exported)) == {("run", C, "", "G201"): reason}
    assert gaps(read(exported, experiments=("one",))) == {}


@pytest.mark.parametrize("damage", ["broken", "missing"])
def test_an_experiment_without_its_document_keeps_its_runs_and_its_name(exported: Path, damage: str) -> None:
    path = exported / "experiments" / "1" / "experiment.json"
    path.write_text("{") if damage == "broken" else path.unlink()
    found = read(exported)
    (row,) = found.rows("experiments", experiment_id="1")
    assert (row["name"], row["lifecycle_stage"], row["creation_time"]) == ("one", "active", None)
    assert run_ids(found) == {A, B}
    assert gaps(found).keys() == {("experiment", "1", "", "G301")}
    (exported / "experiments" / "experiments.json").unlink()
    found = read(exported)
    assert [row["name"] for row in found.rows("experiments", experiment_id="1")] == ["1"]
    assert gaps(found).keys() == {("experiment", "1", "", "G301")}


def test_a_broken_experiment_in_a_folder_of_any_name_is_that_of_its_runs(exported: Path) -> None:
    folder = (exported / "experiments" / "1").rename(exported / "basic")
    (folder / "experiment.json").write_text("{")
    found = read(folder)
    assert gaps(found).keys() == {("experiment", "1", "", "G301")}
    assert [row["experiment_id"] for row in found.tables["experiments"]] == ["1"]


def test_only_one_experiment_or_run_can_be_given(exported: Path) -> None:
    assert gaps(read(exported / "experiments" / "1")) == {}
    found = read(run_file(exported).parent)
    assert run_ids(found) == {A}
    assert sorted(found.paths(A)) == ["a/b.txt", "c"]
    assert gaps(found).keys() == {("experiment", "1", "", "G301")}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda path: None, "does not exist", id="nothing"),
        pytest.param(lambda path: path.write_text("x"), "is no folder", id="file"),
        pytest.param(lambda path: path.mkdir(), "holds no document of mlflow-export-import", id="empty"),
    ],
)
def test_what_is_no_export_is_refused(tmp_path: Path, make: Callable[[Path], object], message: str) -> None:
    make(tmp_path / "x")
    with pytest.raises(StoreError, match=message):
        EximSource(tmp_path / "x").facts()


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("history", "values"),
    [
        pytest.param([{"value": NAN, "timestamp": 1, "step": 0}], [(0, 1, "nan")], id="NaN as Python writes it"),
        pytest.param([{"value": "NaN", "timestamp": 1, "step": 0}], [(0, 1, "nan")], id="NaN as text"),
        pytest.param([{"value": -INF, "timestamp": 1, "step": -3}], [(-3, 1, "-inf")], id="infinity"),
        pytest.param([{"value": "Infinity", "timestamp": "1", "step": "2"}], [(2, 1, "inf")], id="all as text"),
        pytest.param([{"value": 7, "timestamp": 1}], [(0, 1, "7.0")], id="no step"),
        pytest.param([{"value": 0.1, "timestamp": 1, "step": 0}] * 2, [(0, 1, "0.1")] * 2, id="twice"),
        pytest.param([], [], id="no point"),
    ],
)
def test_points(exported: Path, history: list[dict[str, Any]], values: list[tuple[int, int, str]]) -> None:
    change_run(exported, metrics={"m": history})
    found = read(exported)
    assert [(row["step"], row["timestamp"], repr(row["value"])) for row in found.tables["metrics"]] == values
    assert gaps(found) == {}


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param({"value": "x", "timestamp": 1, "step": 0}, id="no number"),
        pytest.param({"value": True, "timestamp": 1, "step": 0}, id="true"),
        pytest.param({"value": 1.0, "timestamp": None, "step": 0}, id="no time"),
        pytest.param({"value": 1.0, "timestamp": 2**63, "step": 0}, id="time of 65 bits"),
        pytest.param({"value": 1.0, "timestamp": 1, "step": 0.5}, id="half a step"),
        pytest.param(0.5, id="a number alone"),
    ],
)
def test_points_that_are_malformed_are_told_once_a_key_the_others_kept(exported: Path, bad: Any) -> None:
    good = {"value": 1.5, "timestamp": 1, "step": 1}
    change_run(exported, metrics={"m": [bad, good, bad], "other": [good]})
    found = read(exported)
    assert [row["key"] for row in found.tables["metrics"]] == ["m", "other"]
    ((key, said),) = gaps(found).items()
    assert key == ("run", A, "metrics/m", "G202")
    assert said.startswith("point 0: ")
    assert said.endswith("2 points in all")
    assert A not in {row["owner_id"] for row in found.tables["fingerprints"]}


@pytest.mark.parametrize(
    ("parts", "gap"),
    [
        pytest.param({"params": {"p": ["x"]}}, "params/p", id="param is a list"),
        pytest.param({"params": "x"}, "params", id="params are text"),
        pytest.param({"tags": [{"value": "x"}]}, "tags/0", id="tag without key"),
        pytest.param({"tags": [{"key": "k", "value": "x"}, {"key": "k", "value": "y"}]}, "tags/k", id="tag twice"),
        pytest.param({"metrics": [1]}, "metrics", id="metrics are a list"),
        pytest.param({"params": {"\ud800": "x"}}, "params/\\ud800", id="a name that is no text"),
        pytest.param({"inputs": {"dataset_inputs": [{"dataset": {"name": "d"}}]}}, "inputs/dataset_inputs/0/dataset"),
        pytest.param({"inputs": {"model_inputs": [{"step": 1}]}}, "inputs/model_inputs/0", id="no model"),
        pytest.param({"outputs": {"model_outputs": {}}}, "outputs/model_outputs", id="outputs are an object"),
    ],
)
def test_fields_that_cannot_be_carried_are_told(exported: Path, parts: dict[str, Any], gap: str) -> None:
    change_run(exported, **parts)
    found = read(exported)
    assert gaps(found).keys() == {("run", A, gap, "G203")}
    assert run_ids(found) == {A, B}


@pytest.mark.parametrize(
    ("info", "column", "value", "gap"),
    [
        pytest.param({"start_time": "1684725509000"}, "start_time", 1684725509000, None, id="digits"),
        pytest.param({"start_time": "2023-05-22 03:18:29"}, "start_time", 1684725509000, None, id="for people"),
        pytest.param(
            {"start_time": None, "_start_time": "2023-05-22 03:18:29"}, "start_time", 1684725509000, None, id="only so"
        ),
        pytest.param({"start_time": 5, "_start_time": "2023-05-22 03:18:29"}, "start_time", 5, None, id="ms win"),
        pytest.param({"start_time": "soon", "_start_time": None}, "start_time", None, "start_time", id="no time"),
        pytest.param({"status": "3"}, "status", None, "status", id="no status"),
        pytest.param({"user_id": 7}, "user_id", "7", None, id="number for text"),
        pytest.param({"artifact_uri": "ftp://u:p@h/x"}, "artifact_uri", "ftp://h/x", None, id="password"),
    ],
)
def test_info(exported: Path, info: dict[str, Any], column: str, value: object, gap: str | None) -> None:
    body = json.loads(run_file(exported).read_text("utf-8"))["mlflow"]
    change_run(exported, info={**body["info"], **info})
    found = read(exported)
    assert [row[column] for row in found.rows("runs", run_id=A)] == [value]
    assert gaps(found).keys() == ({("run", A, gap, "G203")} if gap else set())


def test_fields_of_the_future_are_counted_and_change_nothing_else(exported: Path) -> None:
    points = [{"value": 1.0, "timestamp": 1, "step": step} for step in range(4)]
    change_run(exported, metrics={"m": points})
    before = read(exported)
    body = json.loads(run_file(exported).read_text("utf-8"))["mlflow"]
    metrics = {"m": [{**point, "new": new} for point, new in zip(points, (None, 1, 2, ""), strict=True)]}
    nothing: dict[str, Any] = {"blank": "", "null": None, "none": "None", "list": [], "object": {}, "_for_people": 1}
    change_run(exported, info={**body["info"], "later": False, **nothing}, future={"x": 1}, metrics=metrics, **nothing)
    found = read(exported)
    said = "this version knows no such field; this export met a value"
    assert gaps(found) == {
        ("source", "run", "future", "G404"): f"{said} once, such as in run {A}",
        ("source", "run", "info/later", "G404"): f"{said} once, such as in run {A}",
        ("source", "run", "metrics/new", "G404"): f"{said} 2 times, such as in run {A}",
    }
    assert before.rows("gaps") == []
    assert {**found.tables, "gaps": []} == before.tables


def test_the_name_may_be_only_a_tag(exported: Path) -> None:
    body = json.loads(run_file(exported).read_text("utf-8"))["mlflow"]
    del body["info"]["run_name"]
    change_run(exported, info=body["info"], tags={"mlflow.runName": "from the tag"})
    assert [row["run_name"] for row in read(exported).rows("runs", run_id=A)] == ["from the tag"]


class TestCopies:
    """A bulk export of models holds the runs of versions twice: with their experiment and with the model."""

    def copy_of(self, root: Path, **changes: Any) -> Path:
        system = {name: changes.pop(name) for name in ("export_time",) if name in changes}
        run = Run(**{"run_id": A, "name": "first", "params": {"lr": "0.1"}, **changes})
        return write_run(run, "1", root / "models" / "m" / A, **system)

    def test_equal_ones_are_one(self, exported: Path) -> None:
        self.copy_of(exported, artifacts={"a/b.txt": b"x", "c": b""})
        found = read(exported)
        assert len(found.tables["runs"]) == 2
        assert sorted(found.paths(A)) == ["a/b.txt", "c"]
        assert gaps(found) == {}

    @pytest.mark.parametrize(
        ("age", "kept", "said"),
        [
            pytest.param(-1, "0.1", f"models/m/{A}/run.json is older and describes it differently", id="older"),
            pytest.param(0, "0.1", f"models/m/{A}/run.json describes it differently", id="as old"),
            pytest.param(1, "0.2", f"experiments/1/runs/{A}/run.json is older and", id="newer"),
        ],
    )
    def test_of_different_ones_the_newest_counts_and_the_other_is_told(
        self, exported: Path, age: int, kept: str, said: str
    ) -> None:
        self.copy_of(exported, params={"lr": "0.2"}, export_time=SYSTEM["export_time"] + age)
        found = read(exported)
        assert [row["value"] for row in found.rows("params", run_id=A)] == [kept]
        assert gaps(found)["run", A, "", "G201"].startswith(said)

    def test_files_of_all_of_them_come(self, exported: Path) -> None:
        self.copy_of(exported, artifacts={"a/b.txt": b"longer", "model/MLmodel": b"m"})
        found = read(exported)
        assert {file.path: content(file) for file in found.artifacts} == {
            "a/b.txt": b"x",
            "c": b"",
            "model/MLmodel": b"m",
        }
        assert gaps(found).keys() == {("run", A, "a/b.txt", "G103")}

    def test_a_whole_copy_stands_in_for_a_broken_one_which_is_told(self, exported: Path) -> None:
        self.copy_of(exported)
        run_file(exported).write_text("{")
        found = read(exported)
        assert run_ids(found) == {A, B}
        assert gaps(found).keys() == {("run", A, "", "G201")}
        assert {row["owner_id"] for row in found.tables["fingerprints"]} == {B}


def test_what_lies_beside_the_documents(exported: Path) -> None:
    (exported / "experiments" / "1" / "runs" / C / "artifacts").mkdir(parents=True)
    (exported / "experiments" / "1" / "runs" / C / "artifacts" / "x").write_text("x")
    (exported / "notes.json").write_text("{}")
    (exported / "README.md").write_text("x")
    (exported / "manifest.json").write_text("{}")
    (exported / "experiments" / "experiments.json").write_text("{")
    (exported / "elsewhere").symlink_to(exported / "experiments")
    found = read(exported)
    assert run_ids(found) == {A, B}
    assert gaps(found).keys() == {
        ("run", C, "", "G201"),
        ("folder", "notes.json", "", "G403"),
        ("folder", "elsewhere", "", "G403"),
        ("folder", "experiments/experiments.json", "", "G403"),
    }


def test_files_of_artifacts_are_never_taken_for_documents(exported: Path) -> None:
    folder = run_file(exported).parent / "artifacts"
    write_document(folder / "run.json", run_body(Run(run_id=C), "1"))
    write_document(folder / "deep" / "experiment.json", {"experiment": {"experiment_id": "9", "name": "nine"}})
    found = read(exported)
    assert run_ids(found) == {A, B}
    assert {"run.json", "deep/experiment.json"} <= found.paths(A).keys()
    assert gaps(found) == {}


def test_a_model_may_be_named_artifacts(exported: Path) -> None:
    write_document(exported / "models" / "artifacts" / "model.json", {"registered_model": {"name": "artifacts"}})
    found = read(exported)
    assert [row["name"] for row in found.tables["registered_models"]] == ["artifacts"]


def test_artifacts_out_of_the_folder_are_not_followed(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    (run_file(exported).parent / "artifacts" / "link").symlink_to(tmp_path / "secret")
    found = read(exported)
    assert sorted(found.paths(A)) == ["a/b.txt", "c"]
    assert gaps(found).keys() == {("run", A, "link", "G102")}


def test_a_long_history_comes_in_parts(tmp_path: Path) -> None:
    points = tuple(Point(key="m", value=float(step), step=step) for step in range(25))
    runs = (Run(run_id=A, metrics=points[:3]), Run(run_id=B, metrics=points, artifacts={"x": b"y"}), Run(run_id=C))
    root = write_exim(Store(experiments=(Experiment(experiment_id="1", name="one", runs=runs),)), tmp_path / "x")
    found = read_source(EximSource(root, points_per_chunk=10))
    parts = [(chunk.complete, chunk.tables["metrics"].num_rows) for chunk in found.chunks if "metrics" in chunk.tables]
    assert parts == [(True, 3), (False, 10), (False, 10), (True, 5)]
    assert [row["step"] for row in found.rows("metrics", run_id=B)] == list(range(25))
    assert [file.owner_id for chunk in found.chunks for file in chunk.artifacts if chunk.complete] == [B]
    assert len(found.tables["fingerprints"]) == 3


def test_parents_come_before_their_children_and_loops_come_too(tmp_path: Path) -> None:
    parents = {C: B, B: A, "d" * 32: "e" * 32, "e" * 32: "d" * 32, "f" * 32: "f" * 32}
    runs = tuple(
        Run(run_id=each, tags={"mlflow.parentRunId": parents[each]} if each in parents else {})
        for each in (C, B, A, "d" * 32, "e" * 32, "f" * 32)
    )
    root = write_exim(Store(experiments=(Experiment(experiment_id="1", name="one", runs=runs),)), tmp_path / "x")
    stages = {}
    for shard in read_source(EximSource(root)).shards:
        for run_id in shard.payload.ids if shard.kind == RUN and shard.weight else ():  # type: ignore[attr-defined]
            stages[run_id] = shard.stage
    assert len(stages) == 6
    assert stages[A] < stages[B] < stages[C]


def test_a_document_that_changes_between_plan_and_read_is_told(exported: Path) -> None:
    source = EximSource(exported)
    source.facts()
    run_file(exported).write_text("{")
    found = read_source(source)
    assert run_ids(found) == {B}
    assert gaps(found).keys() == {("run", A, "", "G201")}


def test_nan_values_make_no_difference_between_equal_copies(exported: Path) -> None:
    history = {"m": [{"value": math.nan, "timestamp": 1, "step": 0}]}
    change_run(exported, metrics=history)
    body = json.loads(run_file(exported).read_text("utf-8"))["mlflow"]
    write_document(exported / "models" / "m" / A / "run.json", body)
    assert gaps(read(exported)) == {}
