"""Laws of the round trip, on made-up stores: what goes in comes out, and the receipt tells of all that cannot."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from mlflow_archive.flow.copy import copy
from mlflow_archive.flow.report import Report
from mlflow_archive.flow.source import Source
from mlflow_archive.format.source_tags import ExportFacts
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.reader.source import ArchiveSource
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sinks.replay import ReplayOptions
from mlflow_archive.sinks.replay.locate import locate_replay
from mlflow_archive.sources.locate import locate_source
from mlflow_archive.sources.mlruns import MlrunsSource
from mlflow_archive.verification.checks import verify
from mlflow_archive.writer.export import ArchiveSink
from tests.roundtrip.views import (
    answered,
    answered_experiment,
    archived,
    changes,
    exported_again,
    without_invented_names,
)
from tests.support.cuts import every
from tests.support.memory_source import content_of
from tests.support.mlflow_server import MlflowServer
from tests.support.mlruns import Store, stores, write_store
from tests.support.reading import Read, read_source

EXPORTED_MS = 1_700_000_000_123
_CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]


def laws(examples: int) -> settings:
    # Without shrinking: examples take a second each, and a failing one is small enough to read.
    phases = (Phase.explicit, Phase.reuse, Phase.generate)
    return settings(max_examples=examples, deadline=None, suppress_health_check=_CHECKS, phases=phases)


def to_archive(source: Source, path: Path, selection: Selection | None = None, *, jobs: int = 1) -> Report:
    sink = ArchiveSink(path, tool="test 1", clock_ms=lambda: EXPORTED_MS)
    return copy(source, sink, selection, jobs=jobs)


@laws(40 // every(2))
@given(store=stores(), single=st.booleans(), jobs=st.integers(1, 3))
def test_an_archive_of_an_archive_is_equal(store: Store, single: bool, jobs: int) -> None:
    """An archive read as a source gives every row and every byte of it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_store(store, folder / "mlruns")
        first, second = (folder / f"first{'.mlfa' * single}", folder / f"second{'.mlfa' * (not single)}")
        to_archive(MlrunsSource(folder / "mlruns"), first)
        with open_archive(first) as archive:
            to_archive(ArchiveSource(archive), second, jobs=jobs)
        assert content_of(first) == content_of(second)
        assert verify(second).problems == []


@dataclass(kw_only=True)
class Target:
    """Where examples are brought in, each below a prefix of its own. ``folder`` is where artifacts lie."""

    uri: str
    artifact_root: str | None
    folder: Path
    client: Any
    numbers: Iterator[int] = field(default_factory=count)

    def files(self, run: Any) -> dict[str, bytes]:
        root = self.folder / run.info.experiment_id / run.info.run_id / "artifacts"
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    def answers(self, prefix: str) -> tuple[dict[str, Any], dict[str, Any]]:
        # Names may hold what a filter cannot, so all are listed.
        every = [found for found in self.client.search_experiments(3) if found.name.startswith(prefix)]
        ids = [found.experiment_id for found in every]
        runs = self.client.search_runs(ids, run_view_type=3) if ids else []
        views = {run.info.run_id: answered(self.client, run.info.run_id, self.files) for run in runs}
        return views, {each: answered_experiment(self.client, each) for each in ids}


@pytest.fixture(scope="module")
def store_target(tmp_path_factory: pytest.TempPathFactory) -> Target:
    from mlflow import MlflowClient  # noqa: PLC0415 - takes seconds

    folder = tmp_path_factory.mktemp("target")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    root = folder / "artifacts"
    return Target(uri=uri, artifact_root=str(root), folder=root, client=MlflowClient(uri))


@pytest.fixture(scope="module")
def server_target(shared_server: MlflowServer) -> Target:
    from mlflow import MlflowClient  # noqa: PLC0415 - takes seconds

    client = MlflowClient(shared_server.uri)
    return Target(uri=shared_server.uri, artifact_root=None, folder=shared_server.artifacts, client=client)


@dataclass(kw_only=True)
class Brought:
    """An example that was brought in twice, and what the target must hold of it."""

    read: Read
    report: Report
    prefix: str
    runs: dict[str, Any]
    experiments: dict[str, Any]


def bring(store: Store, target: Target, folder: Path) -> Brought:
    """Export a store, import the archive twice, and check that the receipt tells of each difference, no more."""
    prefix = f"{folder.name}-{next(target.numbers)}/"
    write_store(store, folder / "mlruns")
    source = MlrunsSource(folder / "mlruns")
    uri = source.facts().uri
    to_archive(source, folder / "first.mlfa")
    reports = []
    with open_archive(folder / "first.mlfa") as archive:
        for _ in range(2):
            options = ReplayOptions(experiment_prefix=prefix, artifact_root=target.artifact_root)
            sink = locate_replay(target.uri, archive, options=options)
            reports.append(copy(ArchiveSource(archive), sink, jobs=2))
        read = read_source(ArchiveSource(archive))
        report, again = reports
        export = ExportFacts(tracking_uri=uri, exported_ms=EXPORTED_MS)
        runs, experiments = archived(read, report, export, prefix=prefix)
    details = report.details
    assert (details["shortened"], details["missing_parents"], details["notes"]) == ([], [], [])
    told: dict[str, int] = dict(details["changed"])  # type: ignore[call-overload]
    told.pop("mlmodel_run_id", None)
    assert told == changes(read)
    assert {gap.code for gap in report.gaps} <= {"R107"}
    assert [again.details[name] for name in ("created", "updated", "skipped")] == [0, 0, len(store.runs())]
    assert again.details["runs"] == details["runs"]
    return Brought(read=read, report=report, prefix=prefix, runs=runs, experiments=experiments)


@laws(20 // every(2))
@given(store=stores(max_experiments=2, max_runs=3))
def test_a_store_takes_all_but_what_the_receipt_says(store: Store, store_target: Target) -> None:
    """Export, import: MLflow answers every value as it was; what is not so is in the receipt."""
    with tempfile.TemporaryDirectory() as name:
        brought = bring(store, store_target, Path(name))
        assert brought.report.gaps == []
        runs, experiments = store_target.answers(brought.prefix)
        assert experiments == brought.experiments
        assert set(runs) == set(brought.runs)
        assert without_invented_names(brought.runs, runs) == brought.runs


@laws(5)
@given(store=stores(max_experiments=2, max_runs=3))
def test_export_import_export_is_equal(store: Store, server_target: Target) -> None:
    """Export, import into a server, export: equal tables, ids mapped, what only a server makes aside."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        brought = bring(store, server_target, folder)
        ids = tuple(brought.experiments)
        report = to_archive(locate_source(server_target.uri), folder / "second", Selection(experiments=ids), jobs=2)
        assert report.gaps == []
        with open_archive(folder / "second") as archive:
            runs, experiments = exported_again(read_source(ArchiveSource(archive)))
        assert experiments == brought.experiments
        assert set(runs) == set(brought.runs)
        # MLflow's API shows an end at 0 as none.
        expected = {run_id: {**run, "end": run["end"] or None} for run_id, run in brought.runs.items()}
        assert without_invented_names(expected, runs) == expected
