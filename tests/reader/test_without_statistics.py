"""What is read where nothing is stated of a row group, and what later exports hold, up to one of them."""

from __future__ import annotations

from pathlib import Path

from mlflow_archive.kinds import RUN, TABLES
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.reader.stored.parts import RowGroup
from tests.spec.drafts import (
    RUN_A,
    RUN_B,
    Draft,
    base_rows,
    build,
    build_second,
    encode_part,
    make_table,
    part,
    write_directory,
)
from tests.spec.faults import add


def group(low: str | None, high: str | None) -> RowGroup:
    return RowGroup(index=0, rows=1, key_min=low, key_max=high, raw_size=1, stored_size=1)


def test_a_row_group_that_states_no_keys_may_hold_any_id() -> None:
    for low, high in ((None, None), (None, "z"), ("z", None)):
        assert group(low, high).may_hold(["a"])
    found = [group("b", "d").may_hold([name]) for name in ("a", "b", "c", "d", "e")]
    assert found == [False, True, True, True, False]
    assert not group("b", "d").may_hold([])


def test_rows_of_one_run_are_found_in_a_part_without_statistics(tmp_path: Path) -> None:
    data = encode_part(make_table("params", base_rows()["params"]), statistics=False, group_rows=1)
    write_directory(build(Draft(members=add(part("params"), data))), tmp_path)
    with open_archive(tmp_path) as archive:
        for run_id in (RUN_A, RUN_B):
            expected = [row for row in base_rows()["params"] if row["run_id"] == run_id]
            assert archive.table("params", owners=[run_id]).to_pylist() == expected


def test_what_later_exports_hold_up_to_one_of_them(tmp_path: Path) -> None:
    run = {"run_id": "c" * 32, "experiment_id": "1", "status": "FINISHED", "lifecycle_stage": "active"}
    write_directory(build_second(Draft(), {"runs": [run]}), tmp_path)
    with open_archive(tmp_path) as archive:
        keys = [archive.newer(RUN, *asked) for asked in ((0,), (0, 2), (0, 1), (1,), (1, 1), (2,))]
        assert [None if found is None else found.to_pylist() for found in keys] == [
            [RUN_A, RUN_B, "c" * 32],
            [RUN_A, RUN_B, "c" * 32],
            [RUN_A, RUN_B],
            ["c" * 32],
            None,
            None,
        ]
        superseding = archive.superseding(TABLES["params"], 0, 1)
        assert {kind: found.to_pylist() for kind, found in superseding.items()} == {RUN: [RUN_A, RUN_B]}
