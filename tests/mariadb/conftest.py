"""A MariaDB server of the machine, for the tests here only."""

from __future__ import annotations

import getpass
import itertools
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pymysql
import pytest


class MariaServer:
    """A running server, reached through its socket."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)

    def connect(self) -> pymysql.Connection[pymysql.cursors.Cursor]:
        return pymysql.connect(unix_socket=str(self._socket), user=getpass.getuser())

    def new_database(self) -> str:
        name = f"test{next(self._numbers)}"
        with closing(self.connect()) as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        return f"mysql+pymysql://{getpass.getuser()}@localhost/{name}?unix_socket={self._socket}&charset=utf8mb4"


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaServer]:
    folder = tmp_path_factory.mktemp("mariadb")
    user = getpass.getuser()
    data, socket = folder / "data", folder / "s"
    common = [f"--datadir={data}", f"--user={user}"]
    subprocess.run(
        ["mariadb-install-db", *common, "--auth-root-authentication-method=socket"], check=True, capture_output=True
    )
    command = [
        "mariadbd",
        "--no-defaults",
        *common,
        f"--socket={socket}",
        "--skip-networking",
        f"--pid-file={folder / 'pid'}",
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    server = MariaServer(socket)
    try:
        deadline = time.monotonic() + 60
        while not socket.exists():
            assert process.poll() is None, (folder / "log").read_text(errors="replace")
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield server
    finally:
        process.terminate()
        process.wait(timeout=60)
