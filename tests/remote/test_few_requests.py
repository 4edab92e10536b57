"""How many requests a command takes, counted, and how many of them one after the other."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlflow_archive_cli.main import run
from tests.support.counted_store import CountedBucket
from tests.support.memory_source import MemoryOptions, export, run_id

MEGABYTE = 1_000_000
PARTS_OF_A_RUN = ("runs", "params", "tags", "metrics", "dataset_inputs", "artifacts")
"""The tables that have a part in which the run may be."""


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One export in both forms, with a part larger than the end of it that is always read."""
    folder = tmp_path_factory.mktemp("archives")
    options = MemoryOptions(runs=12, points=3000, sizes=(MEGABYTE, 300), distinct=2)
    paths = {"directory": folder / "backup", "file": folder / "backup.mlfa"}
    for path in paths.values():
        export(path, options)
    return paths


@pytest.mark.parametrize("form", ["directory", "file"])
def test_counts(
    archives: dict[str, Path], form: str, counted: CountedBucket, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    path = archives[form]
    counted.seconds = 0.01
    counted.upload(path, f"deep/{path.name}")
    uri = f"s3://bucket/deep/{path.name}"
    one = run_id(7)
    for verb, rest, most in (
        ("info", [], 4),
        ("show", [one], 3 + 2 * len(PARTS_OF_A_RUN)),
        ("cat", [f"{one}/model/file 0.bin"], 10),
    ):
        assert run([verb, str(path), *rest]) == 0
        expected = capsysbinary.readouterr().out
        counted.forget()
        assert run([verb, uri, *rest]) == 0
        assert capsysbinary.readouterr().out.replace(uri.encode(), str(path).encode()) == expected
        assert len(counted.requests) <= most, counted.requests
        assert counted.turns <= 5, counted.requests
        assert {request.verb for request in counted.requests} == {"get"}
