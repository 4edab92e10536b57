"""Workers see a database as it was when the export began: a process of its own reads none of the rows added since."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import sqlalchemy

from mlflow_archive.api.sharing_out import NO_MOMENT, ExportTask, export_by_workers, source_at
from mlflow_archive.errors import StoreError
from mlflow_archive.flow.report import Quiet
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.database import sqlite_file
from mlflow_archive.sources.database.mysql import MysqlSnapshot
from mlflow_archive.sources.database.snapshot import Snapshot
from mlflow_archive.sources.database.sqlite import SqliteSnapshot
from mlflow_archive.sources.database.sqlite_file import HeldFile, LentFile
from mlflow_archive.sources.locate import locate_source
from mlflow_archive.verification.checks import verify
from mlflow_archive.workers.pools import ProcessPool
from mlflow_archive.writer.export import ArchiveSink
from mlflow_archive.writer.shard_writer import Heard
from tests.support.databases import RUN, PostgresServer, engine_of, fill, make_database, revisions
from tests.support.memory_source import MemoryOptions
from tests.support.workers import SendingPool, SharedMemorySource, export_by


class WrittenMeanwhile(ProcessPool):
    """A process for several exports; before it gets its first shards of one, ``write`` is called."""

    def __init__(self) -> None:
        super().__init__(1)
        self.write: Callable[[], None] | None = None

    def submit(self, function: Callable[[Any], Any], work: object) -> Future[Any]:
        if self.write is not None and isinstance(work, ExportTask):
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


def test_of_sqlite(tmp_path: Path, process: WrittenMeanwhile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_file, "UNCOPIED_S", 0)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    make_database(uri)
    exported_while_rows_are_added(uri, tmp_path, process)


def test_of_sqlite_on_other_machines(
    tmp_path: Path, process: WrittenMeanwhile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They see the copy in the folder of the archive, and no other; it is gone with the staging folder."""
    monkeypatch.setattr(process, "elsewhere", True)
    shared: list[tuple[Path | None, str]] = []
    share = SqliteSnapshot.share

    def noted(self: SqliteSnapshot, folder: Path | None = None) -> str:
        shared.append((folder, share(self, folder)))
        return shared[-1][1]

    monkeypatch.setattr(SqliteSnapshot, "share", noted)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    make_database(uri)
    exported_while_rows_are_added(uri, tmp_path, process)
    assert set(shared) == {
        (tmp_path / name / "staging", str(tmp_path / name / "staging/source.db")) for name in ("first", "second")
    }
    assert not list(tmp_path.rglob("source.db"))


def test_a_copy_that_is_shared_stays_as_it_is(tmp_path: Path) -> None:
    """Whoever has taken it reads it; later rows, and another copy of them, do not replace it."""
    database, names = tmp_path / "source", sqlalchemy.text("SELECT name FROM names")
    with closing(sqlite3.connect(database, isolation_level=None)) as writer:
        writer.execute("CREATE TABLE names AS SELECT 'early' AS name")
        with closing(SqliteSnapshot(database)) as snapshot:
            copy = Path(snapshot.share(tmp_path))
            assert Path(snapshot.share()).samefile(snapshot.share()), "there is one now, and no other is made"
            writer.execute("INSERT INTO names VALUES ('late')")
            first = copy.stat()
            assert (snapshot.share(tmp_path), copy.stat()) == (str(copy), first)
        with closing(SqliteSnapshot(database, str(copy))) as other:
            assert [list(batch["name"]) for batch in other.fetch(names)] == [["early"]]
    assert copy.exists()


class Lent:
    """A database of one row that is lent, and who writes a second: that takes until nobody has a lock."""

    def __init__(self, folder: Path) -> None:
        self.path, self.copy = folder / "source", folder / "copy.db"
        with closing(sqlite3.connect(self.path, isolation_level=None)) as writer:
            writer.execute("CREATE TABLE names AS SELECT 'early' AS name")
        self.held = HeldFile(self.path, self.copy)
        self.held.lend()

    def names(self, file: HeldFile | LentFile) -> tuple[str, list[str]]:
        """Return what file is read, by its name, and what is in it."""
        with file.reading() as uri, closing(sqlite3.connect(uri, uri=True)) as reader:
            return urlsplit(uri).path.rpartition("/")[2], [name for (name,) in reader.execute("SELECT name FROM names")]

    def write(self, seconds: float) -> None:
        with closing(sqlite3.connect(self.path, isolation_level=None, timeout=seconds)) as writer:
            writer.execute("INSERT INTO names VALUES ('late')")


def test_a_lent_file_is_read_where_it_lies_until_somebody_waits_to_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file, "UNCOPIED_S", 0)
    lent = Lent(tmp_path)
    with closing(lent.held), closing(LentFile(lent.path, lent.copy)) as early:
        assert lent.names(early) == lent.names(lent.held) == ("source", ["early"])
        assert not lent.copy.exists()
        lent.write(20)
        assert lent.names(early) == lent.names(lent.held) == ("copy.db", ["early"])
        with closing(LentFile(lent.path, lent.copy)) as late:
            assert lent.names(late) == ("copy.db", ["early"])


def test_a_lent_file_stays_as_it_is_when_who_lent_it_has_ended_and_nobody_else_gets_it(tmp_path: Path) -> None:
    lent = Lent(tmp_path)
    with closing(LentFile(lent.path, lent.copy)) as early:
        lent.held.close()
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            lent.write(0)
        assert lent.names(early) == ("source", ["early"])
        with pytest.raises(StoreError, match="is not as it was when the export began"):
            LentFile(lent.path, lent.copy)
    lent.write(0)


class Momentless(SharedMemorySource):
    """One whose readers have no moment in common."""

    has_moment = False


def test_where_there_is_none_the_export_says_so(tmp_path: Path) -> None:
    heard = Heard()
    report = export_by(
        tmp_path / "a", SendingPool(1), progress=heard, source=Momentless(MemoryOptions()), read_as=Momentless
    )
    assert (report.details["one_moment"], heard.notes) == (False, [NO_MOMENT])


def test_mysql_has_none() -> None:
    """No other connection sees its snapshot (START TRANSACTION WITH CONSISTENT SNAPSHOT is one connection's own)."""
    lent: Snapshot = MysqlSnapshot.__new__(MysqlSnapshot)
    assert (lent.has_moment, lent.share(Path())) == (False, None)


def test_of_postgresql(tmp_path: Path, process: WrittenMeanwhile, postgres: PostgresServer) -> None:
    """A snapshot that this process exported is taken by another (SET TRANSACTION SNAPSHOT)."""
    uri = postgres.new_database()
    make_database(uri, revisions()[9])  # an early one is made soon
    exported_while_rows_are_added(uri, tmp_path, process)
