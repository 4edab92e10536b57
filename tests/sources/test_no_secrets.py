"""No byte of a secret gets from a backend database into an archive: not as text, and not as it is encrypted there."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest

from mlflow_archive.flow.copy import copy
from mlflow_archive.sources.locate import locate_source
from mlflow_archive.writer.export import ArchiveOptions, ArchiveSink
from tests.sources.test_rest_secrets import MASKED, every_byte
from tests.support.everything import SECRETS, Filled
from tests.support.mlflow_server import MlflowServer
from tests.support.restoring import restore

TOKEN: Final = "MARKER-job-token-hash-" + "7" * 42
PASSWORD: Final = "scrypt:32768:8:1$MARKER-password-hash"  # noqa: S105 - what the test looks for


@pytest.fixture(scope="module")
def database(everything: tuple[MlflowServer, Filled], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the database of a server that holds everything, with a job and, as where both share it, with users."""
    path = tmp_path_factory.mktemp("secrets") / "mlflow.db"
    server, _ = everything
    with closing(sqlite3.connect(server.database)) as source, closing(sqlite3.connect(path)) as target:
        source.backup(target)
        names = "id creation_time job_name params workspace status retry_count last_update_time token_hash"
        values = ("j", 1, "n", "{}", "default", 0, 0, 1, TOKEN)
        columns = ", ".join(names.split())
        target.execute(f"INSERT INTO jobs ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)  # noqa: S608
        target.execute(
            "CREATE TABLE users (id INTEGER PRIMARY KEY, username TEXT, password_hash TEXT, is_admin INTEGER)"
        )
        target.execute("INSERT INTO users VALUES (1, 'ada', ?, 1)", (PASSWORD,))
        target.commit()
    return path


def stored(database: Path) -> Iterator[bytes]:
    """Yield what the database holds in the place of secrets."""
    with closing(sqlite3.connect(database)) as connection:
        rows: list[Any] = [
            *connection.execute("SELECT encrypted_value, wrapped_dek, masked_value FROM secrets"),
            *connection.execute("SELECT secret FROM webhooks WHERE secret IS NOT NULL"),
            *connection.execute("SELECT token_hash FROM jobs"),
            *connection.execute("SELECT password_hash FROM users"),
        ]
    for row in rows:
        yield from (value if isinstance(value, bytes) else value.encode() for value in row)


@pytest.mark.parametrize("append", [False, True], ids=["one export", "two exports"])
def test_no_secret_is_in_an_archive_of_a_database(database: Path, append: bool, tmp_path: Path) -> None:
    there = tmp_path / "copy.db"
    shutil.copyfile(database, there)
    path = tmp_path / "all.mlfa"
    copy(locate_source(f"sqlite:///{there}"), ArchiveSink(path, tool="test 1", clock_ms=lambda: 0))
    if append:
        with closing(sqlite3.connect(there)) as connection:
            connection.execute("UPDATE secrets SET last_updated_at = last_updated_at + 1")
            connection.commit()
        copy(
            locate_source(f"sqlite:///{there}"),
            ArchiveSink(path, ArchiveOptions(append=True), tool="test 1", clock_ms=lambda: 1),
        )
    content = every_byte(path)
    looked_for = [*stored(there), *(secret.encode() for secret in (*SECRETS, MASKED))]
    assert len(looked_for) == 3 + 1 + 1 + 1 + len(SECRETS) + 1
    for secret in looked_for:
        needles = {secret, repr(secret)[2:-1].encode(), secret.hex().encode()}
        assert [name for name, each in content.items() if any(needle in each for needle in needles)] == []


def test_no_secret_is_in_a_database_that_was_restored(database: Path, tmp_path: Path) -> None:
    path, target = tmp_path / "all.mlfa", tmp_path / "restored.db"
    copy(locate_source(f"sqlite:///{database}"), ArchiveSink(path, tool="test 1", clock_ms=lambda: 0))
    restore(path, f"sqlite:///{target}")
    content = target.read_bytes()
    for secret in [*stored(database), *(secret.encode() for secret in SECRETS)]:
        assert secret not in content
