"""A file store with every kind of object and a database, each made by MLflow once for all tests here."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mlflow_archive.sources.mlruns import MlrunsSource
from tests.support.databases import empty_database
from tests.support.full_store import make_full_store
from tests.support.reading import Read, read_source


@pytest.fixture(scope="session")
def full_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the store."""
    return make_full_store(tmp_path_factory.mktemp("full-store"))


@pytest.fixture(scope="session")
def full_read(full_store: Path) -> Read:
    """What the source gives of it."""
    return read_source(MlrunsSource(full_store))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where a test makes a file store of its own."""
    return tmp_path / "mlruns"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database at MLflow's newest schema, for one test."""
    path = tmp_path / "mlflow.db"
    shutil.copyfile(empty_database(), path)
    return path
