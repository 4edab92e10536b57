"""A transfer of every kind is proved, and each single change at the target is found: of each table and each column."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pytest

from mlflow_archive.api.differences import ObjectChange
from mlflow_archive.api.proof.proving import Proving
from mlflow_archive.api.proof.rules import COLUMNS, JSON_COLUMNS, KEYS
from mlflow_archive.flow.report import Quiet
from mlflow_archive.format.source_tags import OWN_PREFIX
from mlflow_archive.kinds import (
    EVALUATION_DATASET,
    EXPERIMENT,
    IDENTITIES,
    KINDS,
    LOGGED_MODEL,
    RUN,
    SKILL,
    TABLES,
    TRACE,
    WORKSPACE,
    Table,
    is_identity,
)
from mlflow_archive.reader.archive import Archive, open_archive
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sinks.replay.options import ReplayOptions
from mlflow_archive.sinks.replay.registry.registry_rows import DELETED_STAGE
from tests.sinks.filled_servers import Both, export
from tests.support.changed_archive import ChangedArchive, in_memory

KINDS_COMPARED: Final = [kind for kind in KINDS if kind not in (WORKSPACE, SKILL)]
"""What the server has; MLflow 3.17 keeps no skills."""
WITH_FILES: Final = (RUN, LOGGED_MODEL, TRACE)
Rows = Mapping[str, list[dict[str, Any]]]


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """An archive, the target read back, and what the first import said."""

    archive: Archive
    target: Archive
    receipt: dict[str, Any]

    def rows(self, table: Table, kind: str) -> tuple[list[dict[str, Any]], int]:
        """Return the rows that the target has of a table, and the number of one that the archive brought there."""
        rows = self.target.table(table.name).to_pylist()
        return rows, next(number for number, row in enumerate(rows) if _is_brought(row, kind))

    def changes(self, tables: Rows | None = None, *, kind: str | None = None) -> list[ObjectChange]:
        """Return what differs where the target has other rows in some tables."""
        changed = {
            name: pa.Table.from_pylist(rows, schema=TABLES[name].schema) for name, rows in (tables or {}).items()
        }
        target = ChangedArchive(self.target, changed)
        proving = Proving(self.archive, target, receipt=self.receipt, options=ReplayOptions())
        return list(proving.changes(Selection(kinds=with_what_it_refers_to(kind) if kind else ()), Quiet()))


@pytest.fixture(scope="module")
def transfer(both: Both, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Transfer]:
    path = tmp_path_factory.mktemp("proof") / "target.mlfa"
    export(both.target_server.backend, path, artifacts_destination=str(both.target_server.artifacts))
    first, _, last = (report.details for report in both.reports)
    receipt: dict[str, Any] = {**last, "refusals": [*first["refusals"], *last["refusals"]]}  # type: ignore[misc]
    with open_archive(both.archive) as archive, open_archive(path) as target:
        sides = {"archive": in_memory(archive), "target": in_memory(target)}
        yield Transfer(**sides, receipt=json.loads(json.dumps(receipt)))


MADE_THERE: Final = (
    "mlflow.artifactLocation",
    "mlflow.modelVersions",
    "mlflow.parentRunId",
    "mlflow.runName",
    "mlflow.trace.cost",
    "mlflow.trace.spansLocation",
    "mlflow.trace.tokenUsage",
    "_mlflow_experiment_ids",
    "mlflow.experiment.sourceId",
    "mlflow.prompt.associatedRunIds",
)
"""Keys of tags that a target sets itself, or that name what has another id there."""


def _is_brought(row: dict[str, Any], kind: str) -> bool:
    own = str(row.get("key", "")).startswith((OWN_PREFIX, *MADE_THERE))
    if kind == EVALUATION_DATASET and "profile" in row and row["profile"] is None:
        return False  # MLflow makes up the profile and the schema of one that has records later
    return not own and row.get("owner_kind", kind) == kind and row.get("current_stage") != DELETED_STAGE


def without(rows: list[dict[str, Any]], number: int) -> list[dict[str, Any]]:
    return [*rows[:number], *rows[number + 1 :]]


def with_what_it_refers_to(kind: str) -> tuple[str, ...]:
    """Return a kind, runs, and all that it refers to: what plans of it look at."""
    referred = {name for direct in KINDS[kind].refers for name in with_what_it_refers_to(direct)}
    return (*referred, RUN, kind)


def tables_of(kind: str) -> list[Table]:
    """Return the tables of a kind in which the server has rows, but for histories."""
    own = [table for table in TABLES.values() if table.entity == kind and table.unique]
    return [*own, TABLES["artifacts"]] if kind in WITH_FILES else own


def other(place: str, value: Any, column: pa.DataType) -> Any:
    """Return another value of the same type."""
    if place in JSON_COLUMNS:
        return '{"other": 1}'
    if pa.types.is_string(column):
        return f"{value or ''}x"
    if pa.types.is_boolean(column):
        return not value
    if pa.types.is_timestamp(column):
        return 1 if value is None else value.replace(year=value.year - 1)
    return 1 if value is None else value + 1


def test_all_of_it_is_there(transfer: Transfer) -> None:
    assert transfer.changes() == []
    assert replace(transfer, receipt={"refusals": transfer.receipt["refusals"]}).changes() == []


def test_all_of_it_is_there_over_the_api(transfer: Transfer, both: Both, tmp_path: Path) -> None:
    """What the API cuts or does not show is named: ends of long tags, a deleted version, a deleted one's scorer."""
    export(both.target_server.uri, tmp_path / "target.mlfa")
    with open_archive(tmp_path / "target.mlfa") as target:
        proving = Proving(transfer.archive, target, receipt=transfer.receipt, options=ReplayOptions())
        assert list(proving.changes(Selection(), Quiet())) == []
    unseen = {entry["place"] for entry in proving.findings.notes.to_json() if entry["rule"] == "not shown by the API"}
    assert unseen == {
        "trace_tags.value",
        "trace_metadata.value",
        "mcp_server_versions",
        "mcp_server_version_tags",
        "scorers",
    }


@pytest.mark.parametrize("kind", KINDS_COMPARED)
def test_each_column_that_changes_is_found(kind: str, transfer: Transfer) -> None:
    """In one row of each table of a kind every column but those of the key is another one."""
    tables, expected = {}, set()
    for table in tables_of(kind):
        rows, number = transfer.rows(table, kind)
        keys = (*KEYS.get(table.name, table.key), *table.owner)
        columns = [column for column in table.columns if column.name not in keys]
        values = {column.name: rows[number][column.name] for column in columns}
        changed = {c.name: other(f"{table.name}.{c.name}", values[c.name], c.type) for c in columns}
        tables[table.name] = [*without(rows, number), {**rows[number], **changed}]
        expected |= {(table.name, column.name) for column in columns}
    changes = transfer.changes(tables, kind=kind)
    found = {(field.table, field.field) for change in changes for field in change.fields}
    assert found == {place for place in expected if ".".join(place) not in COLUMNS}


@pytest.mark.parametrize("kind", KINDS_COMPARED)
def test_each_row_that_is_gone_is_found(kind: str, transfer: Transfer) -> None:
    tables = {t.name: without(*transfer.rows(t, kind)) for t in tables_of(kind) if not is_identity(t)}
    found = {field.table for change in transfer.changes(tables, kind=kind) for field in change.fields}
    assert found == set(tables)


@pytest.mark.parametrize("kind", KINDS_COMPARED)
def test_each_row_that_is_new_is_found(kind: str, transfer: Transfer) -> None:
    tables = {}
    for table in tables_of(kind):
        if not is_identity(table):
            (rows, number), last = transfer.rows(table, kind), KEYS.get(table.name, table.key)[-1]
            column = next(column for column in table.columns if column.name == last)
            value = other(f"{table.name}.{last}", rows[number][last], column.type)
            tables[table.name] = [*rows, {**rows[number], last: value}]
    found = {field.table for change in transfer.changes(tables, kind=kind) for field in change.fields}
    assert found == set(tables)


@pytest.mark.parametrize("kind", KINDS_COMPARED)
def test_each_object_that_is_gone_is_found(kind: str, transfer: Transfer) -> None:
    table = IDENTITIES[kind]
    changes = transfer.changes({table.name: without(*transfer.rows(table, kind))}, kind=kind)
    assert "removed" in [change.change for change in changes]


@pytest.mark.parametrize("column", ["value", "timestamp", "step"])
def test_a_point_that_is_another_one_is_found(column: str, transfer: Transfer) -> None:
    rows = transfer.target.table("metrics").to_pylist()
    value = other("", rows[0][column], TABLES["metrics"].schema.field(column).type)
    [change] = transfer.changes({"metrics": [{**rows[0], column: value}, *rows[1:]]}, kind=RUN)
    [field] = change.fields
    assert (field.table, field.field) in {("metrics", "point"), ("metrics", "points")}


def test_a_point_that_is_gone_and_one_that_is_new_are_found(transfer: Transfer) -> None:
    rows = transfer.target.table("metrics").to_pylist()
    for changed in (rows[1:], [*rows, {**rows[-1], "step": 10_000}]):
        [change] = transfer.changes({"metrics": changed}, kind=RUN)
        assert [field.table for field in change.fields] == ["metrics"]


def test_where_an_experiment_is_gone_all_in_it_differs(transfer: Transfer) -> None:
    """Nothing can be planned of what lies in it; what lies elsewhere is still proved."""
    without_receipt = replace(transfer, receipt={})
    rows, tags = (transfer.target.table(name).to_pylist() for name in ("experiments", "experiment_tags"))
    main = next(row["experiment_id"] for row in rows if row["name"] == "main")
    tables = {
        "experiments": [row for row in rows if row["experiment_id"] != main],
        "experiment_tags": [row for row in tags if row["experiment_id"] != main],
    }
    changes = without_receipt.changes(tables)
    assert (changes[0].kind, changes[0].change) == (EXPERIMENT, "removed")
    in_main = {row["run_id"] for row in transfer.archive.table("runs").to_pylist() if row["experiment_id"] == main}
    assert {change.id for change in changes if change.kind == RUN} == in_main


def test_a_second_copy_is_found(transfer: Transfer) -> None:
    """Of a run: as a killed import of another tool would leave it."""
    runs, tags = (transfer.target.table(name).to_pylist() for name in ("runs", "tags"))
    double = {**runs[0], "run_id": "f" * 32}
    copied = [{**tag, "run_id": "f" * 32} for tag in tags if tag["run_id"] == runs[0]["run_id"]]
    [change] = transfer.changes({"runs": [*runs, double], "tags": [*tags, *copied]}, kind=RUN)
    assert (change.change, change.id) == ("added", "f" * 32)
