"""A purge at MariaDB waits for who writes, and who writes waits for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mariadb.conftest import MariaServer
from tests.retiring.locked_rows import check_locks
from tests.support.databases import make_database


def test_a_purge_and_a_writer_wait_for_each_other(
    mariadb: MariaServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = mariadb.new_database()
    make_database(uri)
    check_locks(uri, tmp_path, monkeypatch)
