"""Rows on their way to the merge: coded and plain ones sort alike, blocks come back as they were or are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_archive.errors import TargetError
from mlflow_archive.kinds import TABLES
from mlflow_archive.storage.files import Files
from mlflow_archive.writer import staged
from mlflow_archive.writer.coded import coded, plain, sort_rows, without_unused
from mlflow_archive.writer.staged import StagedBlock, StagedWriter, read_block
from tests.support.memory_source import MemoryOptions, export, interrupted_export, rows_to_tables
from tests.writer.test_laws import few, points, texts

METRICS, TAGS = TABLES["metrics"], TABLES["tags"]
repeated_tags = st.lists(
    st.fixed_dictionaries({"run_id": st.sampled_from("abc"), "key": texts, "value": st.none() | texts}), min_size=1
)


def as_text(points: pa.Table) -> str:
    """NaN is not equal to itself."""
    return repr(plain(points, METRICS).to_pylist())


@few
@given(rows=points.filter(bool))
def test_coded_points_sort_as_plain_ones(rows: list[dict[str, Any]]) -> None:
    table = rows_to_tables({"metrics": rows})["metrics"]
    assert as_text(sort_rows(coded(table, METRICS), METRICS)) == as_text(sort_rows(table, METRICS))


NAN, FIRST = float("nan"), {"step": 0, "timestamp": 0, "value": 1.0}


@pytest.mark.parametrize(
    "second",
    [
        FIRST,
        {**FIRST, "step": -1},
        {**FIRST, "step": 1, "timestamp": -1, "value": 0.0},
        {**FIRST, "timestamp": -1, "value": 2.0},
        {**FIRST, "value": 0.5},
        {**FIRST, "value": NAN},
        {**FIRST, "dataset_name": "a"},
    ],
)
@pytest.mark.parametrize("keys", ["ab", "aa"])
def test_points_as_they_are_logged_sort_as_plain_ones(second: dict[str, Any], keys: str) -> None:
    logged = [{"run_id": run, "key": key, **point} for point in (FIRST, second) for run in "ra" for key in keys]
    for rows in (logged, logged[::-1]):
        table = rows_to_tables({"metrics": rows})["metrics"]
        assert as_text(sort_rows(coded(table, METRICS), METRICS)) == as_text(sort_rows(table, METRICS))


@few
@given(rows=repeated_tags)
def test_of_coded_rows_with_one_key_the_first_is_kept(rows: list[dict[str, Any]]) -> None:
    table = rows_to_tables({"tags": rows + rows})["tags"]
    found = plain(sort_rows(coded(table, TAGS), TAGS), TAGS)
    assert found.equals(sort_rows(table, TAGS))
    assert found.num_rows == len({(row["run_id"], row["key"]) for row in rows})


@few
@given(rows=points.filter(bool))
def test_a_slice_knows_only_its_own_texts(rows: list[dict[str, Any]]) -> None:
    table = sort_rows(coded(rows_to_tables({"metrics": rows})["metrics"], METRICS), METRICS)
    for at in range(table.num_rows):
        part = without_unused(table.slice(at, 2))
        assert as_text(part) == as_text(table.slice(at, 2))
        assert len(part["run_id"].chunk(0).dictionary) <= 2


def test_blocks_come_back_or_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staged, "BLOCK_BYTES", 1)
    monkeypatch.setattr(staged, "_MIN_ROWS", 3)
    rows = [{"run_id": f"r{n // 4}", "key": "k", "step": n, "timestamp": n, "value": n / 7} for n in range(11)]
    table = sort_rows(coded(rows_to_tables({"metrics": rows})["metrics"], METRICS), METRICS)
    writer = StagedWriter(Files().create(tmp_path / "a"))
    writer.add(table, METRICS)
    file = writer.finish(durable=True)
    ranges = [(block.low, block.high) for block in file.blocks]
    assert ranges == [("r0", "r0"), ("r0", "r1"), ("r1", "r2"), ("r2", "r2")]
    assert [StagedBlock.from_json(block.to_json()) for block in file.blocks] == list(file.blocks)
    found = [row for block in file.blocks for row in plain(read_block(file.path, block, METRICS), METRICS).to_pylist()]
    assert found == plain(table, METRICS).to_pylist()
    whole = file.path.read_bytes()
    assert len(whole) == file.size
    for at in range(0, len(whole), 7):
        file.path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        (hit,) = [block for block in file.blocks if block.offset <= at < block.offset + block.size]
        with pytest.raises(TargetError, match="is damaged; remove the folder"):
            read_block(file.path, hit, METRICS)


def test_a_damaged_file_of_an_interrupted_export_is_refused(tmp_path: Path) -> None:
    interrupted_export(tmp_path / "a")
    for path in (tmp_path / "a" / "staging").glob("*.rows"):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    with pytest.raises(TargetError, match=r"is damaged; remove the folder .*staging"):
        export(tmp_path / "a", MemoryOptions())
