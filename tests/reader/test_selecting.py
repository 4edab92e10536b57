"""What a selection takes of an archive where a column says nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlflow_archive.errors import SelectionError
from mlflow_archive.kinds import EXPERIMENT, LOGGED_MODEL, RUN
from mlflow_archive.reader import selecting
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.reader.selecting import ArchiveCatalog, ArchiveSelection
from mlflow_archive.selecting.selection import Selection
from tests.spec.drafts import RUN_A, RUN_B, Draft, Row, base_rows, build, write_directory

STAGES = {"m-1": "active", "m-2": "deleted", "m-3": None}


@pytest.mark.parametrize("stages", [STAGES, {"m-1": None, "m-2": None}], ids=["some", "no column"])
@pytest.mark.parametrize("deleted", [True, False])
def test_an_object_of_unknown_stage_is_not_deleted(
    tmp_path: Path, deleted: bool, stages: dict[str, str | None]
) -> None:
    def rows(tables: dict[str, list[Row]]) -> None:
        model = {"experiment_id": "1", "name": "m", "status": "READY", "creation_time": 1}
        tables["logged_models"] = [
            {**model, "model_id": key, "lifecycle_stage": value} for key, value in stages.items()
        ]
        tables["runs"][1]["lifecycle_stage"] = "deleted"

    write_directory(build(Draft(rows=rows)), tmp_path)
    with open_archive(tmp_path) as archive:
        selected = ArchiveSelection(archive, Selection(deleted=deleted))
        assert selected.ids(LOGGED_MODEL).to_pylist() == [
            key for key, stage in stages.items() if deleted or stage != "deleted"
        ]
        assert selected.ids(RUN).to_pylist() == (["a" * 32, "b" * 32] if deleted else ["a" * 32])
        assert selected.ids(EXPERIMENT).to_pylist() == ["1"]


def test_one_name_that_matches_nothing_is_refused_though_others_match(tmp_path: Path) -> None:
    write_directory(build(Draft()), tmp_path)
    with open_archive(tmp_path) as archive, pytest.raises(SelectionError, match="c" * 32):
        ArchiveSelection(archive, Selection(runs=(RUN_A, "c" * 32), on_missing="skip")).ids(RUN)


PARAMS = base_rows()["params"]


@pytest.mark.parametrize("few", [0, 1, 1_000])
@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (None, PARAMS),
        (("key", ["lr"]), [row for row in PARAMS if row["key"] == "lr"]),
        (("key", ["lr", "depth"]), PARAMS),
        (("key", []), []),
        (("run_id", [RUN_B]), PARAMS[2:]),
        (("run_id", [RUN_B, RUN_A, "0"]), PARAMS),
        (("value", ["0.1", "x"]), [row for row in PARAMS if row["value"] == "0.1"]),
        (("value", ["0.1"]), [row for row in PARAMS if row["value"] == "0.1"]),
    ],
)
def test_rows_where_a_column_has_a_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: Any, expected: list[Row], few: int
) -> None:
    monkeypatch.setattr(selecting, "_FEW", few)
    write_directory(build(Draft()), tmp_path)
    with open_archive(tmp_path) as archive:
        catalog = ArchiveCatalog(archive)
        for columns in (["run_id", "key", "value"], ["run_id", "key"]):
            found = list(catalog.rows("params", columns, where))
            assert {tuple(rows.column_names) for rows in found} <= {tuple(columns)}
            assert [row for rows in found for row in rows.to_pylist()] == [
                {name: row[name] for name in columns} for row in expected
            ]
        assert (catalog.place, catalog.unreadable("run", [RUN_A])) == (tmp_path, ())


def test_runs_come_by_their_depth(tmp_path: Path) -> None:
    def rows(tables: dict[str, list[Row]]) -> None:
        tables["tags"] = [
            {"run_id": RUN_A, "key": "mlflow.parentRunId", "value": RUN_B},
            {"run_id": RUN_B, "key": "other", "value": RUN_A},
        ]

    write_directory(build(Draft(rows=rows)), tmp_path)
    with open_archive(tmp_path) as archive:
        selected = ArchiveSelection(archive, Selection())
        assert selected.runs.to_pylist() == [RUN_A, RUN_B]
        assert [level.to_pylist() for level in selected.run_levels()] == [[RUN_B], [RUN_A]]
