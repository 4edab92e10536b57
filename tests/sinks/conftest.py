"""Two places to replay into, a server and a store in this process, and a view of each by MLflow's own client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from mlflow_archive.flow.copy import copy
from mlflow_archive.flow.report import Report
from mlflow_archive.sinks.replay import ReplayOptions, ReplaySink, Target, open_target
from tests.contracts.source_contract import example
from tests.sinks.filled_servers import Both, both_servers
from tests.support.chunks import ChunkSource
from tests.support.mlflow_server import MlflowServer
from tests.support.mlruns import write_store
from tests.support.restoring import export
from tests.support.trace_views import TracePlace


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """An archive of a file store with some of everything that such a store has."""
    write_store(example(""), tmp_path / "mlruns")
    return export(str(tmp_path / "mlruns"), tmp_path / "store.mlfa")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Somewhere to replay into; ``name`` is a name for an experiment that no other test uses."""

    kind: str
    uri: str
    artifact_root: str | None
    folder: Path
    name: str

    def open(self) -> Target:
        return open_target(self.uri, artifact_root=self.artifact_root)

    def replay(
        self, source: ChunkSource, *, wrap: Callable[[Target], Target] = lambda target: target, **options: Any
    ) -> Report:
        sink = ReplaySink(wrap(self.open()), options=ReplayOptions(**options))
        return copy(source, sink, jobs=2)

    def files(self, run: Any) -> dict[str, bytes]:
        """Return the artifacts of a run of MLflow's client as they lie on disk."""
        root = self.folder / run.info.experiment_id / run.info.run_id / "artifacts"
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    def client(self) -> Any:
        from mlflow import MlflowClient  # noqa: PLC0415 - takes seconds

        return MlflowClient(self.uri)

    def runs(self, name: str | None = None) -> dict[str, Any]:
        """Return the runs of an experiment by name, deleted ones too; each name must be there once."""
        client = self.client()
        experiment = client.get_experiment_by_name(name or self.name)
        found = client.search_runs([experiment.experiment_id], run_view_type=3, max_results=1000)
        by_name = {run.info.run_name: run for run in found}
        assert len(by_name) == len(found), "a run is there twice"
        return by_name


@pytest.fixture(scope="session")
def store_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(params=["server", "store"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    name = f"{request.node.originalname}-{uuid4().hex[:8]}"
    if request.param == "server":
        server: MlflowServer = request.getfixturevalue("mlflow_server")
        yield Place(kind="server", uri=server.uri, artifact_root=None, folder=server.artifacts, name=name)
    else:
        folder: Path = request.getfixturevalue("store_folder")
        root = folder / "artifacts"
        yield Place(
            kind="store", uri=f"sqlite:///{folder / 'mlflow.db'}", artifact_root=str(root), folder=root, name=name
        )


@pytest.fixture
def view(place: Place, request: pytest.FixtureRequest) -> TracePlace:
    if place.kind == "server":
        server: MlflowServer = request.getfixturevalue("mlflow_server")
        return TracePlace(uri=server.uri, database=server.database, artifacts=server.artifacts)
    return TracePlace(uri=place.uri, database=place.folder.parent / "mlflow.db", artifacts=place.folder)


@pytest.fixture(scope="session")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    with both_servers(tmp_path_factory.mktemp("both")) as servers:
        yield servers
