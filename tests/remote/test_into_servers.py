"""An archive in a bucket goes back into MLflow as one on a disk does."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow import MlflowClient

from mlflow_archive_cli.main import run
from tests.contracts.source_contract import example
from tests.support.counted_store import CountedBucket
from tests.support.memory_source import MemoryOptions, export, run_id
from tests.support.mlflow_server import MlflowServer
from tests.support.mlruns import write_store
from tests.support.restoring import content
from tests.support.restoring import export as export_from


def test_imported_into_a_server(counted: CountedBucket, mlflow_server: MlflowServer, tmp_path: Path) -> None:
    export(tmp_path / "backup", MemoryOptions(runs=2, sizes=(300, 5_000_000)))
    counted.upload(tmp_path / "backup", "backup")
    prefix = "from a bucket/"
    assert run(["import", "s3://bucket/backup", "--to", mlflow_server.uri, "--experiment-prefix", prefix, "-q"]) == 0
    client = MlflowClient(mlflow_server.uri)
    experiments = [e.experiment_id for e in client.search_experiments(filter_string=f"name LIKE '{prefix}%'")]
    runs = client.search_runs(experiments)
    assert {found.data.tags["mlflow_export_import.run_info.run_id"] for found in runs} == {run_id(0), run_id(1)}
    for found in runs:
        files = client.list_artifacts(found.info.run_id, "model")
        assert sorted(file.file_size for file in files) == [300, 5_000_000]


def test_restored_into_a_database(counted: CountedBucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_store(example(""), tmp_path / "mlruns")
    archive = export_from(str(tmp_path / "mlruns"), tmp_path / "a")
    counted.upload(archive, "backup")
    database = f"sqlite:///{tmp_path / 'mlflow.db'}"
    words = ["restore", "s3://bucket/backup", "--to", database, "--artifact-root", str(tmp_path / "root"), "-q"]
    assert run(words) == 0, capsys.readouterr()
    again = content(export_from(database, tmp_path / "b"))
    assert again["artifacts"] == content(archive)["artifacts"]
    assert again["metrics"] == content(archive)["metrics"]
