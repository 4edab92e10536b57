"""A real store through the archive into a real server: every value, as MLflow's own client has it; twice; and back."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mlflow_archive.flow.copy import copy
from mlflow_archive.flow.report import Report
from mlflow_archive.format.source_tags import ExportFacts
from mlflow_archive.reader.archive import Archive, open_archive
from mlflow_archive.reader.source import ArchiveSource
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sinks.replay import ReplayOptions
from mlflow_archive.sinks.replay.locate import locate_replay
from mlflow_archive.sources.locate import locate_source
from mlflow_archive.sources.mlruns import MlrunsSource
from mlflow_archive.verification.checks import verify
from mlflow_archive.writer.export import ArchiveSink
from tests.roundtrip.views import answered, answered_experiment, archived, exported_again, without_invented_names
from tests.support.corpora import store_path
from tests.support.mlflow_server import MlflowServer
from tests.support.reading import Read, read_source

CORPORA = {
    # Odd keys, deleted runs, params of several lines, 11 MB of artifacts.
    "LostPetInitiative__TextIntelligenceResearch": "data/mlruns",
    # Nested runs, a run that never ended, deleted experiments.
    "PacktPublishing__Hyperparameter-Tuning-with-Python": "data/mlruns",
}
# All kinds of file there, the 11 MB of models too; a server takes a second for each ten files.
SOME_ARTIFACTS = ("*MLmodel", "*.pkl", "*.png")
EXPORTED_MS = 1_700_000_000_123


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """An archive, what it holds, and the server it was imported into. ``prefix`` is that of the experiments there."""

    archive: Archive
    read: Read
    server: MlflowServer
    client: Any
    prefix: str
    report: Report
    uri: str

    def again(self) -> Report:
        return into_server(self.archive, self.server, self.prefix)

    def expected(self) -> tuple[dict[str, Any], dict[str, Any]]:
        export = ExportFacts(tracking_uri=self.uri, exported_ms=EXPORTED_MS)
        return archived(self.read, self.report, export, prefix=self.prefix)

    def answers(self) -> tuple[dict[str, Any], dict[str, Any]]:
        client = self.client
        every = client.search_experiments(view_type=3, filter_string=f"name LIKE '{self.prefix}%'")
        ids = [found.experiment_id for found in every]
        runs = client.search_runs(ids, run_view_type=3, max_results=5000)
        assert runs.token in (None, "")
        views = {run.info.run_id: answered(client, run.info.run_id, self.files) for run in runs}
        return views, {each: answered_experiment(client, each) for each in ids}

    def files(self, run: Any) -> dict[str, bytes]:
        """Return what MLflow lists of a run and the bytes it gives for it."""
        listed = dict(self._listed(run.info.run_id, None))
        if not listed:
            return {}
        with tempfile.TemporaryDirectory() as folder:
            self.client.download_artifacts(run.info.run_id, "", folder)
            found = {
                path.relative_to(folder).as_posix(): path.read_bytes()
                for path in Path(folder).rglob("*")
                if path.is_file()
            }
        assert {path: len(data) for path, data in found.items()} == listed
        return found

    def _listed(self, run_id: str, path: str | None) -> Iterator[tuple[str, int]]:
        for each in self.client.list_artifacts(run_id, path):
            if each.is_dir:
                yield from self._listed(run_id, each.path)
            else:
                yield each.path, each.file_size


def into_server(archive: Archive, server: MlflowServer, prefix: str) -> Report:
    sink = locate_replay(server.uri, archive, options=ReplayOptions(experiment_prefix=prefix))
    return copy(ArchiveSource(archive), sink)


@pytest.fixture(scope="module", params=list(CORPORA), ids=[name.partition("_")[0] for name in CORPORA])
def imported(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, shared_server: MlflowServer
) -> Iterator[Imported]:
    from mlflow import MlflowClient  # noqa: PLC0415 - takes seconds

    corpus = request.param
    path = tmp_path_factory.mktemp("server") / "first.mlfa"
    source = MlrunsSource(store_path(corpus, CORPORA[corpus]))
    uri = source.facts().uri
    selection = Selection(artifact_globs=SOME_ARTIFACTS)
    copy(source, ArchiveSink(path, tool="test 1", clock_ms=lambda: EXPORTED_MS), selection)
    prefix = f"{corpus[:4]}/"
    with open_archive(path) as archive:
        yield Imported(
            archive=archive,
            read=read_source(ArchiveSource(archive)),
            server=shared_server,
            client=MlflowClient(shared_server.uri),
            prefix=prefix,
            report=into_server(archive, shared_server, prefix),
            uri=uri,
        )


def test_every_value_is_what_the_server_answers(imported: Imported) -> None:
    expected_runs, expected_experiments = imported.expected()
    runs, experiments = imported.answers()
    assert imported.report.gaps == []
    assert (imported.report.details["shortened"], imported.report.details["missing_parents"]) == ([], [])
    assert experiments == expected_experiments
    assert set(runs) == set(expected_runs)
    runs = without_invented_names(expected_runs, runs)
    for run_id, view in runs.items():
        assert view == expected_runs[run_id]
    assert len(runs) == len(imported.read.tables["runs"]) == imported.report.details["created"]


def test_a_second_import_changes_nothing(imported: Imported) -> None:
    """Not a row of the server's database and not a file of its artifacts is touched."""
    before = everything(imported.server)
    report = imported.again()
    assert everything(imported.server) == before
    counts = {name: report.details[name] for name in ("created", "updated", "skipped")}
    assert counts == {"created": 0, "updated": 0, "skipped": len(imported.read.tables["runs"])}
    assert report.gaps == []
    assert report.details["runs"] == imported.report.details["runs"]
    assert report.details["experiments"] == imported.report.details["experiments"]


def everything(server: MlflowServer) -> tuple[list[str], dict[Path, tuple[int, int]]]:
    """Return the whole database as SQL, and size and time of change of each artifact file."""
    with closing(sqlite3.connect(server.database)) as database:
        rows = list(database.iterdump())
    files = {path: path.stat() for path in server.artifacts.rglob("*") if path.is_file()}
    return rows, {path: (found.st_size, found.st_mtime_ns) for path, found in files.items()}


def test_an_export_of_the_server_equals_the_first(imported: Imported, tmp_path: Path) -> None:
    """Export, import, export: equal but for ids, which the receipt maps, and what only the server makes."""
    path = tmp_path / "second"
    sink = ArchiveSink(path, tool="test 1", clock_ms=lambda: EXPORTED_MS)
    report = copy(locate_source(imported.server.uri), sink, Selection(experiments=(f"{imported.prefix}*",)))
    assert report.gaps == []
    assert verify(path).problems == []
    with open_archive(path) as archive:
        runs, experiments = exported_again(read_source(ArchiveSource(archive)))
    expected_runs, expected_experiments = imported.expected()
    assert experiments == expected_experiments
    assert without_invented_names(expected_runs, runs) == expected_runs
