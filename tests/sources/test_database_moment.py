"""Backend databases that are written to meanwhile: an export is of one moment, and holds nobody up."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import sqlalchemy

from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.locate import locate_source
from tests.support.databases import RUN, PostgresServer, engine_of, fill, make_database
from tests.support.reading import Read, read_source

NO_ARTIFACTS = Selection(artifacts=False)


def read(uri: str) -> Read:
    with closing(locate_source(uri)) as source:
        return read_source(source, NO_ARTIFACTS)


def test_a_point_in_time_while_a_server_writes(database: Path) -> None:
    """Each transaction writes a param and a tag; an export sees both or neither, and holds nobody up for long."""
    fill(f"sqlite:///{database}")
    with_writer(database, lambda: read(f"sqlite:///{database}"))


def test_a_point_in_time_on_postgresql(postgres: PostgresServer) -> None:
    uri = postgres.new_database()
    make_database(uri)
    fill(uri)
    engine = engine_of(uri)
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            with engine.begin() as connection:
                insert_pair(lambda sql, values: connection.execute(sqlalchemy.text(sql), values), number)
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(5):
            check_pairs(read(uri))
    finally:
        stop.set()
        writer.join()
        engine.dispose()


def with_writer(database: Path, reading: Callable[[], Read]) -> None:
    stop = threading.Event()
    waits: list[float] = []

    def write() -> None:
        number = 0
        with closing(sqlite3.connect(database, timeout=20)) as connection:
            while not stop.is_set():
                began = time.monotonic()
                insert_pair(connection.execute, number)
                connection.commit()
                waits.append(time.monotonic() - began)
                number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(2):
            check_pairs(reading())
    finally:
        stop.set()
        writer.join()
    assert max(waits) < 5


def insert_pair(execute: Callable[[str, dict[str, Any]], object], number: int) -> None:
    values = {"key": f"k{number}", "run": RUN}
    execute("INSERT INTO params(key, value, run_uuid) VALUES (:key, 'v', :run)", values)
    execute("INSERT INTO tags(key, value, run_uuid) VALUES (:key, 'v', :run)", values)


def check_pairs(found: Read) -> None:
    params = {row["key"] for row in found.rows("params") if row["value"] == "v"}
    assert params == {row["key"] for row in found.rows("tags") if row["value"] == "v"}
