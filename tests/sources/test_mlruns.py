"""Real file stores: what was counted in them, and every value as MLflow's own reader has it."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from mlflow_archive.flow.chunk import ArtifactFile
from mlflow_archive.sources.mlruns import MlrunsSource
from tests.support.corpora import FILE_STORES, store_facts, store_path
from tests.support.mlruns import (
    PARENT_TAG,
    RUN_NAME_TAG,
    STATUSES,
    Dataset,
    DatasetInput,
    Experiment,
    Point,
    Run,
    Store,
    write_store,
)
from tests.support.reading import Read, bits, content, read_source

RUN_ID = "0123456789abcdef0123456789abcdef"
OTHER_ID = "fedcba9876543210fedcba9876543210"


@pytest.mark.parametrize(("corpus", "store"), FILE_STORES, ids=[corpus for corpus, _ in FILE_STORES])
def test_real_stores_have_the_counted_content(corpus: str, store: str) -> None:
    facts = store_facts(corpus, store)
    root = store_path(corpus, store)
    found = read_source(MlrunsSource(root))
    trash = root / ".trash"
    of_runs = [file for file in found.artifacts if file.owner_kind == "run"]
    beside = [file for file in of_runs if run_folder(root, file.owner_id) not in place(file).parents]
    counted = [file for file in of_runs if file not in beside]
    runs = found.rows("runs")
    assert {
        "experiments": len(found.rows("experiments")),
        "experiments_in_trash": len(found.rows("experiments", lifecycle_stage="deleted")),
        "experiment_tags": len(found.rows("experiment_tags")),
        "runs": len(runs),
        "runs_active": len(found.rows("runs", lifecycle_stage="active")),
        "runs_deleted": len(found.rows("runs", lifecycle_stage="deleted")),
        "runs_in_trash": sum((trash / row["experiment_id"]).exists() for row in runs),
        "runs_without_end_time": len(found.rows("runs", end_time=None)),
        "run_status": {
            str(number): count
            for number, name in enumerate(STATUSES, start=1)
            if (count := len(found.rows("runs", status=name)))
        },
        "params": len(found.rows("params")),
        "max_param_len": max(len(row["value"]) for row in found.rows("params")),
        "tags": len(found.rows("tags")),
        "nested_runs": len(found.rows("tags", key=PARENT_TAG)),
        "metric_points": len(found.rows("metrics")),
        "metric_keys": len({(row["run_id"], row["key"]) for row in found.rows("metrics")}),
        "artifact_files": len(counted),
        "artifact_bytes": sum(file.size or 0 for file in counted),
    } == {name: facts.get(name, 0) for name in COUNTED}
    # Artifacts of two trashed runs lie at the top of the store, where their artifact_uri says; FACTS.json counts only
    # what lies below runs.
    assert len(beside) == (19 if corpus.startswith("LostPet") else 0)
    assert all(len(content(file)) == file.size for file in found.artifacts)
    assert found.gaps() == set()
    assert len(found.rows("fingerprints", owner_kind="run")) == len(runs)


COUNTED = (
    "experiments",
    "experiments_in_trash",
    "experiment_tags",
    "runs",
    "runs_active",
    "runs_deleted",
    "runs_in_trash",
    "runs_without_end_time",
    "run_status",
    "params",
    "max_param_len",
    "tags",
    "nested_runs",
    "metric_points",
    "metric_keys",
    "artifact_files",
    "artifact_bytes",
)


def run_folder(root: Path, run_id: str) -> Path:
    return next(path for pattern in ("*", ".trash/*") for path in root.glob(f"{pattern}/{run_id}"))


def place(file: ArtifactFile) -> Path:
    with file.open() as stream:
        return Path(f"/proc/self/fd/{stream.raw._file.fileno()}").readlink()  # type: ignore[attr-defined]


@pytest.fixture
def file_store_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")


@pytest.mark.usefixtures("file_store_allowed")
@pytest.mark.parametrize(("corpus", "store"), FILE_STORES, ids=[corpus for corpus, _ in FILE_STORES])
def test_every_value_is_what_mlflow_reads(corpus: str, store: str, tmp_path: Path) -> None:
    copy = tmp_path / "mlruns"
    shutil.copytree(store_path(corpus, store), copy, ignore=shutil.ignore_patterns("artifacts"))
    assert_as_mlflow_reads(copy)


@pytest.mark.usefixtures("file_store_allowed")
def test_a_written_store_is_what_mlflow_reads(tmp_path: Path) -> None:
    """The builder writes what MLflow's own reader takes for the same values."""
    root = tmp_path / "mlruns"
    dataset = Dataset(name="d e", digest="ab12", schema='{"a": 1}')
    run = Run(
        run_id=RUN_ID,
        name="123",
        params={"a/b c": "x\r\ny\n", "empty": ""},
        tags={RUN_NAME_TAG: "123", "no": "no", "long": "t" * 8000},
        metrics=(
            Point(key="m/k", value=math.nan, step=-2),
            Point(key="m/k", value=math.inf),
            Point(key="z", value=1.5),
        ),
        inputs=(DatasetInput(dataset=dataset, tags={"mlflow.data.context": "train"}),),
    )
    deleted = Run(run_id=OTHER_ID, deleted=True, deleted_time=5, status="KILLED", end_time=None)
    write_store(
        Store(
            experiments=(
                Experiment(experiment_id="0", name="0123", tags={"k": "v"}, runs=(run,)),
                Experiment(experiment_id="7", name="gone", deleted=True, runs=(deleted,)),
            )
        ),
        root,
    )
    assert_as_mlflow_reads(root)


def assert_as_mlflow_reads(root: Path) -> None:
    from mlflow.entities import ViewType  # noqa: PLC0415
    from mlflow.store.tracking.file_store import FileStore  # noqa: PLC0415

    found = read_source(MlrunsSource(root))
    for meta in [*root.glob("*/*/meta.yaml"), *root.glob(".trash/*/*/meta.yaml")]:
        if meta.parent.parent.name != "models":
            for name in ("metrics", "params", "artifacts"):
                (meta.parent / name).mkdir(exist_ok=True)
    store = FileStore(str(root))
    experiments = {each.experiment_id: each for each in store.search_experiments(ViewType.ALL)}
    assert set(experiments) == {row["experiment_id"] for row in found.rows("experiments")}
    for row in found.rows("experiments"):
        theirs = experiments[row["experiment_id"]]
        # Where the folder lies in the trash the row says deleted, whatever the file says.
        stage = "deleted" if (root / ".trash" / theirs.experiment_id).exists() else theirs.lifecycle_stage
        assert (row["name"], row["artifact_location"], row["lifecycle_stage"]) == (
            theirs.name,
            theirs.artifact_location,
            stage,
        )
        assert (row["creation_time"], row["last_update_time"]) == (theirs.creation_time, theirs.last_update_time)
        ours = {tag["key"]: tag["value"] for tag in found.rows("experiment_tags", experiment_id=row["experiment_id"])}
        assert ours == theirs.tags
    runs = {run.info.run_id: run for run in store.search_runs(list(experiments), "", ViewType.ALL, 50_000)}
    assert set(runs) == {row["run_id"] for row in found.rows("runs")}
    for row in found.rows("runs"):
        assert_same_run(found, row, runs[row["run_id"]], store)


def assert_same_run(found: Read, row: dict[str, Any], theirs: Any, store: Any) -> None:
    info, run_id = theirs.info, row["run_id"]
    names = ("experiment_id", "user_id", "status", "start_time", "end_time", "lifecycle_stage", "artifact_uri")
    assert {name: row[name] for name in names} == {name: getattr(info, name) for name in names}
    assert row["run_name"] == (info.run_name or None)
    for table, values in (("params", theirs.data.params), ("tags", theirs.data.tags)):
        assert {each["key"]: each["value"] for each in found.rows(table, run_id=run_id)} == values
    assert {each["key"] for each in found.rows("metrics", run_id=run_id)} == set(theirs.data.metrics)
    for key in theirs.data.metrics:
        history = [(p.step, p.timestamp, bits(p.value)) for p in store.get_metric_history(run_id, key)]
        ours = found.rows("metrics", run_id=run_id, key=key)
        assert [(each["step"], each["timestamp"], bits(each["value"])) for each in ours] == history
    inputs = {
        (each.dataset.name, each.dataset.digest): {tag.key: tag.value for tag in each.tags}
        for each in theirs.inputs.dataset_inputs
    }
    assert {
        (each["dataset_name"], each["dataset_digest"]): {
            tag["key"]: tag["value"]
            for tag in found.rows("dataset_input_tags", run_id=run_id, dataset_name=each["dataset_name"])
        }
        for each in found.rows("dataset_inputs", run_id=run_id)
    } == inputs
