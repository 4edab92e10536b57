"""A real store into a server of each version and out of it again: every value of every run, as in ``roundtrip``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mlflow_archive.flow.copy import copy
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.reader.source import ArchiveSource
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.mlruns import MlrunsSource
from mlflow_archive.writer.export import ArchiveSink
from tests.matrix.environments import VERSIONS, environment
from tests.roundtrip.test_server import (
    CORPORA,
    EXPORTED_MS,
    SOME_ARTIFACTS,
    Imported,
    into_server,
    test_a_second_import_changes_nothing,
    test_an_export_of_the_server_equals_the_first,
    test_every_value_is_what_the_server_answers,
)
from tests.support.corpora import store_path
from tests.support.mlflow_server import running_server
from tests.support.reading import read_source

__all__ = [
    "test_a_second_import_changes_nothing",
    "test_an_export_of_the_server_equals_the_first",
    "test_every_value_is_what_the_server_answers",
]


class OnDisk(Imported):
    """Looks at artifacts on disk, as the client of MLflow 3 asks for logged models, which MLflow 2 has not."""

    def files(self, run: Any) -> dict[str, bytes]:
        root = self.server.artifacts / run.info.artifact_uri.removeprefix("mlflow-artifacts:/")
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(scope="module", params=VERSIONS)
def imported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Imported]:
    from mlflow import MlflowClient  # noqa: PLC0415 - takes seconds

    folder = tmp_path_factory.mktemp(request.param)
    corpus, store = next(iter(CORPORA.items()))
    source = MlrunsSource(store_path(corpus, store))
    uri = source.facts().uri
    copy(
        source,
        ArchiveSink(folder / "first.mlfa", tool="test 1", clock_ms=lambda: EXPORTED_MS),
        Selection(artifact_globs=SOME_ARTIFACTS),
    )
    with (
        running_server(folder / "server", python=environment(request.param)) as server,
        open_archive(folder / "first.mlfa") as archive,
    ):
        yield OnDisk(
            archive=archive,
            read=read_source(ArchiveSource(archive)),
            server=server,
            client=MlflowClient(server.uri),
            prefix="old/",
            report=into_server(archive, server, "old/"),
            uri=uri,
        )
