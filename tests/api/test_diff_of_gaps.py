"""Gaps of artifacts are no difference where artifacts are not compared; other gaps are."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlflow_archive.api.diffing import diff
from mlflow_archive.flow.copy import copy
from mlflow_archive.writer.export import ArchiveSink
from tests.support.chunks import ChunkSource, chunk, experiment, run

A = "a" * 32


def archive(path: Path, *codes: str) -> Path:
    gaps = [{"owner_kind": "run", "owner_id": A, "path": "x", "code": code, "reason": "why"} for code in codes]
    source = ChunkSource((0, [chunk(experiments=[experiment("5", "e")])]), (1, [chunk(runs=[run(A, "5")], gaps=gaps)]))
    copy(source, ArchiveSink(path, tool="test 1", clock_ms=lambda: 0))
    return path


@pytest.mark.parametrize("code", ["G101", "G102", "G103", "G104", "G105"])
def test_gaps_of_artifacts(code: str, tmp_path: Path) -> None:
    whole, with_gap = archive(tmp_path / "a.mlfa"), archive(tmp_path / "b.mlfa", code)
    assert diff(whole, with_gap).counts["changed"] == 1
    assert diff(whole, with_gap, artifacts=False).same


def test_other_gaps_are_compared(tmp_path: Path) -> None:
    whole, with_gap = archive(tmp_path / "a.mlfa"), archive(tmp_path / "b.mlfa", "G202", "G101")
    (change,) = diff(whole, with_gap, artifacts=False).changes
    assert [field.key["code"] for field in change.fields] == ["G202"]
