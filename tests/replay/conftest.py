"""A filled source server, its archive, and places to replay that into."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from mlflow import MlflowClient

from mlflow_archive.flow.copy import copy
from mlflow_archive.flow.report import Report
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.reader.source import ArchiveSource
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sinks.replay import ReplayOptions, ReplaySink, Target, open_target
from mlflow_archive.sinks.replay.locate import locate_replay
from tests.replay.filling import Filled, fill
from tests.support.chunks import ChunkSource
from tests.support.mlflow_server import MlflowServer, running_server
from tests.support.restoring import export


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Somewhere to replay into. Names in it start with ``prefix``, which no other test uses."""

    uri: str
    folder: Path
    artifact_root: str | None
    prefix: str

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.uri)

    def replay(
        self,
        archive: Path,
        *,
        selection: Selection | None = None,
        jobs: int = 2,
        **options: Any,
    ) -> Report:
        """Replay an archive as the command does."""
        with open_archive(archive) as opened:
            replay_options = self._options({**options, "artifact_root": self.artifact_root})
            sink = locate_replay(self.uri, opened, options=replay_options)
            return copy(ArchiveSource(opened), sink, selection, jobs=jobs)

    def replay_source(
        self, source: ChunkSource, *, wrap: Callable[[Target], Target] = lambda target: target, **options: Any
    ) -> Report:
        target = wrap(open_target(self.uri, artifact_root=self.artifact_root))
        return copy(source, ReplaySink(target, options=self._options(options)), jobs=2)

    def _options(self, options: Mapping[str, Any]) -> ReplayOptions:
        named = {"experiment_prefix": f"{self.prefix}/", "model_prefix": f"{self.prefix}-", **options}
        return ReplayOptions(**named)

    def name(self, name: str) -> str:
        """Return what a registered model of the source is called here."""
        return f"{self.prefix}-{name}"

    def experiment(self, name: str) -> str:
        """Return the id of an experiment of the source here."""
        return str(self.client.get_experiment_by_name(f"{self.prefix}/{name}").experiment_id)


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    folder = tmp_path_factory.mktemp("source")
    with running_server(folder / "server") as server:
        yield fill(server, folder)


@pytest.fixture(scope="session")
def archive(filled: Filled, tmp_path_factory: pytest.TempPathFactory) -> Path:
    server = filled.server
    path = tmp_path_factory.mktemp("archive") / "all.mlfa"
    return export(server.backend, path, artifacts_destination=str(server.artifacts))


@pytest.fixture(scope="session")
def store_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def server_place(mlflow_server: MlflowServer) -> Place:
    prefix = uuid4().hex[:8]
    return Place(uri=mlflow_server.uri, folder=mlflow_server.artifacts, artifact_root=None, prefix=prefix)


@pytest.fixture
def store_place(store_folder: Path) -> Place:
    root = store_folder / "artifacts"
    uri = f"sqlite:///{store_folder / 'mlflow.db'}"
    return Place(uri=uri, folder=root, artifact_root=str(root), prefix=uuid4().hex[:8])


@pytest.fixture(params=["server_place", "store_place"])
def place(request: pytest.FixtureRequest) -> Place:
    found: Place = request.getfixturevalue(request.param)
    return found
