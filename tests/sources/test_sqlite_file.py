"""A SQLite file is read under a lock for a moment, then from a copy; the fast way gives way to the exact one."""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from threading import Thread

import pytest
import sqlalchemy

from mlflow_archive.errors import StoreError
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.database import sqlite, sqlite_file
from mlflow_archive.sources.database.sqlite_file import HeldFile
from mlflow_archive.sources.locate import locate_source
from tests.support.databases import RUN, fill
from tests.support.reading import read_source

ALL_TAGS = sqlalchemy.text("SELECT key FROM tags")
ALL_METRICS = sqlalchemy.text("SELECT key FROM metrics")


def test_a_query_goes_on_in_the_copy(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "_BATCH", 10)
    monkeypatch.setattr(sqlite_file, "UNCOPIED_S", 60)
    fill(f"sqlite:///{database}")
    with closing(sqlite3.connect(database)) as writer:
        writer.executemany("INSERT INTO tags VALUES (?, 'old', ?)", ((f"t{n:03}", RUN) for n in range(100)))
        rows = [(f"p{n:03}", n / 7, n, RUN, n, 0) for n in range(100)]
        writer.executemany("INSERT INTO metrics VALUES (?, ?, ?, ?, ?, ?)", rows)
        writer.commit()
    snapshot = sqlite.SqliteSnapshot(database)
    with closing(snapshot):
        queries = [snapshot.fetch(ALL_TAGS), snapshot.fetch_fast(ALL_METRICS)]
        found = [list(next(query)["key"]) for query in queries]
        with closing(sqlite3.connect(database, timeout=0)) as writer:
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                writer.execute("DELETE FROM tags").connection.commit()
            writer.rollback()
            assert isinstance(snapshot._file, HeldFile)
            snapshot._file.want_copy()
            writer.execute("DELETE FROM tags")
            writer.execute("DELETE FROM metrics")
            writer.commit()
            writer.execute("VACUUM")
        for query, keys in zip(queries, found, strict=True):
            keys += [str(key) for batch in query for key in batch["key"]]
    assert sorted(key for key in map(str, found[0]) if key[0] == "t") == [f"t{n:03}" for n in range(100)]
    assert sorted(key for key in map(str, found[1]) if key[0] == "p") == [f"p{n:03}" for n in range(100)]


def test_what_is_read_in_time_is_not_copied(database: Path) -> None:
    snapshot = sqlite.SqliteSnapshot(database)
    with closing(snapshot):
        assert "runs" in snapshot.schema.columns
        assert [path.name for path in snapshot._folder.path.iterdir()] == [".in-use"]
    with closing(sqlite3.connect(database, timeout=0)) as writer:
        writer.execute("DELETE FROM experiments").connection.commit()  # the lock is gone


def test_a_copy_that_fails_ends_the_export(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sqlite_file, "_copy_piece", full)
    snapshot = sqlite.SqliteSnapshot(database)
    with closing(snapshot):
        assert isinstance(snapshot._file, HeldFile)
        snapshot._file.want_copy()
        with pytest.raises(StoreError, match=r"cannot be copied to .*No space left"):
            list(snapshot.fetch(ALL_TAGS))


def test_pieces_are_copied_where_the_kernel_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "copy_file_range", raising=False)
    data = os.urandom(100_000)
    (tmp_path / "a").write_bytes(data)
    with (tmp_path / "a").open("rb") as source, (tmp_path / "b").open("wb") as target:
        at = 0
        while at < len(data):
            at += sqlite_file._copy_piece(source.fileno(), target.fileno(), at, min(30_000, len(data) - at))
    assert (tmp_path / "b").read_bytes() == data


def test_a_late_tag_of_another_type(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fast way has begun when it meets the value; no tag comes twice or is missing."""
    monkeypatch.setattr(sqlite, "_BATCH", 100)
    fill(f"sqlite:///{database}")
    with closing(sqlite3.connect(database)) as writer:
        insert = "INSERT INTO tags(key, value, run_uuid) VALUES (?, ?, ?)"
        writer.executemany(insert, [(f"t{n}", None if n % 2 else "v", RUN) for n in range(350)])
        writer.execute(insert, ("u", b"\x00\xff", RUN))
        writer.commit()
    with closing(locate_source(f"sqlite:///{database}")) as source:
        found = read_source(source, Selection(artifacts=False))
    values = {row["key"]: row["value"] for row in found.rows("tags", run_id=RUN) if row["key"][0] in "tu"}
    assert values == {**{f"t{n}": None if n % 2 else "v" for n in range(350)}, "u": None}
    assert found.gaps() == {(RUN, "tags/u", "G203")}


_INSERT = "INSERT INTO experiments(experiment_id, name) VALUES (77, 'late')"
_WRITER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=20)
connection.execute(sys.argv[2])
connection.commit()
"""


def write_here(database: Path) -> None:
    with closing(sqlite3.connect(database, timeout=20)) as connection:
        connection.execute(_INSERT)
        connection.commit()


def write_elsewhere(database: Path) -> None:
    subprocess.run([sys.executable, "-c", _WRITER, database, _INSERT], check=True)


@pytest.mark.parametrize("write", [write_here, write_elsewhere])
def test_it_is_copied_when_somebody_waits_to_write_and_not_before(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], None]
) -> None:
    monkeypatch.setattr(sqlite_file, "UNCOPIED_S", 0)
    before = database.read_bytes()
    copy = tmp_path / "copies" / "one" / "copy.db"
    copy.parent.mkdir(parents=True)
    with closing(HeldFile(database, copy)) as held:
        time.sleep(3 * sqlite_file._LOOKING_S)
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as other:
            other.execute("SELECT * FROM runs").fetchall()  # who only reads is no reason
        assert not copy.exists()
        with held.reading() as uri:
            assert uri == f"{database.as_uri()}?mode=ro&immutable=1"
        write(database)
        with held.reading() as uri:
            assert uri == str(copy)
        assert copy.read_bytes() == before != database.read_bytes()


def test_it_is_copied_after_a_while_where_waiting_writers_are_not_told(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file, "UNCOPIED_S", 0)
    monkeypatch.delattr(fcntl, "F_OFD_GETLK", raising=False)
    copy = tmp_path / "copies" / "one" / "copy.db"
    copy.parent.mkdir(parents=True)
    with closing(HeldFile(database, copy)) as held:
        assert held._thread is not None
        held._thread.join(10)
        assert (held._place._uri, held._lock) == (str(copy), None)
    assert copy.read_bytes() == database.read_bytes()


@pytest.fixture
def held(database: Path, tmp_path: Path) -> Iterator[HeldFile]:
    """A file that is copied when it is asked for, not before."""
    (tmp_path / "copies" / "one").mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite_file, "UNCOPIED_S", 60)
        with closing(HeldFile(database, tmp_path / "copies" / "one" / "copy.db")) as held:
            yield held


def test_the_copy_takes_over_only_when_the_last_reader_has_left(held: HeldFile) -> None:
    """A reader goes on with the file that it began with, under the lock that keeps it as it is."""
    with held.reading() as first:
        with held.reading() as second:
            copying = Thread(target=held.want_copy)
            copying.start()
            copying.join(0.2)
            assert first == second == held._place._uri
            assert held._lock is not None
        copying.join(0.05)
        assert held._place._uri == first
        assert held._lock is not None
    copying.join(10)
    with held.reading() as third:
        assert third == str(held._copy) != first
    assert held._lock is None


def test_a_reader_that_comes_while_the_copy_takes_over_reads_the_copy(held: HeldFile) -> None:
    uris: list[str] = []

    def read() -> None:
        with held.reading() as uri:
            uris.append(uri)

    with held.reading():
        copying, reader = Thread(target=held.want_copy), Thread(target=read)
        copying.start()
        for _ in range(200):
            if held._place._switching:
                break
            copying.join(0.01)
        reader.start()
        reader.join(0.1)
        assert uris == []
    reader.join(10)
    copying.join(10)
    assert uris == [str(held._copy)]


class _Log:
    """A database file with a write-ahead log that a writer begins anew after some of the copies of it."""

    def __init__(self, folder: Path, times: int) -> None:
        self.path, self.copy = folder / "a.db", folder / "copy.db"
        self.times, self.copies = times, 0
        self.path.write_bytes(b"pages")
        self._write()

    def _write(self) -> None:
        salts = b"%08d" % self.copies
        self.path.with_name("a.db-wal").write_bytes(bytes(16) + salts + bytes(8) + b"pages %d" % self.copies)

    def copyfile(self, source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes())
        if source == self.path:
            self.copies += 1
            if self.copies <= self.times:
                self._write()


@pytest.mark.parametrize("times", range(5))
def test_a_log_that_was_begun_anew_meanwhile_is_copied_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    log = _Log(tmp_path, times)
    monkeypatch.setattr(shutil, "copyfile", log.copyfile)
    sqlite_file._copy_with_wal(log.path, log.copy)
    assert log.copies == times + 1
    assert log.copy.read_bytes() == b"pages"
    assert (tmp_path / "copy.db-wal").read_bytes() == (tmp_path / "a.db-wal").read_bytes()


def test_a_log_that_is_begun_anew_all_the_time_ends_the_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = _Log(tmp_path, 5)
    monkeypatch.setattr(shutil, "copyfile", log.copyfile)
    with pytest.raises(StoreError, match="changes faster than it can be copied"):
        sqlite_file._copy_with_wal(log.path, log.copy)
    assert log.copies == 5
    assert not (tmp_path / "copy.db-wal").exists()


def test_a_file_that_is_written_meanwhile_without_a_log_is_copied_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint has emptied the log: only the time of the file tells that it was written."""
    log = _Log(tmp_path, 0)
    (tmp_path / "a.db-wal").write_bytes(b"")

    def copyfile(source: Path, target: Path) -> None:
        log.copyfile(source, target)
        if log.copies == 1:
            source.write_bytes(b"newer")
            os.utime(source, ns=(1, 1))

    monkeypatch.setattr(shutil, "copyfile", copyfile)
    sqlite_file._copy_with_wal(log.path, log.copy)
    assert (log.copies, log.copy.read_bytes()) == (2, b"newer")
    assert not (tmp_path / "copy.db-wal").exists()
