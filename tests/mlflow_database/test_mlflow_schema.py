"""MLflow's schema is made by a process of its own where MLflow is not imported yet; both ways give the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow.store.db import utils
from sqlalchemy import URL, create_engine, make_url

from mlflow_archive.errors import MissingExtraError, TargetError
from mlflow_archive.mlflow_database import mlflow_schema
from mlflow_archive.mlflow_database.mlflow_schema import check_revision
from mlflow_archive.sinks.restore.schema import target_schema
from tests.support.databases import initialize_by_copy


@pytest.fixture
def not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the module believe that MLflow is not there yet."""
    monkeypatch.setattr(mlflow_schema, "_MLFLOW", "mlflow.not.imported")


def _url(path: Path) -> URL:
    return make_url(f"sqlite:///{path}")


@pytest.mark.usefixtures("migrated_databases")
def test_both_ways_give_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow_schema.make_schema(_url(tmp_path / "here.db"))
    monkeypatch.setattr(mlflow_schema, "_MLFLOW", "mlflow.not.imported")
    mlflow_schema.make_schema(_url(tmp_path / "child.db"))
    engines = [create_engine(_url(tmp_path / name)) for name in ("here.db", "child.db")]
    assert target_schema(engines[0]) == target_schema(engines[1])
    for engine in engines:
        check_revision(engine, "the target")
        engine.dispose()
    assert mlflow_schema.head_revision() == utils._get_latest_schema_revision()


@pytest.mark.usefixtures("migrated_databases")
def test_copies_for_tests_are_what_mlflow_makes(tmp_path: Path) -> None:
    engines = [create_engine(_url(tmp_path / name)) for name in ("made.db", "copied.db")]
    utils._initialize_tables(engines[0])
    initialize_by_copy(engines[1])
    dumps = []
    for engine in engines:
        with engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert driver is not None
            # MLflow's migrations make indexes and constraints in an order of their own each time.
            dumps.append(sorted(sorted(line.strip("\t ,") for line in text.splitlines()) for text in driver.iterdump()))
        engine.dispose()
    assert dumps[0] == dumps[1]
    assert len(dumps[0]) > 100


@pytest.mark.usefixtures("not_imported")
@pytest.mark.timeout(120)  # Python starts anew
def test_what_went_wrong_is_told_without_the_password() -> None:
    with pytest.raises(TargetError, match="MLflow could not make its tables") as caught:
        mlflow_schema.make_schema(make_url("postgresql+psycopg2://me:s3cret@127.0.0.1:1/x"))
    assert "s3cret" not in str(caught.value)


@pytest.mark.usefixtures("not_imported")
def test_a_process_that_dies_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlflow_schema, "_CHILD", "import sys; sys.exit('no luck')")
    with pytest.raises(TargetError, match="its process ended with 1: no luck"):
        mlflow_schema.head_revision()


@pytest.mark.usefixtures("not_imported")
def test_mlflow_in_full_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    hide = "import sys; sys.modules['mlflow.store.db'] = None; "
    monkeypatch.setattr(mlflow_schema, "_CHILD", hide + mlflow_schema._CHILD)
    with pytest.raises(MissingExtraError, match=r"pip install 'mlflow-archive\[server\]'"):
        mlflow_schema.head_revision()


def test_a_restore_does_not_import_mlflow(tmp_path: Path) -> None:
    code = (
        "import sys; from mlflow_archive.sinks.restore.locate import locate_database; "
        "database = locate_database(sys.argv[1]); database.open(); database.begin(); database.commit(); "
        "print([name for name in sys.modules if name.startswith('mlflow.')])"
    )
    path = os.pathsep.join(each or str(Path.cwd()) for each in sys.path)
    done = subprocess.run(
        [sys.executable, "-c", code, f"sqlite:///{tmp_path / 'new.db'}"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.stdout == "[]\n", done.stderr
    assert (tmp_path / "new.db").stat().st_size > 0
