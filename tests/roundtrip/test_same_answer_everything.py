"""A server that holds every kind of object, read over its API and from its database: what both can see is equal."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from mlflow_archive.format import gaps
from mlflow_archive.format.location import without_password
from mlflow_archive.reader.archive import open_archive
from tests.support.databases import TABLES_HERE
from tests.support.everything import Filled, filled_server
from tests.support.reading import bits, plain_rows
from tests.support.restoring import export

HIDDEN: Final = {
    ("runs", "deleted_time"): "no answer of the API has it",
    ("runs", "source_type"): "no answer of the API has it",
    ("runs", "source_name"): "no answer of the API has it",
    ("runs", "entry_point_name"): "no answer of the API has it",
    ("runs", "source_version"): "no answer of the API has it",
    ("datasets", "dataset_uuid"): "no answer of the API has it",
    ("dataset_inputs", "input_uuid"): "no answer of the API has it",
    ("model_inputs", "input_uuid"): "no answer of the API has it",
    ("model_outputs", "input_uuid"): "no answer of the API has it",
    ("traces", "db_payload_generation"): "no answer of the API has it",
    ("trace_links", "association_id"): "links are found by searches",
    ("trace_links", "created_time"): "links are found by searches",
    ("evaluation_dataset_experiments", "association_id"): "no answer of the API has it",
    ("evaluation_dataset_experiments", "created_time"): "no answer of the API has it",
}
"""Columns that are null over the API and known from the database, and why."""

ONLY_OF_API: Final = {("runs", "run_uuid")}
"""Columns that only the API states."""

CUT: Final = {("trace_tags", "value"): 4096, ("trace_metadata", "value"): 250}
"""Columns whose values the API cuts, after so many characters."""


@dataclass(frozen=True, kw_only=True)
class Both:
    """An archive made over the API and one of the database behind it; what was put in, and the marks."""

    api: Path
    database: Path
    filled: Filled


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Both:
    folder = tmp_path_factory.mktemp("everything")
    with filled_server(folder / "server") as (server, filled):
        api = export(server.uri, folder / "api.mlfa")
        database = export(server.backend, folder / "db.mlfa", artifacts_destination=str(server.artifacts))
    return Both(api=api, database=database, filled=filled)


def rows(path: Path, name: str) -> Counter[Any]:
    with open_archive(path) as archive:
        found = plain_rows(archive.table(name))
    return Counter(tuple((key, _plain(name, key, row[key])) for key in row if _is_seen(name, key)) for row in found)


def _is_seen(table: str, column: str) -> bool:
    return (table, column) not in HIDDEN and (table, column) not in ONLY_OF_API


def _plain(table: str, column: str, value: Any) -> Any:
    if isinstance(value, str) and (table, column) in CUT:
        return value[: CUT[table, column]]
    if column == "url":
        return without_password(value)
    return bits(value) if isinstance(value, float) else value


def not_shown(filled: Filled) -> dict[str, tuple[str, list[str]]]:
    """Return rows that only a database shows: table -> (column, the values that it has there)."""
    evaluation = filled.evaluation
    scorer = [evaluation.scorers["lost"]]  # its experiment is deleted
    schemas = [evaluation.schemas[name] for name in ("colour", "words")]  # no queue names them, and no list was read
    return {
        "model_versions": ("current_stage", ["Deleted_Internal"]),
        "model_version_tags": ("version", []),  # of deleted versions
        "workspaces": ("name", ["default"]),  # of a server that has none
        "scorers": ("scorer_id", scorer),
        "scorer_versions": ("scorer_id", scorer),
        "label_schemas": ("schema_id", schemas),
    }


@pytest.mark.parametrize("name", [name for name in TABLES_HERE if name not in ("blobs", "fingerprints", "gaps")])
def test_rows_are_equal(name: str, both: Both) -> None:
    over_api, direct = rows(both.api, name), rows(both.database, name)
    assert direct, "the filler puts something of every kind into the server"
    assert over_api - direct == Counter()
    missing = direct - over_api
    if name not in not_shown(both.filled):
        assert missing == Counter()
        return
    column, values = not_shown(both.filled)[name]
    found = {dict(row)[column] for row in missing}
    if name == "model_version_tags":
        found -= {dict(row)["version"] for row in missing if _is_deleted(both, dict(row))}
    assert found == set(values)
    assert missing


def _is_deleted(both: Both, row: dict[str, Any]) -> bool:
    return row["version"] not in both.filled.registry.versions[row["name"]]


def test_what_is_hidden_is_known_from_the_database(both: Both) -> None:
    with open_archive(both.api) as api, open_archive(both.database) as database:
        for name, column in HIDDEN:
            assert api.table(name)[column].null_count == len(api.table(name)) > 0, (name, column)
            assert database.table(name)[column].null_count < len(database.table(name)), (name, column)


def test_what_the_api_keeps_back_is_told(both: Both) -> None:
    """Two values are cut, a gateway endpoint serves a scorer of a deleted experiment, label schemas are not listed."""
    filled = both.filled
    with open_archive(both.api) as archive:
        found = {(row["owner_id"], row["path"], row["code"]) for row in archive.table("gaps").to_pylist()}
    old = filled.traces.traces["old"]
    assert found == {
        (old, "tags/long", gaps.VALUE_CUT),
        (old, "metadata/long", gaps.VALUE_CUT),
        (filled.evaluation.scorers["lost"], "", gaps.OBJECT_UNREADABLE),
        (filled.runs.experiments["main"], "", gaps.OBJECT_UNREADABLE),
    }
