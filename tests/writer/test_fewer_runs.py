"""Runs that are brought together before a merge: the same rows in the same parts, each piece read once for a level."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlflow_archive.kinds import TABLES, Table
from mlflow_archive.storage.files import Files
from mlflow_archive.writer import merge
from mlflow_archive.writer.coded import coded, plain, sort_rows
from mlflow_archive.writer.fewer_runs import FewerRuns
from mlflow_archive.writer.merge import Piece, merged, slices, staged_piece
from mlflow_archive.writer.staged import StagedBlock, StagedWriter
from tests.support.chunks import table
from tests.support.memory_source import MemoryOptions, export

METRICS = TABLES["metrics"]
KIB = 1024


def staged_runs(folder: Path, runs: list[list[tuple[int, int]]], loads: Counter[Path]) -> list[Piece]:
    """Return the pieces of a file for each run of (run, step); ``loads`` counts reads by file."""
    pieces = []
    for number, points in enumerate(runs):
        of_run = {"key": "k", "timestamp": 0, "value": 0.5}
        rows = table("metrics", [{**of_run, "run_id": f"{run:04d}", "step": step} for run, step in points])
        writer = StagedWriter(Files().create(folder / f"{number:06d}.rows"))
        writer.add(sort_rows(coded(rows, METRICS), METRICS), METRICS)
        file = writer.finish(durable=False)
        pieces += [noted(file.path, block, loads) for block in file.blocks]
    return pieces


def noted(path: Path, block: StagedBlock, loads: Counter[Path]) -> Piece:
    piece = staged_piece(path, block, METRICS)

    def load() -> pa.Table:
        loads[path] += 1
        return piece.load()

    return replace(piece, load=load)


def fewer(folder: Path, pieces: list[Piece]) -> list[Piece]:
    numbers = count(1)
    runs = FewerRuns(Files(), lambda: folder / f"brought-{next(numbers)}.rows")
    with ThreadPoolExecutor(2) as pool:
        return list(runs.of(pieces, METRICS, pool))


def rows_of(pieces: list[Piece], held: list[Piece]) -> list[dict[str, Any]]:
    found = pa.concat_tables(merged(list(slices(pieces, 1, lying_in=held)), METRICS))
    rows: list[dict[str, Any]] = plain(found, METRICS).to_pylist()
    return rows


@pytest.mark.parametrize(("runs", "files"), [(4, 0), (5, 1), (16, 4), (17, 5), (70, 24)])
def test_each_run_is_read_once_for_each_level(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs: int, files: int
) -> None:
    monkeypatch.setattr(merge, "OPEN_BYTES", 4 * 64 * KIB)
    loads: Counter[Path] = Counter()
    pieces = staged_runs(tmp_path, [[(run, at) for run in range(9)] for at in range(runs)], loads)
    held = fewer(tmp_path, pieces)
    assert len({piece.run for piece in held}) == min(runs, 4)
    assert set(loads.values()) <= {1}
    assert len(list(tmp_path.glob("brought-*"))) == files
    found = rows_of(pieces, held)
    assert set(loads.values()) == {1}
    assert found == rows_of(pieces, pieces)
    assert [(row["run_id"], row["step"]) for row in found] == [(f"{n:04d}", at) for n in range(9) for at in range(runs)]


@settings(max_examples=20, deadline=None)
@given(runs=st.lists(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 3)), min_size=1), min_size=1, max_size=12))
def test_no_row_is_lost_or_doubled(tmp_path_factory: pytest.TempPathFactory, runs: list[list[tuple[int, int]]]) -> None:
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merge, "OPEN_BYTES", 2 * 64 * KIB)
        pieces = staged_runs(folder, runs, Counter())
        held = fewer(folder, pieces)
        assert rows_of(pieces, held) == rows_of(pieces, pieces)
        assert len({piece.run for piece in held}) <= 2


def test_an_export_writes_the_same_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export(tmp_path / "a", MemoryOptions(), jobs=1)
    monkeypatch.setattr(merge, "OPEN_BYTES", 2 * 64 * KIB)
    brought = []
    one_run = FewerRuns._one_run

    def noting(runs: FewerRuns, of: Table, pieces: Sequence[Piece]) -> list[Piece]:
        brought.append(of.name)
        return one_run(runs, of, pieces)

    monkeypatch.setattr(FewerRuns, "_one_run", noting)
    export(tmp_path / "b", MemoryOptions(), jobs=2, seal_seconds=0)
    assert {"runs", "metrics", "params"} <= set(brought)
    parts = [
        {path.relative_to(root): path.read_bytes() for path in root.glob("tables/*/*") if path.parent.name != "blobs"}
        for root in (tmp_path / "a", tmp_path / "b")
    ]
    assert parts[0] == parts[1]
    assert not list(tmp_path.rglob("*.rows"))
