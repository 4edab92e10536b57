"""What exports tell of their source as a whole: of those that tell of the same, the newest counts."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

import mlflow_archive as ma
from mlflow_archive.flow.chunk import Gap
from mlflow_archive.flow.copy import copy
from mlflow_archive.format.gaps import SOURCE, UNKNOWN_FIELD
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.reader.inspection.summary import summarize
from mlflow_archive.writer.export import ArchiveOptions, ArchiveSink
from tests.spec.make_vectors import VECTORS
from tests.support.chunks import ChunkSource, chunk, experiment

EXPECTED: Final = {
    ("d" * 32, "", "its meta.yaml is cut off"),
    ("run", "later", "3 times"),
    ("trace", "later", "2 times"),
}


def test_the_newest_row_counts_and_is_counted_once() -> None:
    path = VECTORS / "valid" / "told_twice.mlfa"
    with open_archive(path) as archive:
        rows = archive.table("gaps").to_pylist()
        assert {(row["owner_id"], row["path"], row["reason"]) for row in rows} == EXPECTED
        assert len(rows) == len(EXPECTED)
        assert summarize(archive).gaps == {"G201": 1, "G404": 2}
        assert summarize(archive).counts["gaps"] == len(EXPECTED)
        assert archive.table("gaps", owners=["run"])["reason"].to_pylist() == ["3 times"]


def test_sql_sees_the_same() -> None:
    pytest.importorskip("duckdb")
    with ma.open(VECTORS / "valid" / "told_twice.mlfa") as archive:
        rows = archive.sql("select owner_id, path, reason from gaps").to_pylist()
    assert {tuple(row.values()) for row in rows} == EXPECTED
    assert len(rows) == len(EXPECTED)


def test_an_append_replaces_what_the_export_before_told(tmp_path: Path) -> None:
    path = tmp_path / "a.mlfa"
    for number, fields in enumerate(({"later": 100, "sooner": 1}, {"later": 3}, {"later": 3}, {})):
        gaps = [
            Gap(owner_kind=SOURCE, owner_id="run", path=field, code=UNKNOWN_FIELD, reason=f"{times} times").row()
            for field, times in fields.items()
        ]
        content = chunk(experiments=[experiment("1", f"e{number}", creation_time=1)], gaps=gaps)
        sink = ArchiveSink(path, tool="test 1", clock_ms=lambda: 0, options=ArchiveOptions(append=number > 0))
        copy(ChunkSource((0, [content])), sink)
        with open_archive(path) as archive:
            told = {row["path"]: row["reason"] for row in archive.table("gaps").to_pylist()}
        assert told == ({"later": "100 times", "sooner": "1 times"} if not number else {"later": "3 times"}), number
