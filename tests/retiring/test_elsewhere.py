"""An archive that lies where the source keeps its own files is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlflow_archive.errors import SelectionError
from mlflow_archive.format.location import archive_place
from mlflow_archive.retiring.elsewhere import check_lies_elsewhere

INSIDE = {
    "below an experiment": ("/data/mlruns/1/x.mlfa", "/data/mlruns/1"),
    "beside an experiment": ("/data/mlruns/x.mlfa", "file:///data/mlruns/1"),
    "beside an experiment with a slash": ("/data/mlruns/x.mlfa", "/data/mlruns/1/"),
    "the folder itself": ("/data/artifacts", "/data/artifacts"),
    "the same bucket": ("s3://bucket/backup", "s3a://bucket/mlflow/1"),
    "the same bucket of Google": ("gs://bucket/backup", "gcs://bucket/1"),
    "the same bucket, as it once was called": ("s3://bucket/backup", "s3n://bucket/1"),
    "the same container of Azure": ("az://box/backup", "abfs://box/1"),
    "the same container, as it once was called": ("az://box/backup", "wasb://box/1"),
    "the same container": ("abfss://c@account.dfs.core.windows.net/x", "wasbs://c@account.dfs.core.windows.net/y"),
}
ELSEWHERE = {
    "another folder": ("/data/backup/x.mlfa", "/data/mlruns/1"),
    "a folder of a longer name": ("/data/mlruns-backup/x.mlfa", "/data/mlruns/1"),
    "another bucket": ("s3://backup/x", "s3://bucket/mlflow"),
    "behind a proxy": ("/data/x.mlfa", "mlflow-artifacts:/1"),
    "at the top": ("/data/x.mlfa", "/1"),
    "at the top, as a URL": ("/data/x.mlfa", "file:///1"),
    "at the top, behind two slashes": ("/data/x.mlfa", "//1"),
    "at the top, as a URL of four": ("/data/x.mlfa", "file:////1"),
    "beside what is no experiment": ("/data/x.mlfa", "/data/a1"),
    "behind the top of a bucket": ("s3://other/x", "s3://bucket/1"),
    "a web server": ("https://example.com/x.mlfa", "/data"),
}


@pytest.mark.parametrize(("archive", "root"), INSIDE.values(), ids=INSIDE)
def test_inside(archive: str, root: str) -> None:
    with pytest.raises(SelectionError, match="lies where the source keeps its own files"):
        check_lies_elsewhere(archive_place(archive), [root])


def test_what_is_said_of_it() -> None:
    with pytest.raises(SelectionError) as caught:
        check_lies_elsewhere(archive_place("/data/x.mlfa"), ["/other", "/data/1"])
    assert str(caught.value) == (
        "/data/x.mlfa lies where the source keeps its own files (/data): it would go with them. Move it to another "
        "folder or bucket, best to another disk, and give it from there"
    )


@pytest.mark.parametrize(("archive", "root"), ELSEWHERE.values(), ids=ELSEWHERE)
def test_elsewhere(archive: str, root: str) -> None:
    check_lies_elsewhere(archive_place(archive), [root])


def test_an_archive_around_the_root(tmp_path: Path) -> None:
    with pytest.raises(SelectionError):
        check_lies_elsewhere(tmp_path, [str(tmp_path / "artifacts")])
