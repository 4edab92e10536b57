"""What of a file store is selected, how it is cut into shards, and what is skipped as unchanged."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlflow_archive.errors import SelectionError
from mlflow_archive.flow.report import Quiet
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.mlruns import MlrunsSource
from tests.support.mlruns import Dataset, DatasetInput, Experiment, Point, Run, Store, write_store
from tests.support.reading import Read, read_source

DAY = 86_400_000


def run_id(number: int) -> str:
    return f"{number:032x}"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three experiments: ``one`` with runs 0-4, ``two`` with none, ``gone`` deleted with run 9."""
    dataset = Dataset(name="iris", digest="ab")
    runs = tuple(
        Run(
            run_id=run_id(number),
            name=f"run {number}",
            start_time=number * DAY,
            deleted=number == 4,
            params={"p": str(number)},
            tags={"t": "x"},
            metrics=(Point(key="m", value=number, step=0), Point(key="m", value=-number, step=1)),
            artifacts={"f": b"x"},
            inputs=(DatasetInput(dataset=dataset, tags={"mlflow.data.context": "train"}),) if number == 2 else (),
        )
        for number in range(5)
    )
    path = tmp_path / "mlruns"
    write_store(
        Store(
            experiments=(
                Experiment(experiment_id="1", name="one", runs=runs),
                Experiment(experiment_id="2", name="two"),
                Experiment(experiment_id="3", name="gone", deleted=True, runs=(Run(run_id=run_id(9)),)),
            )
        ),
        path,
    )
    return path


def ids(found: Read) -> list[int]:
    return [int(row["run_id"], 16) for row in found.tables["runs"]]


def experiments(found: Read) -> list[str]:
    return [row["experiment_id"] for row in found.tables["experiments"]]


@pytest.mark.parametrize(
    ("selection", "runs", "kept"),
    [
        (Selection(), [0, 1, 2, 3, 4, 9], ["1", "2", "3"]),
        (Selection(experiments=("one",)), [0, 1, 2, 3, 4], ["1"]),
        (Selection(experiments=("3", "tw*")), [9], ["2", "3"]),
        (Selection(deleted=False), [0, 1, 2, 3], ["1", "2"]),
        (Selection(runs=(run_id(3), run_id(9))), [3, 9], ["1", "3"]),
        (Selection(since_ms=DAY, until_ms=3 * DAY), [1, 2], ["1", "2", "3"]),
        (Selection(filter_string="metrics.m <= -2 AND params.p != '3'"), [2, 4], ["1"]),
        (Selection(filter_string="attributes.run_name LIKE '%1'"), [1], ["1"]),
        (Selection(filter_string="dataset.name = 'iris'"), [2], ["1"]),
        (Selection(filter_string="start_time > 0", until_ms=3 * DAY), [1, 2], ["1"]),
        (Selection(filter_string="params.p = 'none'"), [], []),
    ],
)
def test_selection(root: Path, selection: Selection, runs: list[int], kept: list[str]) -> None:
    found = read_source(MlrunsSource(root), selection)
    assert ids(found) == runs
    assert experiments(found) == kept


@pytest.mark.parametrize(
    ("selection", "words"),
    [
        (
            Selection(experiments=("one", "none*"), on_missing="fail"),
            "'none*'; there are 'one' (id 1), 'gone' (id 3), 'two' (id 2)",
        ),
        (Selection(experiments=("gone",), deleted=False), "deleted ones are left out"),
        (Selection(runs=(run_id(1), "nope"), on_missing="fail"), "matches 'nope'; there are 0000"),
        (Selection(runs=(run_id(9),), experiments=("one",)), "there are 0000"),
        (Selection(filter_string="metrics.m >"), "not in MLflow's search syntax"),
        (Selection(filter_string="nonsense.m = 1"), "Invalid entity type"),
    ],
)
def test_what_does_not_exist_is_refused_before_the_first_shard(root: Path, selection: Selection, words: str) -> None:
    with pytest.raises(SelectionError) as refused:
        next(MlrunsSource(root).plan(selection, Quiet()))
    assert words in str(refused.value)


def test_shards_hold_a_hundred_runs_behind_the_experiments(tmp_path: Path) -> None:
    runs = tuple(Run(run_id=run_id(number)) for number in range(201))
    write_store(Store(experiments=(Experiment(experiment_id="3", name="many", runs=runs),)), tmp_path / "mlruns")
    found = read_source(MlrunsSource(tmp_path / "mlruns"))
    assert [(shard.name, shard.weight) for shard in found.shards] == [
        ("experiments from 0", 0),
        ("experiment 3, runs 0-99", 100),
        ("experiment 3, runs 100-199", 100),
        ("experiment 3, runs 200-200", 1),
        ("fields that this version does not know", 0),
    ]
    assert experiments(found) == ["3"]
    assert ids(found) == list(range(201))


def test_facts_name_the_place(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root.parent)
    facts = MlrunsSource(Path("mlruns")).facts()
    assert (facts.kind, facts.uri) == ("mlruns", f"file:{root.as_posix()}")


def known_of(found: Read) -> dict[str, str]:
    return {row["owner_id"]: row["fingerprint"] for row in found.tables["fingerprints"]}


def test_unchanged_runs_are_skipped(root: Path) -> None:
    known = known_of(read_source(MlrunsSource(root)))
    again = read_source(MlrunsSource(root), known=lambda kind, each: known.get(each) if kind == "run" else None)
    assert ids(again) == []
    assert again.artifacts == []
    assert experiments(again) == ["1", "2", "3"]


@pytest.mark.parametrize(
    "change",
    ["tags/t", "tags/new", "params/new", "metrics/m", "artifacts/f", "artifacts/new", "meta.yaml"],
)
def test_changed_runs_come_again(root: Path, change: str) -> None:
    known = known_of(read_source(MlrunsSource(root)))
    path = root / "1" / run_id(1) / change
    if change == "meta.yaml":
        path.write_text(path.read_text("utf-8").replace("status: 3", "status: 4"), "utf-8")
    else:
        with path.open("a") as file:
            file.write("9 9 9\n")
    again = read_source(MlrunsSource(root), known=lambda kind, each: known.get(each))
    assert ids(again) == [1]


def test_a_run_with_gaps_has_no_fingerprint_and_is_never_skipped(root: Path) -> None:
    known = known_of(read_source(MlrunsSource(root)))
    with (root / "1" / run_id(1) / "metrics" / "m").open("a") as file:
        file.write("broken\n")
    again = read_source(MlrunsSource(root), known=lambda kind, each: known.get(each))
    assert ids(again) == [1]
    assert again.tables["fingerprints"] == []
