"""How rows are cut into row groups: readers refuse a group from which far more comes than it has on disk."""

from __future__ import annotations

import pyarrow as pa
import pytest

from mlflow_archive.reader.stored.limits import SMALL
from mlflow_archive.writer.parts import MAX_GROUP_BYTES, MAX_GROUP_ROWS, row_groups

MILLION = 1_000_000


@pytest.mark.parametrize(
    ("texts", "largest"),
    [
        (["x"] * 300_000, MAX_GROUP_BYTES),
        (["x" * MILLION] * 100, MAX_GROUP_BYTES),
        (["x"] * 10_000 + ["y" * MILLION] * 100 + ["x"] * 10_000, MAX_GROUP_BYTES),
        (["x" * 40 * MILLION, "a", "b", "x" * 40 * MILLION], 41 * MILLION),
    ],
    ids=["many", "equal", "skewed", "larger than a group"],
)
def test_no_group_is_larger_than_it_must_be(texts: list[str], largest: int) -> None:
    rows = pa.table({"key": [str(number) for number in range(len(texts))], "value": texts})
    groups = list(row_groups(rows))
    assert pa.concat_tables(groups).equals(rows)
    assert max(group.num_rows for group in groups) <= MAX_GROUP_ROWS
    assert max(group.nbytes for group in groups) <= 2 * largest < SMALL
