"""What a selection takes of an archive where a column says nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlflow_archive.kinds import EXPERIMENT, LOGGED_MODEL, RUN
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.reader.selecting import ArchiveSelection
from mlflow_archive.selecting.selection import Selection
from tests.spec.drafts import Draft, Row, build, write_directory

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
