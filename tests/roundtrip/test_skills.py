"""Skills and issues of MLflow 3.18: out of a database, into an archive, and back into one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlflow_archive.api.serving.location import ArtifactAddress, address_of
from mlflow_archive.format.gaps import ARTIFACT_MISSING, FIELD_UNREADABLE, OBJECT_UNREADABLE
from mlflow_archive.kinds import SKILL
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.sources.locate import locate_source
from mlflow_archive_cli.main import run as command
from tests.support.databases import sqlite_rows
from tests.support.later_database import (
    ROWS,
    SKILL_MD,
    TOKEN,
    as_if_installed,
    empty_later_database,
    later_database,
    run,
)
from tests.support.reading import Read, content, read_source
from tests.support.restoring import export, restore


def read(database: Path, **options: Any) -> Read:
    options = options or {"artifacts_destination": str(database.parent / "art")}
    return read_source(locate_source(f"sqlite:///{database}", **options))


def test_every_value_and_file_comes(tmp_path: Path) -> None:
    found = read(later_database(tmp_path))
    assert found.tables["gaps"] == []
    for table in ("issues", "skills", "skill_versions", "skill_tags", "skill_version_tags", "skill_aliases"):
        expected = [{"workspace": "default", "organization": "", **row} for row in ROWS[table]]
        for row, stored in zip(found.tables[table], expected, strict=True):
            for column, value in stored.items():
                if column not in ("experiment_id", "search_text", "source") and column in row:
                    assert row[column] == value, (table, column)
    assert {row["source"] for row in found.tables["skill_versions"] if row["source_type"] == "git"} == {
        "https://example.com/x.git"
    }
    files = {(file.owner_kind, file.owner_id, file.path): content(file) for file in found.artifacts}
    assert files == {
        (SKILL, owner, f"{number}/{path}"): data
        for owner, number, folder in (
            ("review", 1, "skills/review"),
            ("@acme.ai/review", 7, "skills/@acme.ai/review"),
            ("team/review", 1, "workspaces/team/skills/review"),
        )
        for path, data in (("SKILL.md", SKILL_MD), ("scripts/run ü.sh", folder.encode()))
    }


@pytest.mark.parametrize(
    "change",
    [
        "source = 'mlflow-artifacts:/skills/other/' || substr(source, 32)",
        "source = 'mlflow-artifacts:/3/run/artifacts'",
        "source = '/etc'",
        "source = 'mlflow-artifacts:/skills/review/../../' || substr(source, 32)",
        "subpath = 'scripts'",
        "source_type = 'zip'",
    ],
)
def test_only_what_mlflow_put_there_for_this_skill_is_followed(tmp_path: Path, change: str) -> None:
    database = later_database(tmp_path)
    run(database, f"UPDATE skill_versions SET {change} WHERE version = 1 AND workspace = 'default'")  # noqa: S608
    found = read(database)
    assert [file for file in found.artifacts if file.owner_id == "review"] == []
    assert found.tables["gaps"] == []


def test_files_that_are_gone_and_values_that_are_malformed_are_gaps(tmp_path: Path) -> None:
    database = later_database(tmp_path)
    (tmp_path / "art" / "skills" / "@acme.ai").rename(tmp_path / "elsewhere")
    run(database, "UPDATE skills SET created_at = 'x', description = x'ff' WHERE organization <> ''")
    run(database, "UPDATE skill_versions SET status = x'ff' WHERE organization <> ''")
    found = read(database)
    assert found.gaps() == {
        ("@acme.ai/review", "", FIELD_UNREADABLE),
        ("@acme.ai/review", "skill_versions/7", FIELD_UNREADABLE),
    } or found.gaps() == {("@acme.ai/review", "", OBJECT_UNREADABLE)}
    run(database, "UPDATE skill_versions SET status = 'active' WHERE organization <> ''")
    assert ("@acme.ai/review", "7", ARTIFACT_MISSING) in read(database).gaps()


def test_a_restore_gives_all_of_it_back(tmp_path: Path) -> None:
    source = later_database(tmp_path)
    first = export(f"sqlite:///{source}", tmp_path / "first.mlfa", artifacts_destination=str(tmp_path / "art"))
    target = empty_later_database(tmp_path / "target.db")
    as_if_installed(target)
    root = str(tmp_path / "restored")
    assert restore(first, f"sqlite:///{target}", artifact_root=root).gaps == []
    for table in ("issue_id, last_seen_timestamp, last_updated_by, metadata FROM issues", "* FROM skills"):
        assert sqlite_rows(target, f"SELECT {table}") == sqlite_rows(source, f"SELECT {table}")
    # MLflow's own form of it: sha256(category.strip().lower()), the last of equal ones.
    categories = sqlite_rows(target, "SELECT issue_id, category_hash, category FROM issue_categories ORDER BY 3")
    assert categories == [
        ("iss-1", "3fdb7e873db12844fd1c1064932fe36f39148927c31fdac71a09695c7bb157be", "latency"),
        ("iss-1", "607474ca475a9724d7360aba71a56d5df77e61350e3f724cfa1f46e857e2d85f", "ü"),
    ]
    again = read(target, artifacts_destination=root)
    assert again.tables["gaps"] == []
    before = read(source)
    for name, rows in before.tables.items():
        if name not in ("skill_versions", "experiments", "experiment_tags"):
            assert again.tables[name] == rows, name
    moved = [{**row, "source": ""} for row in before.tables["skill_versions"]]
    assert [{**row, "source": ""} for row in again.tables["skill_versions"]] == moved
    assert {(file.owner_id, file.path, content(file)) for file in again.artifacts} == {
        (file.owner_id, file.path, content(file)) for file in before.artifacts
    }


def test_without_files_their_places_stay(tmp_path: Path) -> None:
    source = later_database(tmp_path)
    first = export(f"sqlite:///{source}", tmp_path / "first.mlfa", artifacts_destination=str(tmp_path / "art"))
    target = empty_later_database(tmp_path / "target.db")
    as_if_installed(target)
    restore(first, f"sqlite:///{target}")
    sources = "SELECT source FROM skill_versions WHERE source_type = 'mlflow'"
    assert sqlite_rows(target, sources) == sqlite_rows(source, sources)


def test_commands_show_them_by_name(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.mlfa"
    export(f"sqlite:///{later_database(tmp_path)}", path, artifacts_destination=str(tmp_path / "art"))

    def output(*arguments: str) -> str:
        capfd.readouterr()
        assert command(arguments) == 0
        return capfd.readouterr().out

    assert output("cat", str(path), "@acme.ai/review/7/scripts/run ü.sh") == "skills/@acme.ai/review"
    assert output("cat", str(path), "team/review/1/SKILL.md") == SKILL_MD.decode()
    assert '"organization": "acme.ai"' in output("show", str(path), "@acme.ai/review", "--json")
    assert '"alias": "live"' in output("show", str(path), "review", "--kind", "skill", "--json")
    assert output("ls", str(path), "skills", "--columns", "name,organization").count("acme.ai") == 1
    with open_archive(path) as archive:
        assert {row["owner_id"] for row in archive.table("artifacts").to_pylist()} == {
            "review",
            "@acme.ai/review",
            "team/review",
        }


@pytest.mark.parametrize(
    ("path", "owner", "below"),
    [
        (f"skills/review/{2:032d}/SKILL.md", "review", "2/SKILL.md"),
        (f"skills/@acme/review/{10:032d}", "@acme/review", "10"),
    ],
)
def test_a_served_archive_finds_them(path: str, owner: str, below: str) -> None:
    expected = ArtifactAddress(kind=SKILL, owner=owner, path=below)
    assert address_of(f"mlflow-archive:/a.mlfa!/{path}") == expected
    assert address_of("mlflow-archive:/a.mlfa!/skills/@acme/review") is None
    assert TOKEN not in path
