"""MLflow's schema is made as recorded or by MLflow, in a process of its own if it is not imported: all are the same."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import mlflow
import pytest
from mlflow.store.db import utils
from sqlalchemy import URL, create_engine, make_url

from mlflow_archive.errors import MissingExtraError, TargetError
from mlflow_archive.mlflow_database import mlflow_schema, recorded_schema
from tests.support.databases import initialize_by_copy, sqlite_rows


@pytest.fixture
def not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have MLflow itself be asked."""
    monkeypatch.setattr(mlflow_schema, "recorded_schema", lambda: None)


@pytest.fixture
def not_imported(monkeypatch: pytest.MonkeyPatch, not_recorded: None) -> None:
    """Have the module believe that MLflow is not there yet, nor recorded."""
    monkeypatch.setattr(mlflow_schema, "_MLFLOW", "mlflow.not.imported")


def _url(path: Path) -> URL:
    return make_url(f"sqlite:///{path}")


def _dump(path: Path) -> list[list[str]]:
    """Return what is in a database. MLflow's migrations make indexes and constraints in another order each time."""
    with closing(sqlite3.connect(path)) as connection:
        return sorted(sorted(line.strip("\t ,") for line in text.splitlines()) for text in connection.iterdump())


@pytest.mark.usefixtures("migrated_databases")
def test_all_ways_give_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow_schema.make_schema(_url(tmp_path / "recorded.db"))
    assert mlflow_schema.head_revision() == utils._get_latest_schema_revision()
    monkeypatch.setattr(mlflow_schema, "recorded_schema", lambda: None)
    mlflow_schema.make_schema(_url(tmp_path / "here.db"))
    monkeypatch.setattr(mlflow_schema, "_MLFLOW", "mlflow.not.imported")
    mlflow_schema.make_schema(_url(tmp_path / "child.db"))
    assert mlflow_schema.head_revision() == utils._get_latest_schema_revision()
    engine = create_engine(_url(tmp_path / "copied.db"))
    initialize_by_copy(engine)
    engine.dispose()
    made = _dump(tmp_path / "here.db")
    assert len(made) > 100
    for other in ("recorded.db", "child.db", "copied.db"):
        assert _dump(tmp_path / other) == made, other
        assert sqlite_rows(tmp_path / other, "PRAGMA integrity_check") == [("ok",)]


def test_the_installed_mlflow_is_recorded_until_one_of_its_files_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert recorded_schema.recorded_schema(), "another MLflow than was recorded: python -m tests.mlflow_database"
    digest = recorded_schema.installed_migrations()
    original = Path(mlflow.__file__).parent
    for pattern in recorded_schema._MADE_OF:
        for path in original.glob(pattern):
            copy = tmp_path / "mlflow" / path.relative_to(original)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path / "mlflow")])
    monkeypatch.setattr(recorded_schema, "find_spec", lambda name: spec)
    assert recorded_schema.installed_migrations() == digest
    with (tmp_path / "mlflow/store/db_migrations/versions/451aebb31d03_add_metric_step.py").open("a") as file:
        file.write("#")
    assert recorded_schema.installed_migrations() != digest
    assert recorded_schema.recorded_schema() is None


def test_without_mlflow_in_full_nothing_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_there(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", not_there)
    assert recorded_schema.recorded_schema() is None


def test_tables_that_are_there_are_told(tmp_path: Path) -> None:
    mlflow_schema.make_schema(_url(tmp_path / "twice.db"))
    with pytest.raises(TargetError, match=r"tables could not be made: table alembic_version already exists"):
        mlflow_schema.make_schema(_url(tmp_path / "twice.db"))


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
