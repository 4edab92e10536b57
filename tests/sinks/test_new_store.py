"""A database that an import makes has its name only when MLflow has made all of its tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mlflow.store.db import utils

from mlflow_archive.sinks.replay.target.store_target import StoreTarget


def test_interrupted_among_mlflows_migrations_it_is_not_there_and_the_repeat_makes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(engine: Any) -> None:
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32))")
            connection.exec_driver_sql("INSERT INTO alembic_version VALUES ('451aebb31d03')")
        raise KeyboardInterrupt

    uri = f"sqlite:///{tmp_path / 'new.db'}"
    with monkeypatch.context() as patch:
        patch.setattr(utils, "_initialize_tables", interrupted)
        with pytest.raises(KeyboardInterrupt):
            StoreTarget(uri)
    assert list(tmp_path.iterdir()) == []
    target = StoreTarget(uri)
    target.check()
    target.close()
    assert [path.name for path in tmp_path.iterdir()] == ["new.db"]
