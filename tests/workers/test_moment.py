"""Workers see a database as it was when the export began: a process of its own reads none of the rows added since."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from mlflow_archive.api.sharing_out import export_by_workers, source_at
from mlflow_archive.flow.report import Quiet
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.locate import locate_source
from mlflow_archive.verification.checks import verify
from mlflow_archive.workers.pools import ProcessPool
from mlflow_archive.writer.export import ArchiveSink
from tests.support.databases import RUN, PostgresServer, engine_of, fill, make_database, revisions


class WrittenMeanwhile(ProcessPool):
    """A process for several exports; before it gets its first work of one, ``write`` is called."""

    def __init__(self) -> None:
        super().__init__(1)
        self.write: Callable[[], None] | None = None

    def submit(self, function: Callable[[Any], Any], work: object) -> Future[Any]:
        if self.write is not None:
            self.write()
            self.write = None
        return super().submit(function, work)

    def close(self) -> None:
        """Go on for the next."""

    def end(self) -> None:
        super().close()


@pytest.fixture(scope="module")
def process() -> Iterator[WrittenMeanwhile]:
    pool = WrittenMeanwhile()
    yield pool
    pool.end()


def params_in(path: Path) -> list[str]:
    with open_archive(path) as archive:
        return sorted(archive.table("params")["key"].to_pylist())


def exported_while_rows_are_added(uri: str, path: Path, process: WrittenMeanwhile) -> None:
    """Export with a row added when the process has not begun yet; then once more."""
    fill(uri)
    engine = engine_of(uri)

    def add() -> None:
        with engine.begin() as connection:
            connection.execute(
                sqlalchemy.text("INSERT INTO params(key, value, run_uuid) VALUES ('late', 'v', :run)"), {"run": RUN}
            )

    def export(name: str) -> list[str]:
        sink = ArchiveSink(path / name, tool="test 1", clock_ms=lambda: 0)
        selection = Selection(artifacts=False)
        report = export_by_workers(source_at(uri, (), None), locate_source(uri), sink, selection, process, Quiet())
        assert report.details["one_moment"] is True
        assert verify(path / name).problems == []
        return params_in(path / name)

    process.write = add
    first = export("first")
    assert first
    assert export("second") == sorted([*first, "late"])
    engine.dispose()


def test_of_sqlite(tmp_path: Path, process: WrittenMeanwhile) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    make_database(uri)
    exported_while_rows_are_added(uri, tmp_path, process)


def test_of_postgresql(tmp_path: Path, process: WrittenMeanwhile, postgres: PostgresServer) -> None:
    """A snapshot that this process exported is taken by another (SET TRANSACTION SNAPSHOT)."""
    uri = postgres.new_database()
    make_database(uri, revisions()[9])  # an early one is made soon
    exported_while_rows_are_added(uri, tmp_path, process)
