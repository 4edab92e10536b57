"""What is looked up in a catalog, and the rows that it gives."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from mlflow_archive.kinds import LOGGED_MODEL, RUN
from mlflow_archive.selecting.catalog import RowRegistry, rows_from
from tests.selecting.at_hand import CatalogAtHand


@pytest.mark.parametrize(
    ("version", "alias", "found"),
    [(1, None, 1), (2, None, 2), (3, None, None), (None, "best", 2), (None, "worst", None), (1, "best", 2)],
)
def test_a_version_is_found_by_number_or_alias(version: int | None, alias: str | None, found: int | None) -> None:
    registry = RowRegistry(CatalogAtHand())
    row = registry.version("default", "churn", version, alias)
    assert (None if row is None else row["version"]) == found
    assert registry.version("other", "churn", version, alias) is None
    assert registry.makers(["m1", "m2", "m4"]) == {"a"}
    assert registry.roots(RUN, ["a", "x"]) == {"a": "s3://a"}
    assert registry.roots(LOGGED_MODEL, ["m1"]) == {"m1": "s3://m1"}


def test_rows_of_a_catalog_have_what_is_asked_for() -> None:
    values: list[dict[str, Any]] = [
        {"run_id": "a", "start_time": 5, "status": 1},
        {"run_id": 7, "start_time": "x"},
        {"run_id": None},
    ]
    found = rows_from("runs", values, ["start_time", "status", "run_id"])
    assert found.column_names == ["start_time", "status", "run_id"]
    assert found.to_pydict() == {
        "start_time": [5, None, None], "status": ["1", None, None], "run_id": ["a", "7", None]
    }  # fmt: skip
    assert found["start_time"].type == pa.int64()
    assert rows_from("runs", values, ["status"], ("run_id", ["a", "b"])).to_pydict() == {"status": ["1"]}
