"""Of rows that stand together the first or the last is kept, whatever the pieces a table is in."""

from __future__ import annotations

from itertools import groupby

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from mlflow_archive.reader.adjacent import are_ascending, first_of_each, last_of_each

Rows = list[tuple[str, int]]
PIECES = st.lists(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 1)), max_size=4), max_size=4)


@given(pieces=PIECES)
def test_one_row_of_each_group_is_kept(pieces: list[Rows]) -> None:
    tables = [_table(piece) for piece in pieces]
    rows = pa.concat_tables([_table([]), *tables])
    numbered = rows.append_column("n", pa.array(range(rows.num_rows), pa.int64()))
    pairs = [pair for piece in pieces for pair in piece]
    groups = [[n for n, _ in group] for _, group in groupby(enumerate(pairs), key=lambda each: each[1])]
    assert first_of_each(numbered, ("owner", "key"))["n"].to_pylist() == [group[0] for group in groups]
    assert last_of_each(numbered, ("owner", "key"))["n"].to_pylist() == [group[-1] for group in groups]


@given(rows=st.lists(st.tuples(st.sampled_from("abc"), st.integers(-1, 1)), max_size=5), cut=st.integers(0, 5))
def test_rows_are_ascending_where_each_is_greater_than_the_one_before(rows: Rows, cut: int) -> None:
    pieces = pa.concat_tables([_table(rows[:cut]), _table(rows[cut:])])
    assert are_ascending(pieces, ("owner", "key")) == (rows == sorted(set(rows)))


def _table(rows: Rows) -> pa.Table:
    owners, keys = ([row[at] for row in rows] for at in (0, 1))
    return pa.table({"owner": pa.array(owners, pa.string()), "key": pa.array(keys, pa.int64())})
