"""How sorted pieces are cut into slices and parts, and what the merge of a slice gives: whole values, at the edges."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import pyarrow as pa
import pytest

from mlflow_archive.kinds import TABLES
from mlflow_archive.writer import merge as merge_module
from mlflow_archive.writer.coded import coded, sort_rows
from mlflow_archive.writer.merge import Piece, Slice, in_parts, memory_piece, merged, slices
from tests.support.chunks import table

METRICS, TAGS = TABLES["metrics"], TABLES["tags"]


def piece(low: str, high: str, nbytes: int = 10, **options: Any) -> Piece:
    return Piece(low=low, high=high, nbytes=nbytes, stored=nbytes // 2, load=METRICS.schema.empty_table, **options)


def cut(pieces: list[Piece], size: int) -> list[tuple[str, str | None, list[int], int]]:
    """Return low, high, the pieces by their place in the list, and what is stored, of each slice."""
    return [
        (
            one.low,
            one.high,
            [next(at for at, own in enumerate(pieces) if own is held) for held in one.pieces],
            one.stored,
        )
        for one in slices(pieces, size)
    ]


def test_a_slice_begins_where_enough_has_come_together_and_at_a_new_key() -> None:
    pieces = [piece("a", "a"), piece("b", "b"), piece("b", "c"), piece("d", "d")]
    assert cut(pieces, 10) == [("a", "b", [0], 5), ("b", "d", [1, 2], 10), ("d", None, [3], 5)]
    assert cut(pieces, 11) == cut(pieces, 20) == [("a", "b", [0], 5), ("b", None, [1, 2, 3], 15)]
    assert cut(pieces, 21) == [("a", "d", [0, 1, 2], 15), ("d", None, [3], 5)]
    assert cut(pieces, 30) == [("a", "d", [0, 1, 2], 15), ("d", None, [3], 5)]
    assert cut(pieces, 31) == [("a", None, [0, 1, 2, 3], 20)]
    assert cut([], 10) == []


def test_a_piece_that_reaches_into_later_slices_is_in_all_of_them() -> None:
    pieces = [piece("a", "c"), piece("b", "b"), piece("c", "c"), piece("d", "d")]
    assert cut(pieces, 1) == [
        ("a", "b", [0], 5), ("b", "c", [0, 1], 5), ("c", "d", [0, 2], 5), ("d", None, [3], 5)
    ]  # fmt: skip


def test_pieces_are_taken_in_the_order_of_their_keys_then_runs_and_numbers() -> None:
    pieces = [
        piece("b", "b"),
        piece("a", "z", run="s", number=0),
        piece("a", "b", run="t", number=2),
        piece("a", "b", run="t", number=1),
        piece("a", "b", run="s", number=3),
    ]
    [(_, _, order, _)] = cut(pieces, 1000)
    assert order == [4, 3, 2, 1, 0]


def stored(*sizes: int) -> list[Slice]:
    return [Slice(low=str(at), high=None, pieces=(), stored=size) for at, size in enumerate(sizes)]


@pytest.mark.parametrize(
    ("sizes", "part_bytes", "at_least", "grouped"),
    [
        ([], 10, 1, []),
        ([10, 10, 10], 10, 1, [[10], [10], [10]]),
        ([10, 10, 10], 15, 1, [[10, 10], [10]]),
        ([10, 10, 10], 14, 1, [[10], [10], [10]]),
        ([10, 11], 15, 1, [[10, 11]]),
        ([10, 10, 10], 100, 1, [[10, 10, 10]]),
        ([10, 10, 10], 100, 2, [[10, 10], [10]]),
        ([10, 10, 10], 100, 3, [[10], [10], [10]]),
        ([99, 1, 1], 10, 1, [[99], [1, 1]]),
        ([3, 4, 5], 8, 1, [[3, 4], [5]]),
        ([3, 4, 2], 8, 1, [[3, 4, 2]]),
    ],
)
def test_slices_are_grouped_into_parts(
    sizes: list[int], part_bytes: int, at_least: int, grouped: list[list[int]]
) -> None:
    parts = in_parts(iter(stored(*sizes)), part_bytes, at_least)
    assert [[one.stored for one in part] for part in parts] == grouped


def points(*steps: tuple[str, int]) -> pa.Table:
    rows = [{"run_id": run, "key": "k", "step": step, "timestamp": 0, "value": 0.0} for run, step in steps]
    return table("metrics", rows)


def of(*steps: tuple[str, int], **options: Any) -> Piece:
    """Return a piece over points that are sorted already."""
    plain = memory_piece(points(*steps), METRICS)
    return Piece(low=plain.low, high=plain.high, nbytes=plain.nbytes, stored=plain.stored, load=plain.load, **options)


def merge(pieces: list[Piece], low: str, high: str | None, size: int = 10**6) -> list[list[tuple[str, int]]]:
    """Return run and step of the rows of each table that the merge of a slice gives."""
    merge_slice = Slice(low=low, high=high, pieces=tuple(pieces), stored=0)
    return [
        list(zip(rows["run_id"].to_pylist(), rows["step"].to_pylist(), strict=True))
        for rows in merged([merge_slice], METRICS, slice_bytes=size)
    ]


def test_a_slice_has_its_first_key_and_not_its_last() -> None:
    pieces = [of(("a", 1), ("b", 1), ("c", 1)), of(("b", 0), ("d", 0))]
    assert merge(pieces, "b", "c") == [[("b", 0), ("b", 1)]]
    assert merge(pieces, "b", None) == [[("b", 0), ("b", 1), ("c", 1), ("d", 0)]]
    assert merge(pieces[:1], "a", "b") == [[("a", 1)]]
    assert merge(pieces[:1], "d", None) == merge([], "a", None) == []
    assert merge(pieces, "e", "f") == []


def test_pieces_that_follow_one_another_are_taken_as_they_are() -> None:
    apart = [of(("a", 2), ("a", 1)), of(("b", 2), ("b", 1))]
    assert merge(apart, "a", None) == [[("a", 2), ("a", 1), ("b", 2), ("b", 1)]]
    touching = [of(("a", 2)), of(("a", 1))]
    assert merge(touching, "a", None) == [[("a", 1), ("a", 2)]]
    of_one_run = [of(("a", 2), run="r", number=1), of(("a", 1), run="r", number=2)]
    assert merge(of_one_run, "a", None) == [[("a", 2), ("a", 1)]]
    for before, after in ((("r", 1), ("s", 2)), (("r", 2), ("r", 1)), (("r", 1), ("r", 1)), ((None, 1), (None, 2))):
        mixed = [
            of(("a", 2), run=before[0], number=before[1]),
            of(("a", 1), run=after[0], number=after[1]),
        ]
        assert merge(mixed, "a", None) == [[("a", 1), ("a", 2)]]


def test_one_very_long_history_is_given_out_piece_by_piece() -> None:
    pieces = [of(("a", 3), ("a", 4)), of(("a", 1), ("a", 2)), of(("a", 9), ("b", 5)), of(("b", 1))]
    alone = sum(one.nbytes for one in pieces[:2])
    assert merge(pieces, "a", None, size=alone // 4 - 1) == [
        [("a", 3), ("a", 4)], [("a", 1), ("a", 2)], [("a", 9)], [("b", 1), ("b", 5)]
    ]  # fmt: skip
    assert merge(pieces, "a", None, size=alone // 4 + 1) == [
        [("a", 1), ("a", 2), ("a", 3), ("a", 4), ("a", 9), ("b", 1), ("b", 5)]
    ]
    assert merge(pieces[:2], "a", "b", size=1) == [[("a", 3), ("a", 4)], [("a", 1), ("a", 2)]]


def counted(runs: int, blocks: int, loads: Counter[int]) -> list[Piece]:
    """Return the blocks of sorted runs that all reach over the whole range of keys; ``loads`` counts by block."""
    pieces: list[Piece] = []

    def load(number: int, rows: pa.Table) -> pa.Table:
        loads[number] += 1
        return rows

    for sorted_run, block in product(range(runs), range(blocks)):
        rows = points(*((f"{step:05d}", sorted_run) for step in range(10 * block + sorted_run, 10 * block + 10, 3)))
        held = of(*zip(rows["run_id"].to_pylist(), rows["step"].to_pylist(), strict=True), run=sorted_run, number=block)
        pieces.append(replace(held, load=partial(load, len(pieces), rows)))
    return pieces


def test_each_piece_is_loaded_once_however_many_runs_reach_into_a_slice() -> None:
    for runs, blocks in ((3, 40), (9, 40), (9, 160)):
        loads: Counter[int] = Counter()
        pieces = counted(runs, blocks, loads)
        found = pa.concat_tables(merged(list(slices(pieces, pieces[0].nbytes)), METRICS))
        assert loads == Counter(dict.fromkeys(range(runs * blocks), 1))
        assert found["run_id"].to_pylist() == sorted(found["run_id"].to_pylist())
        assert found.num_rows == sum(one.load().num_rows for one in pieces)


def test_what_is_beyond_the_bytes_that_stay_open_is_loaded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    loads: Counter[int] = Counter()
    pieces = counted(3, 40, loads)
    monkeypatch.setattr(merge_module, "OPEN_BYTES", 0)
    found = pa.concat_tables(merged(list(slices(pieces, 1)), METRICS))
    assert max(loads.values()) > 1
    monkeypatch.undo()
    assert pa.concat_tables(merged(list(slices(pieces, 1)), METRICS)).equals(found)


def test_rows_with_one_key_are_there_once_where_keys_are_unique() -> None:
    rows = [{"run_id": "a", "key": "k", "value": value} for value in ("first", "second")]
    pieces = tuple(memory_piece(table("tags", [row]), TAGS) for row in rows)
    for size in (1, 10**6):
        merge_slice = Slice(low="a", high=None, pieces=pieces, stored=0)
        [found] = merged([merge_slice], TAGS, slice_bytes=size)
        assert found.to_pylist() == rows[:1]


def test_a_row_whose_key_lacks_a_value_is_never_taken_for_another() -> None:
    rows = table(
        "tags", [{"run_id": "a", "key": key, "value": value} for key, value in ((None, "x"), (None, "y"), ("k", "z"))]
    )
    for form in (rows, coded(rows, TAGS)):
        assert sorted(sort_rows(form, TAGS)["value"].to_pylist()) == ["x", "y", "z"]


def test_a_piece_in_memory_says_what_it_holds() -> None:
    rows = points(("a", 1), ("b", 1), ("c", 1))
    one = memory_piece(rows, METRICS)
    assert (one.low, one.high, one.nbytes, one.stored) == ("a", "c", rows.nbytes, rows.nbytes // 4)
    assert one.load() is rows
