"""export --from exim:DIR, and on into another server: what users of mlflow-export-import do once."""

from __future__ import annotations

import json
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest

from mlflow_archive.reader.archive import open_archive
from tests.cli.conftest import Command
from tests.support.corpora import exim_sample
from tests.support.exim import write_exim
from tests.support.mlruns import Dataset, DatasetInput, Experiment, Point, Run, Store

A, B, C = "a" * 32, "b" * 32, "c" * 32
P = "mlflow_export_import."


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    runs = (
        Run(
            run_id=A,
            name="first",
            user_id="ada",
            params={"lr": "0.1"},
            tags={"mlflow.runName": "first", "mlflow_exim.run_info.run_id": "0" * 32, f"{P}run_info.run_id": "1" * 32},
            metrics=tuple(Point(key="loss", value=value, step=step) for step, value in enumerate((1.0, 0.5))),
            artifacts={"a/b ü.txt": b"x" * 10, "big": b"y" * 2000},
            inputs=(DatasetInput(dataset=Dataset(name="iris", digest="d1"), tags={"mlflow.data.context": "train"}),),
        ),
        Run(run_id=B, name="child", tags={"mlflow.runName": "child", "mlflow.parentRunId": A}, status="FAILED"),
        Run(run_id=C, name="gone", tags={"mlflow.runName": "gone"}, deleted=True),
    )
    store = Store(experiments=(Experiment(experiment_id="7", name="one/two", tags={"team": "ü"}, runs=runs),))
    return write_exim(store, tmp_path / "exported")


def test_export(cli: Command, exported: Path, tmp_path: Path) -> None:
    ran = cli("export", tmp_path / "x.mlfa", "--from", f"exim:{exported}", "--report", tmp_path / "report.json")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(
        f"exported file:{exported} to {tmp_path / 'x.mlfa'}\n  experiments     1\n  runs            3\n"
    )
    assert json.loads((tmp_path / "report.json").read_text())["source"] == {
        "kind": "exim",
        "uri": f"file:{exported}",
        "mlflow_version": "2.3.2",
        "extra": {
            "package_version": "1.2.0",
            "tracking_uri": "http://tracking:5000",
            "exported_ms": "1684725509000",
        },
    }
    for path in tmp_path.iterdir():
        assert b"s3cret" not in (path.read_bytes() if path.is_file() else b"")


def test_broken_json_is_listed_and_the_exit_code_is_3(cli: Command, tmp_path: Path) -> None:
    sample = exim_sample("oss_mlflow/bulk/experiments")
    ran = cli("export", tmp_path / "x.mlfa", "--from", f"exim:{sample}")
    assert ran.code == 3
    assert "2/experiment.json is not valid JSON" in ran.err
    assert "  runs         3\n" in ran.out


def test_append_adds_what_is_new(cli: Command, exported: Path, tmp_path: Path) -> None:
    target = tmp_path / "x.mlfa"
    assert cli("export", target, "--from", f"exim:{exported}", "--no-deleted").code == 0
    added = cli("export", target, "--from", f"exim:{exported}", "--append")
    assert added.code == 0
    assert "  runs         1\n" in added.out
    nothing = cli("export", target, "--from", f"exim:{exported}", "--append")
    assert nothing.out.startswith("nothing is new at")


@pytest.mark.parametrize(
    ("source", "options", "code", "message"),
    [
        pytest.param("exim:", [], 2, "exim: names no folder; give exim:DIR", id="no folder"),
        pytest.param("exim:nowhere", [], 1, "nowhere does not exist", id="not there"),
        pytest.param("exim:empty", [], 1, "holds no document of mlflow-export-import", id="another folder"),
        pytest.param("exported", [], 2, "give exim:exported", id="the scheme forgotten"),
        pytest.param("exim:exported", ["--artifact-map", "a=b"], 2, "--artifact-map is of no use", id="map"),
        pytest.param("exim:exported", ["--experiment", "x"], 2, "no experiment of", id="no such experiment"),
        pytest.param("exim:exported", ["--model", "x"], 2, "no registered model of", id="no such model"),
    ],
)
def test_what_is_refused(
    cli: Command,
    exported: Path,
    tmp_path: Path,
    source: str,
    options: list[str],
    code: int,
    message: str,
) -> None:
    (tmp_path / "empty").mkdir()
    with chdir(exported.parent):
        ran = cli("export", tmp_path / "x.mlfa", "--from", source, *options)
    assert ran.code == code
    assert message in ran.err
    assert not (tmp_path / "x.mlfa").exists()


def test_into_another_store(cli: Command, exported: Path, tmp_path: Path) -> None:
    """Every value as MLflow's client has it, and its origin is the server that mlflow-export-import read."""
    from mlflow import MlflowClient  # noqa: PLC0415 - takes seconds

    archive, receipt = tmp_path / "x.mlfa", tmp_path / "receipt.json"
    assert cli("export", archive, "--from", f"exim:{exported}").code == 0
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    ran = cli("import", archive, "--to", uri, "--artifact-root", tmp_path / "artifacts", "--receipt", receipt)
    assert ran.code == 0, ran.err
    ids = json.loads(receipt.read_text())["runs"]
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("one/two")
    assert experiment.tags["team"] == "ü"
    run = client.get_run(ids[A])
    assert (run.info.run_name, run.info.status, run.info.start_time, run.info.end_time, run.info.user_id) == (
        "first",
        "FINISHED",
        1_700_000_000_000,
        1_700_000_001_000,
        "ada",
    )
    assert run.data.params == {"lr": "0.1"}
    history = client.get_metric_history(ids[A], "loss")
    assert [(point.step, point.value, point.timestamp) for point in history] == [
        (0, 1.0, 1_700_000_000_000),
        (1, 0.5, 1_700_000_000_000),
    ]
    (given,) = run.inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest, given.tags[0].value) == ("iris", "d1", "train")
    assert files(run.info.artifact_uri) == {"a/b ü.txt": b"x" * 10, "big": b"y" * 2000}
    assert client.get_run(ids[B]).data.tags["mlflow.parentRunId"] == ids[A]
    assert client.get_run(ids[C]).info.lifecycle_stage == "deleted"
    tags = run.data.tags
    assert {name: tags[P + name] for name in EXPECTED} == EXPECTED
    assert "mlflow_exim.run_info.run_id" not in tags
    again = cli("import", archive, "--to", uri, "--artifact-root", tmp_path / "artifacts")
    assert "  skipped      3\n" in again.out


EXPECTED = {
    "run_info.run_id": A,
    "run_info.experiment_id": "7",
    "metadata.tracking_uri": "http://tracking:5000",
    "metadata.mlflow_version": "2.3.2",
    "metadata.experiment_name": "one/two",
    "metadata.timestamp": "1684725509",
    "metadata.timestamp_nice": "2023-05-22 03:18:29",
    # What imports before left, in both dialects.
    "lineage.1.mlflow_exim.run_info.run_id": "0" * 32,
    "lineage.1.run_info.run_id": "1" * 32,
}


def files(artifact_uri: str) -> dict[str, bytes]:
    root = Path(artifact_uri.removeprefix("file://"))
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_samples_go_into_a_store(cli: Command, tmp_path: Path) -> None:
    """Two layouts, both dialects of source tags, an experiment that is broken: all runs arrive."""
    archive = tmp_path / "x.mlfa"
    assert cli("export", archive, "--from", f"exim:{exim_sample('oss_mlflow')}", "--only", "runs").code == 3
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    ran = cli("import", archive, "--to", uri, "--artifact-root", tmp_path / "artifacts")
    assert ran.code == 0, ran.err
    with open_archive(archive) as opened:
        runs: list[Any] = opened.table("runs")["run_id"].to_pylist()
    assert ["created", str(len(runs))] in [line.split() for line in ran.out.splitlines()]
    assert len(runs) == 6
