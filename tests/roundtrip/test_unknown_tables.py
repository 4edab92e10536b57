"""Tables that this version does not know: carried as they are where a user asks for it, and put back."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pytest

from mlflow_archive.api.sql import SqlSession
from mlflow_archive.errors import DamagedError, SelectionError
from mlflow_archive.flow.copy import copy
from mlflow_archive.flow.report import Report
from mlflow_archive.format.gaps import UNKNOWN_FIELD, UNKNOWN_ROWS
from mlflow_archive.format.refusals import KIND_REFUSED
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.reader.unknown_tables import read_unknown_table, unknown_tables
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sinks.restore.locate import locate_database
from mlflow_archive.sinks.restore.unknown_tables import reason_against
from mlflow_archive.sources.locate import locate_source
from mlflow_archive.verification.checks import verify
from mlflow_archive.writer.export import ArchiveOptions, ArchiveSink
from mlflow_archive_cli.main import run as command
from tests.support.databases import revisions, sqlite_rows
from tests.support.later_database import as_if_installed, empty_later_database, run
from tests.support.restoring import restore

ALL = Selection(unknown_tables=True, artifacts=False)
GIZMOS = """
CREATE TABLE gizmos (name TEXT NOT NULL, "Odd name" INTEGER, weight REAL, data BLOB, api_Token TEXT);
"""
ROWS = """
INSERT INTO gizmos VALUES ('ü', 9007199254740993, 0.5, x'00ff', 'MARKER-token'), ('', NULL, NULL, NULL, NULL);
CREATE TABLE only_secrets (key_value TEXT);
INSERT INTO only_secrets VALUES ('MARKER-secret');
CREATE TABLE mixed (value);
INSERT INTO mixed VALUES (x'00'), ('text');
UPDATE alembic_version SET version_num = '0123456789ab';
"""
EXPECTED = [
    {"Odd name": 9007199254740993, "data": b"\x00\xff", "name": "ü", "weight": 0.5},
    {"Odd name": None, "data": None, "name": "", "weight": None},
]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = empty_later_database(tmp_path / "mlflow.db")
    run(path, GIZMOS + ROWS)
    return path


def export(database: Path, archive: Path, selection: Selection = ALL, *, append: bool = False) -> Report:
    sink = ArchiveSink(archive, ArchiveOptions(append=append), tool="test 1", clock_ms=lambda: 0)
    return copy(locate_source(f"sqlite:///{database}"), sink, selection)


def test_they_are_carried_but_for_secrets(database: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.mlfa"
    report = export(database, path)
    assert report.details["unknown_tables"] == {"gizmos": 2}
    assert {(gap.owner_id, gap.path, gap.code) for gap in report.gaps} == {
        ("gizmos", "api_Token", UNKNOWN_FIELD),
        ("mixed", "", UNKNOWN_ROWS),
        ("only_secrets", "", UNKNOWN_ROWS),
    }
    assert b"MARKER" not in path.read_bytes()
    with open_archive(path) as archive:
        [(name, member)] = unknown_tables(archive).items()
        assert (name, read_unknown_table(archive, member).to_pylist()) == ("gizmos", EXPECTED)
        with SqlSession(archive) as session:
            answer = session.query('select name, "Odd name" as number from unknown_gizmos order by 1 desc')
            assert answer.to_pylist() == [{"name": "ü", "number": 9007199254740993}, {"name": "", "number": None}]
        assert verify(path).ok


def test_the_command_says_what_it_carried(database: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run(database, "DROP TABLE mixed; DROP TABLE only_secrets; ALTER TABLE gizmos DROP COLUMN api_Token;")
    arguments = ["export", str(tmp_path / "a.mlfa"), "--from", f"sqlite:///{database}", "--unknown-tables"]
    assert command(arguments) == 0
    assert "  table gizmos  2\n" in capfd.readouterr().out
    with open_archive(tmp_path / "a.mlfa") as archive:
        assert archive.newest_export.selection == {"unknown_tables": True}


def test_without_the_option_nothing_changes(database: Path, tmp_path: Path) -> None:
    report = export(database, tmp_path / "a.mlfa", Selection(artifacts=False))
    assert {gap.owner_id for gap in report.gaps} == {"gizmos", "mixed", "only_secrets"}
    with open_archive(tmp_path / "a.mlfa") as archive:
        assert unknown_tables(archive) == {}


def test_a_restore_puts_them_back_at_the_same_revision(database: Path, tmp_path: Path) -> None:
    as_if_installed(database)
    export(database, tmp_path / "a.mlfa")
    target = empty_later_database(tmp_path / "target.db")
    run(target, GIZMOS)
    as_if_installed(target)
    report = restore(tmp_path / "a.mlfa", f"sqlite:///{target}")
    assert report.gaps == []
    columns = 'SELECT name, "Odd name", weight, data, typeof(data) FROM gizmos'
    assert sqlite_rows(target, columns) == sqlite_rows(database, columns)
    assert sqlite_rows(target, "SELECT api_Token FROM gizmos") == [(None,), (None,)]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("DROP TABLE gizmos", "the target has no such table"),
        ("ALTER TABLE gizmos DROP COLUMN weight", "its columns differ in weight"),
        ("ALTER TABLE gizmos ADD COLUMN more TEXT NOT NULL DEFAULT ''", "its columns differ in more"),
        ("INSERT INTO gizmos (name) VALUES ('own')", "the target's table has rows"),
    ],
)
def test_where_it_does_not_fit_the_rest_is_restored(database: Path, tmp_path: Path, change: str, reason: str) -> None:
    as_if_installed(database)
    export(database, tmp_path / "a.mlfa")
    target = empty_later_database(tmp_path / "target.db")
    run(target, GIZMOS + change)
    as_if_installed(target)
    report = restore(tmp_path / "a.mlfa", f"sqlite:///{target}")
    assert [(gap.owner_id, gap.code) for gap in report.gaps] == [("gizmos", KIND_REFUSED)]
    assert report.gaps[0].reason == f"2 rows of the table gizmos are not put back: {reason}"
    assert not report.complete


def test_nothing_is_put_beside_accounts(database: Path, tmp_path: Path) -> None:
    as_if_installed(database)
    run(database, "CREATE TABLE role_permissions (role_id INTEGER); INSERT INTO role_permissions VALUES (1);")
    export(database, tmp_path / "a.mlfa")
    target = empty_later_database(tmp_path / "target.db")
    run(target, GIZMOS + "CREATE TABLE role_permissions (role_id INTEGER); CREATE TABLE alembic_version_auth (v TEXT);")
    as_if_installed(target)
    gaps = restore(tmp_path / "a.mlfa", f"sqlite:///{target}").gaps
    assert {gap.owner_id for gap in gaps} == {"gizmos", "role_permissions"}
    assert {gap.reason.partition("back: ")[2] for gap in gaps} == {"the target holds accounts of a log-in"}
    assert sqlite_rows(target, "SELECT * FROM role_permissions") == []


@pytest.mark.parametrize(
    ("table", "columns"),
    [("jobs", ("id", "status")), ("gizmos", ("name", "api_Token"))],
)
def test_only_what_an_export_carries_is_put_back(table: str, columns: tuple[str, ...], tmp_path: Path) -> None:
    target = empty_later_database(tmp_path / "target.db")
    run(target, GIZMOS)
    as_if_installed(target)
    place = locate_database(f"sqlite:///{target}")
    try:
        place.open()
        rows = pa.table({column: ["x"] for column in columns})
        assert reason_against(place, table, rows, revisions()[-1]) == "it is none that an export carries"
    finally:
        place.rollback()


def test_another_revision_is_no_place_for_them(database: Path, tmp_path: Path) -> None:
    export(database, tmp_path / "a.mlfa")
    target = empty_later_database(tmp_path / "target.db")
    run(target, GIZMOS)
    as_if_installed(target)
    [gap] = restore(tmp_path / "a.mlfa", f"sqlite:///{target}").gaps
    assert gap.reason.endswith(f"the source had the schema revision 0123456789ab, the target has {revisions()[-1]}")
    assert sqlite_rows(target, "SELECT * FROM gizmos") == []


def test_never_beside_accounts(database: Path, tmp_path: Path) -> None:
    run(database, "CREATE TABLE alembic_version_auth (v TEXT); INSERT INTO alembic_version_auth VALUES ('1');")
    report = export(database, tmp_path / "a.mlfa")
    assert "unknown_tables" not in report.details
    assert "gizmos" in {gap.owner_id for gap in report.gaps}


@pytest.mark.parametrize("part", [{"since_ms": 1}, {"kinds": ("run",)}, {"deleted": False}, {"experiments": ("0",)}])
def test_only_of_a_whole_database(database: Path, tmp_path: Path, part: dict[str, object]) -> None:
    with pytest.raises(SelectionError, match="whole database"):
        export(database, tmp_path / "a.mlfa", Selection(unknown_tables=True, **part))  # type: ignore[arg-type]
    (tmp_path / "mlruns").mkdir()
    sink = ArchiveSink(tmp_path / "b.mlfa", tool="test 1", clock_ms=lambda: 0)
    (tmp_path / "mlruns" / "0").mkdir()
    (tmp_path / "mlruns" / "0" / "meta.yaml").write_text("experiment_id: '0'\nname: Default\n")
    with pytest.raises(SelectionError, match="is for databases"):
        copy(locate_source(os.fspath(tmp_path / "mlruns")), sink, ALL)


def test_an_append_writes_them_where_they_changed(database: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.mlfa"
    export(database, path)
    assert export(database, path, append=True).details["unchanged"]
    run(database, "UPDATE gizmos SET weight = 2 WHERE weight = 0.5")
    assert not export(database, path, append=True).details["unchanged"]
    with open_archive(path) as archive:
        assert archive.manifest.export_number == 2
        rows = read_unknown_table(archive, unknown_tables(archive)["gizmos"])
    assert rows["weight"].to_pylist() == [2.0, None]


def test_a_manifest_that_states_nonsense_is_damage(database: Path, tmp_path: Path) -> None:
    export(database, tmp_path / "a.mlfa")
    with open_archive(tmp_path / "a.mlfa") as archive:
        [member] = unknown_tables(archive).values()
        for columns in (None, 3, [], [["a", "list"]], [["a"]], [["a", "string"], ["a", "string"]], [[1, "string"]]):
            object.__setattr__(member, "unknown", {"columns": columns})
            with pytest.raises(DamagedError, match="columns"):
                read_unknown_table(archive, member)
        object.__setattr__(member, "unknown", {"columns": [["name", "string"]]})
        object.__setattr__(member, "table", "unknown:\ud800")
        with pytest.raises(DamagedError, match="columns"):
            read_unknown_table(archive, member)
        object.__setattr__(member, "table", "unknown:gizmos")
        object.__setattr__(member, "unknown", {"columns": [["name", "int64"]]})
        with pytest.raises(DamagedError, match="should be int64"):
            read_unknown_table(archive, member)
