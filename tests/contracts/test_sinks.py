"""Every sink keeps the contract."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from mlflow_archive.errors import NotAnArchiveError
from mlflow_archive.flow.sink import Sink
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.sinks.counting import CountingSink
from mlflow_archive.sinks.replay import ReplaySink, open_target
from mlflow_archive.writer.export import ArchiveSink
from tests.contracts.sink_contract import SinkContract
from tests.support.mlflow_server import MlflowServer

SOURCE_ID = "mlflow_export_import.run_info.run_id"
INCOMPLETE = "mlflow_archive.import_state"


class TestArchiveSink(SinkContract):
    @pytest.fixture(autouse=True, params=["archive", "archive.mlfa"])
    def _place(self, request: pytest.FixtureRequest, tmp_path: Path) -> None:
        self.path = tmp_path / request.param

    def made(self) -> Sink:
        return ArchiveSink(self.path, tool="test 1", clock_ms=lambda: 0)

    def name(self) -> str:
        return "seven"

    def points(self) -> dict[str, int]:
        try:
            with open_archive(self.path) as archive:
                runs = archive.table("metrics", columns=["run_id"])["run_id"].to_pylist()
        except NotAnArchiveError:
            return {}
        return {run_id: runs.count(run_id) for run_id in runs}


class TestReplaySink(SinkContract):
    @pytest.fixture(autouse=True, params=["server", "store"])
    def _place(self, request: pytest.FixtureRequest) -> None:
        self.experiment = f"contract {uuid4().hex}"
        if request.param == "server":
            server: MlflowServer = request.getfixturevalue("mlflow_server")
            self.uri, self.root = server.uri, None
        else:
            folder: Path = request.getfixturevalue("store_folder")
            self.uri, self.root = f"sqlite:///{folder / 'mlflow.db'}", str(folder / "artifacts")

    def made(self) -> Sink:
        return ReplaySink(open_target(self.uri, artifact_root=self.root))

    def name(self) -> str:
        return self.experiment

    def points(self) -> dict[str, int]:
        from mlflow import MlflowClient  # noqa: PLC0415 - takes seconds

        client = MlflowClient(self.uri)
        experiment = client.get_experiment_by_name(self.experiment)
        runs = [] if experiment is None else client.search_runs([experiment.experiment_id], run_view_type=3)
        complete = [run for run in runs if INCOMPLETE not in run.data.tags]
        found = {
            run.data.tags[SOURCE_ID]: sum(
                len(client.get_metric_history(run.info.run_id, key)) for key in run.data.metrics
            )
            for run in complete
        }
        assert len(found) == len(complete), "a run is there twice"
        return found


@pytest.fixture(scope="module")
def store_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("contract-store")


class TestCountingSink(SinkContract):
    def made(self) -> Sink:
        return CountingSink()

    def name(self) -> str:
        return "seven"

    def points(self) -> None:
        return None
