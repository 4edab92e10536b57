"""What is no store, and what is said of it: what it is, and the way on."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from mlflow_archive.errors import SelectionError, StoreError
from mlflow_archive.sources.locate import locate_source
from tests.support.mlruns import one_run


def test_a_folder_above_a_store(tmp_path: Path) -> None:
    one_run(tmp_path / "project" / "mlruns")
    (tmp_path / "project" / "src").mkdir()
    with closing(sqlite3.connect(tmp_path / "project" / "mlflow.db")) as database:
        database.execute("CREATE TABLE t (x)")
    with pytest.raises(SelectionError) as refused:
        locate_source(str(tmp_path / "project"))
    project = tmp_path / "project"
    assert str(refused.value).endswith(f"not one; give {project / 'mlruns'} or sqlite:///{project / 'mlflow.db'}")
    locate_source(str(project / "mlruns")).facts()


def test_a_store_with_a_folder_named_like_one_is_a_store(tmp_path: Path) -> None:
    one_run(tmp_path / "mlruns")
    shutil.copytree(tmp_path / "mlruns", tmp_path / "mlruns" / "backup")
    locate_source(str(tmp_path / "mlruns")).facts()


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git lfs pull"),
        (b"PK\x03\x04" + bytes(200), "is a ZIP file; unpack it"),
        (b"\x1f\x8b" + bytes(200), "compressed by gzip; unpack it"),
        (b"\x28\xb5\x2f\xfd" + bytes(200), "compressed by zstd; unpack it"),
    ],
    ids=["lfs", "zip", "gzip", "zstd"],
)
def test_a_file_that_is_something_else(head: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(head)
    with pytest.raises(SelectionError, match=words):
        locate_source(str(tmp_path / "mlflow.db"))
    with pytest.raises(StoreError, match=words):
        locate_source(f"sqlite:///{tmp_path / 'mlflow.db'}").facts()
