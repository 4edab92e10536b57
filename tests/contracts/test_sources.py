"""Every source keeps the contract."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from mlflow_archive.flow.copy import copy
from mlflow_archive.flow.source import Source
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.reader.source import ArchiveSource
from mlflow_archive.sinks.replay import ReplayOptions, ReplaySink, open_target
from mlflow_archive.sources.locate import locate_source
from mlflow_archive.sources.mlruns import MlrunsSource
from mlflow_archive.writer.export import ArchiveSink
from tests.contracts.source_contract import CHILD, DELETED, OTHER, PARENT, SourceContract, example
from tests.support.databases import PostgresServer
from tests.support.exim import write_exim
from tests.support.mlflow_server import MlflowServer
from tests.support.mlruns import write_store
from tests.support.restoring import restore

IDS = {"parent": PARENT, "child": CHILD, "deleted": DELETED, "other": OTHER}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("contract") / "mlruns"
    write_store(example(""), root)
    return root


class TestMlrunsSource(SourceContract):
    @pytest.fixture(autouse=True)
    def _place(self, store: Path) -> None:
        self.root, self.ids = store, IDS

    def made(self) -> Source:
        return MlrunsSource(self.root)


class TestEximSource(SourceContract):
    @pytest.fixture(autouse=True, params=["runs", ""], ids=["runs/<run id>", "<run id>"])
    def _place(self, request: pytest.FixtureRequest, tmp_path: Path) -> None:
        self.ids = IDS
        self.root = write_exim(example(""), tmp_path / "exported", runs_folder=request.param)

    def made(self) -> Source:
        return locate_source(f"exim:{self.root}")


class TestArchiveSource(SourceContract):
    @pytest.fixture(autouse=True, params=["archive", "archive.mlfa"])
    def _place(self, request: pytest.FixtureRequest, store: Path) -> Iterator[None]:
        self.ids, self.path = IDS, store.parent / request.param
        if not self.path.exists():
            copy(MlrunsSource(store), ArchiveSink(self.path, tool="test 1", clock_ms=lambda: 0))
        with open_archive(self.path) as self.archive:
            yield

    def made(self) -> Source:
        return ArchiveSource(self.archive)


class TestDatabaseSource(SourceContract):
    @pytest.fixture(autouse=True, params=["sqlite", "postgresql"])
    def _place(self, request: pytest.FixtureRequest, in_databases: dict[str, str]) -> None:
        self.ids, self.uri = IDS, in_databases[request.param]

    def made(self) -> Source:
        return locate_source(self.uri)


@pytest.fixture(scope="module")
def in_databases(store: Path, postgres: PostgresServer) -> dict[str, str]:
    """URIs of databases that the example was restored into."""
    path = store.parent / "restored.mlfa"
    copy(MlrunsSource(store), ArchiveSink(path, tool="test 1", clock_ms=lambda: 0))
    uris = {"sqlite": f"sqlite:///{store.parent / 'restored.db'}", "postgresql": postgres.new_database()}
    for name, uri in uris.items():
        restore(path, uri, artifact_root=str(store.parent / f"artifacts-{name}"))
    return uris


@pytest.fixture(scope="module")
def on_server(store: Path, shared_server: MlflowServer) -> tuple[str, str, dict[str, str]]:
    """(URI, prefix of the experiments, run ids by name) of the example in a real server."""
    prefix = f"contract-{uuid4().hex}/"
    options = ReplayOptions(experiment_prefix=prefix)
    report = copy(MlrunsSource(store), ReplaySink(open_target(shared_server.uri), options=options), jobs=1)
    runs = report.details["runs"]
    assert isinstance(runs, dict)
    return shared_server.uri, prefix, {name: runs[run_id] for name, run_id in IDS.items()}


class TestRestSource(SourceContract):
    @pytest.fixture(autouse=True)
    def _place(self, on_server: tuple[str, str, dict[str, str]]) -> None:
        self.uri, self.prefix, self.ids = on_server

    def made(self) -> Source:
        return locate_source(self.uri)
