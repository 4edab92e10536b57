"""Rows by the first column of their key, of parts in order and of parts that break the order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path

import pyarrow as pa
import pytest

from mlflow_archive.reader.archive import Archive, open_archive
from mlflow_archive.reader.stored import recent
from mlflow_archive.reader.stored.parts import Part
from mlflow_archive.reader.stored.recent import RecentGroups
from tests.spec.drafts import Draft, Row, build, part, write_directory

RUNS = [letter * 32 for letter in "abcde"]


@contextmanager
def archive_of(folder: Path, order: list[int]) -> Iterator[Archive]:
    """Give an archive of five runs whose params stand in this order; params are numbered by their value."""

    def rows(by_table: dict[str, list[Row]]) -> None:
        (first, *_) = by_table["runs"]
        by_table["runs"] = [{**first, "run_id": run_id} for run_id in RUNS]
        by_table["params"] = [{"run_id": RUNS[n // 2], "key": f"k{n % 2}", "value": str(n)} for n in range(10)]

    def tables(by_path: dict[str, pa.Table]) -> None:
        by_path[part("params")] = by_path[part("params")].take(order)

    write_directory(build(Draft(rows=rows, tables=tables)), folder)
    with open_archive(folder) as archive:
        yield archive


@pytest.mark.parametrize(
    "order",
    [
        list(range(10)),
        [6, 7, 0, 1, 2, 3, 8, 9, 4, 5],
        [8, 9, 6, 7, 4, 5, 2, 3, 0, 1],
        [0, 2, 1, 4, 3, 6, 5, 8, 7, 9],
        [1, 0, 2, 3, 4, 5, 6, 7, 8, 9],
    ],
    ids=["sorted", "3 1 2 5 4", "backwards", "seams", "within a run"],
)
def test_every_row_of_the_owners_is_read_whatever_the_order_of_a_part(tmp_path: Path, order: list[int]) -> None:
    with archive_of(tmp_path / "a", order) as archive:
        for count in range(1, len(RUNS) + 1):
            for owners in combinations(range(len(RUNS)), count):
                rows = archive.table("params", owners=[RUNS[n] for n in owners])
                expected = [n for n in order if n // 2 in owners]
                assert list(map(int, rows["value"].to_pylist())) == expected, owners


def test_a_whole_row_group_comes_in_order_whatever_that_of_the_part(tmp_path: Path) -> None:
    with archive_of(tmp_path / "a", [6, 7, 0, 1, 2, 3, 8, 9, 4, 5]) as archive:
        found = RecentGroups().group(archive.open_part(archive.parts("params")[0]), 0)
        assert list(map(int, found["value"].to_pylist())) == list(range(10))


def test_owners_that_are_not_there_have_no_rows(tmp_path: Path) -> None:
    with archive_of(tmp_path / "a", list(range(10))) as archive:
        for owners in (["0"], ["bb"], ["f" * 32], ["0", "bb", "f" * 32], []):
            assert archive.table("params", owners=owners).num_rows == 0
        assert archive.table("params", owners=["0", RUNS[1], "bb"])["value"].to_pylist() == ["2", "3"]


def test_the_group_that_was_used_longest_ago_is_dropped_when_there_is_no_more_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []
    read = Part.read

    def spy(self: Part, index: int, columns: Sequence[str] | None = None, *, encoded: bool = False) -> pa.Table:
        reads.append(self.table.name)
        return read(self, index, columns, encoded=encoded)

    monkeypatch.setattr(Part, "read", spy)
    with archive_of(tmp_path / "a", list(range(10))) as archive:
        parts = {name: archive.open_part(archive.parts(name)[0]) for name in ("runs", "params", "metrics")}
        sizes = {name: read(part, 0).nbytes for name, part in parts.items()}
        groups = RecentGroups()

        def reads_for(names: str) -> list[str]:
            reads.clear()
            for name in names.split():
                assert next(iter(groups.rows(parts[name], RUNS, None))).num_rows
            return list(reads)

        monkeypatch.setattr(recent, "KEPT_BYTES", sum(sizes.values()))
        assert reads_for("runs params metrics runs params metrics") == ["runs", "params", "metrics"]
        groups.clear()
        assert reads_for("runs params metrics runs params metrics") == ["runs", "params", "metrics"]
        groups.clear()
        monkeypatch.setattr(recent, "KEPT_BYTES", sum(sizes.values()) - 1)
        assert reads_for("runs params runs metrics runs") == ["runs", "params", "metrics"]
        assert reads_for("params") == ["params"]
        assert reads_for("metrics") == ["metrics"]


@pytest.mark.parametrize("columns", [["run_id"], ["run_id", "value"], ["run_id", "key"], ["run_id", "key", "value"]])
def test_columns_that_were_not_read_before_are_read(tmp_path: Path, columns: list[str]) -> None:
    with archive_of(tmp_path / "a", list(range(10))) as archive:
        for _ in range(2):
            assert archive.table("params", owners=RUNS[:1], columns=["run_id", "key"]).column_names == ["run_id", "key"]
            assert archive.table("params", owners=RUNS[:1], columns=columns).column_names == columns
