"""Rows as JSON by owner: the very texts that Python makes of them, object by object."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from mlflow_archive.format.fingerprint import canonical
from mlflow_archive.format.owned_rows import OwnedRows, row_objects
from mlflow_archive.kinds import TABLES, TIMESTAMP

OWNERS = ["b", "a", "of nothing"]
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=4) | st.sampled_from(['"', "\\", "\x7f", "é", "k"])
_WHOLE = st.integers(-(2**63), 2**63 - 1)


def table(rows: list[tuple[str, str, str | None]]) -> pa.Table:
    columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], []]
    schema = pa.schema([("owner", pa.string()), ("key", pa.string()), ("value", pa.string())])
    return pa.Table.from_arrays([pa.array(column, pa.string()) for column in columns], schema=schema)


@given(st.lists(st.tuples(st.sampled_from([*OWNERS[:2], "another's"]), _TEXT, st.none() | _TEXT), max_size=12))
def test_objects_are_those_of_dictionaries_that_take_each_row(rows: list[tuple[str, str, str | None]]) -> None:
    expected: dict[str, dict[str, str | None]] = {}
    for owner, key, value in rows:
        if owner in OWNERS:
            expected.setdefault(owner, {})[key] = value
    owned = OwnedRows(OWNERS, table(rows), "owner")
    assert owned.objects() == {owner: canonical(values) for owner, values in expected.items()}
    assert owned.repeats_a_key == (sum(map(len, expected.values())) < sum(owner in OWNERS for owner, *_ in rows))


@given(
    st.dictionaries(st.tuples(st.sampled_from(OWNERS[:2]), _TEXT), st.tuples(_WHOLE, _WHOLE, st.floats()), max_size=9)
)
def test_points_are_those_of_a_sorted_list(points: dict[tuple[str, str], tuple[int, int, float]]) -> None:
    expected: dict[str, list[list[object]]] = {}
    for (owner, key), (step, time, value) in points.items():
        expected.setdefault(owner, []).append([key, step, time, repr(value)])
    columns = list(zip(*(key + values for key, values in points.items()), strict=True)) or [()] * 5
    types = (pa.string(), pa.string(), pa.int64(), pa.int64(), pa.float64())
    arrays = [pa.array(column, kind) for column, kind in zip(columns, types, strict=True)]
    arrays[3] = arrays[3].cast(TIMESTAMP)
    rows = pa.table(arrays, ["owner", "key", "step", "timestamp", "value"])
    assert OwnedRows(OWNERS, rows, "owner").points() == {
        owner: canonical(sorted(entries)) for owner, entries in expected.items()
    }


def test_numbers_are_written_as_they_are() -> None:
    rows = pa.table({"owner": ["a", "b", "a"], "key": ["m", "m", "l"], "value": [2**62, 0, 7]})
    assert OwnedRows(OWNERS, rows, "owner").objects() == {"a": '{"l":7,"m":4611686018427387904}', "b": '{"m":0}'}


@given(st.lists(st.dictionaries(st.sampled_from(TABLES["runs"].column_names), _TEXT | st.none()), max_size=3))
def test_a_row_is_an_object_of_what_is_not_null(runs: list[dict[str, str | None]]) -> None:
    texts = [c.name for c in TABLES["runs"].columns if c.type == pa.string()]
    start = -(2**63)
    dicts = [{name: value for name, value in run.items() if value is not None and name in texts} for run in runs]
    columns = {name: pa.array([run.get(name) for run in dicts], pa.string()) for name in texts}
    columns["start_time"] = pa.array([start] * len(dicts), pa.int64()).cast(TIMESTAMP)
    columns["end_time"] = pa.nulls(len(dicts), TIMESTAMP)
    assert row_objects(pa.table(columns)) == [canonical(run | {"start_time": start}) for run in dicts]
