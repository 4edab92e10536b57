"""Skills and issues of MLflow 3.18 with real servers: out of one, in both ways, and into others."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import requests

import mlflow_archive as ma
from mlflow_archive.flow.report import Report
from mlflow_archive.format.refusals import ISSUE_REFUSED, KIND_REFUSED, SKILL_REFUSED
from mlflow_archive.kinds import SKILL
from mlflow_archive.reader.archive import Archive, open_archive
from mlflow_archive.reader.source import ArchiveSource
from tests.matrix.environments import environment
from tests.sinks.filled_servers import replay
from tests.support.filling.skills import FIRST, OF_ACME, SkillServer, fill_skills
from tests.support.mlflow_server import MlflowServer, running_server
from tests.support.reading import content, plain_rows, read_source
from tests.support.restoring import export

TABLES: Final = ("issues", "skills", "skill_tags", "skill_versions", "skill_version_tags", "skill_aliases")
FILES: Final = {
    **{("review", f"1/{path}"): data for path, data in FIRST.items()},
    **{("@acme.ai/review", f"2/{path}"): data for path, data in OF_ACME.items()},
}
WITHOUT_DELETED: Final = {1: ("mlflow", "active"), 2: ("git", "deprecated"), 3: ("git", "draft")}
ISSUE: Final = {
    "name": "slow",
    "description": "Too slow.",
    "status": "pending",
    "categories": ["Latency ", "ü"],
    "metadata": {"seen": "ü"},
    "last_seen_timestamp": "1700000000000",
    "created_by": "ada",
}


@dataclass(frozen=True, kw_only=True)
class Exported:
    """One server in two archives, and the id of its issue."""

    over_api: Path
    from_database: Path
    issue_id: str


def post(uri: str, path: str, **body: Any) -> Any:
    answer = requests.post(f"{uri}/api/{path}", json=body, timeout=60)
    answer.raise_for_status()
    return answer.json()


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp("source")
    with running_server(folder / "server", python=environment("3.18")) as server:
        fill_skills(server.uri)
        experiment_id = post(server.uri, "2.0/mlflow/experiments/create", name="issues")["experiment_id"]
        issue = post(server.uri, "3.0/mlflow/issues", experiment_id=experiment_id, **ISSUE)["issue"]
        return Exported(
            over_api=export(server.uri, folder / "api.mlfa"),
            from_database=export(server.backend, folder / "database.mlfa", artifacts_destination=str(server.artifacts)),
            issue_id=issue["issue_id"],
        )


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    with running_server(tmp_path_factory.mktemp("target"), python=environment("3.18")) as server:
        yield server


@pytest.fixture(scope="module")
def reports(exported: Exported, target: MlflowServer) -> tuple[Report, Report]:
    return replay(exported.from_database, target.uri), replay(exported.from_database, target.uri)


def files_of(archive: Archive) -> dict[tuple[str, str], bytes]:
    files = read_source(ArchiveSource(archive)).artifacts
    return {(file.owner_id, file.path): content(file) for file in files if file.owner_kind == SKILL}


def test_both_ways_out_tell_the_same_but_for_what_is_deleted(exported: Exported) -> None:
    with open_archive(exported.over_api) as api, open_archive(exported.from_database) as database:
        assert api.table("gaps").num_rows == database.table("gaps").num_rows == 0
        for name in TABLES:
            rows = [row for row in plain_rows(database.table(name)) if row.get("status") != "deleted"]
            shown = plain_rows(api.table(name))
            # Icons of none come as nothing or as JSON's null, and MLflow's API gives metadata in any order.
            for row in (*rows, *shown):
                row.pop("icons", None)
            assert shown == rows, name
        assert plain_rows(database.table("issues"))[0]["last_updated_by"] == "ada"
        assert files_of(api) == FILES
        assert files_of(database) == {**FILES, ("review", "5/SKILL.md"): b"gone"}


def test_an_import_makes_all_of_it(exported: Exported, target: MlflowServer, reports: tuple[Report, Report]) -> None:
    first, second = reports
    assert first.gaps == second.gaps == []
    assert first.details["outcomes"][SKILL] == {"created": 3, "updated": 0, "skipped": 0}  # type: ignore[index]
    assert second.details["outcomes"][SKILL] == {"created": 0, "updated": 0, "skipped": 3}  # type: ignore[index]
    skills = SkillServer(target.uri)
    versions = skills.versions("review")
    assert {number: (v["source_type"], v["status"]) for number, v in versions.items()} == WITHOUT_DELETED
    assert versions[1]["aliases"] == ["live"]
    assert versions[1]["tags"]["checked by"] == "ada"
    with open_archive(exported.from_database) as archive:
        digests = {
            (row["organization"], row["version"]): row["digest"] for row in archive.table("skill_versions").to_pylist()
        }
    assert versions[1]["digest"] == digests["", 1]
    assert skills.versions("@acme.ai/review")[2]["digest"] == digests["acme.ai", 2]
    review = skills.send("GET", "/review")
    assert review["description"] == "Reviews ü."
    assert (review["tags"]["team"], review["tags"]["empty"]) == ("ü", "")
    assert skills.send("GET", "/idle")["latest_version"] is None
    issues = post(target.uri, "3.0/mlflow/issues/search", categories=["LATENCY"])["issues"]
    assert [(issue["issue_id"], issue["metadata"], issue["last_seen_timestamp"]) for issue in issues] == [
        (exported.issue_id, ISSUE["metadata"], 1700000000000)
    ]


def test_the_import_is_proved_and_a_change_at_the_target_is_found(
    exported: Exported, target: MlflowServer, reports: tuple[Report, Report]
) -> None:
    proof = ma.diff(exported.from_database, target.uri, imported=True, receipt=reports[0])
    assert list(proof.changes) == []
    assert proof.proved
    assert proof.objects[SKILL] == 3
    skills = SkillServer(target.uri)
    tag = "/review/versions/1/tags"
    skills.send("POST", tag, json={"key": "checked by", "value": "bob"})
    try:
        changes = ma.diff(exported.from_database, target.uri, imported=True, receipt=reports[0]).changes
        assert [(change.kind, [field.after for field in change.fields]) for change in changes] == [(SKILL, ["bob"])]
    finally:
        skills.send("POST", tag, json={"key": "checked by", "value": "ada"})


def test_numbers_of_deleted_versions_stay_taken(target: MlflowServer, reports: tuple[Report, Report]) -> None:
    assert len(reports) == 2
    made = SkillServer(target.uri).upload("review", {"SKILL.md": b"new"}, status="draft")
    assert made["version"] == 6
    SkillServer(target.uri).send("DELETE", "/review/versions/6")


def test_another_skill_of_that_name_is_left_alone(exported: Exported, tmp_path: Path) -> None:
    with running_server(tmp_path, python=environment("3.18")) as server:
        skills = SkillServer(server.uri)
        skills.upload("review", {"SKILL.md": b"somebody else's"})
        before = skills.send("GET", "/review"), skills.versions("review")
        report = replay(exported.over_api, server.uri)
        assert {(gap.owner_id, gap.path, gap.code) for gap in report.gaps} == {("review", "", SKILL_REFUSED)}
        assert (skills.send("GET", "/review"), skills.versions("review")) == before
        assert sorted(skills.versions("@acme.ai/review")) == [1, 2]


def test_versions_whose_numbers_are_taken_are_refused_alone(exported: Exported, tmp_path: Path) -> None:
    with running_server(tmp_path, python=environment("3.18")) as server:
        skills = SkillServer(server.uri)
        skills.upload("review", FIRST)
        skills.upload("review", {"SKILL.md": b"deleted there"}, status="draft")
        skills.send("DELETE", "/review/versions/2")
        report = replay(exported.over_api, server.uri)
        # That 2 is taken shows only when the server gives 3 to it, which is lost by that.
        refused = {(gap.owner_id, gap.path) for gap in report.gaps}
        assert refused == {("review", f"versions/{number}") for number in (2, 3)}
        assert sorted(skills.versions("review")) == [1]


def test_an_issue_whose_id_is_taken_gets_another(exported: Exported, tmp_path: Path) -> None:
    with running_server(tmp_path, python=environment("3.18")) as server:
        other = post(server.uri, "2.0/mlflow/experiments/create", name="other")["experiment_id"]
        post(server.uri, "3.0/mlflow/issues", experiment_id=other, issue_id=exported.issue_id, **ISSUE)
        report = replay(exported.over_api, server.uri)
        ids: Any = report.details["ids"]
        assert ids["issue"][exported.issue_id] not in (None, exported.issue_id)
        assert report.gaps == []


def test_an_older_server_says_what_it_lacks(exported: Exported, tmp_path: Path) -> None:
    with running_server(tmp_path, python=environment("3.17")) as server:
        report = replay(exported.over_api, server.uri)
    assert {(gap.owner_kind, gap.path, gap.code) for gap in report.gaps} == {
        (SKILL, "", KIND_REFUSED),
        ("issue", "metadata", ISSUE_REFUSED),
    }
    assert next(gap.reason for gap in report.gaps if gap.owner_kind == SKILL).startswith("3 skills")


def test_a_restored_server_finds_all_of_it(exported: Exported, tmp_path: Path) -> None:
    folder = tmp_path / "server"
    command = ["restore", str(exported.from_database), "--to", f"sqlite:///{folder / 'mlflow.db'}"]
    _in_environment_of("3.18", *command, "--artifact-root", str(folder / "artifacts"))
    with running_server(folder, python=environment("3.18")) as server:
        skills = SkillServer(server.uri)
        # MLflow's page looks for words in this column.
        found = skills.send("GET", params={"filter_string": "search_text ILIKE '%reviews ü%'"})["skills"]
        assert [skill["name"] for skill in found] == ["review"]
        assert [skill["name"] for skill in skills.send("GET")["skills"]] == ["idle", "review", "review"]
        found = post(server.uri, "3.0/mlflow/issues/search", categories=["LATENCY"])["issues"]
        assert [issue["issue_id"] for issue in found] == [exported.issue_id]
        source = skills.versions("review")[1]["source"].removeprefix("mlflow-artifacts:/")
        answer = requests.get(f"{server.uri}/api/2.0/mlflow-artifacts/artifacts/{source}/SKILL.md", timeout=60)
        assert answer.content == FIRST["SKILL.md"]
        assert skills.upload("review", {"SKILL.md": b"new"})["version"] == 6
        # MLflow removes the files of a skill with it, as it takes their folder for one of its own.
        assert (server.artifacts / source).is_dir()
        skills.send("DELETE", "/review")
        assert not (server.artifacts / source / "SKILL.md").exists()


def test_a_served_archive_shows_all_of_it(exported: Exported, tmp_path: Path) -> None:
    command, settings = _command("3.18", "serve", str(exported.from_database), "--port", "0")
    with subprocess.Popen(
        command, env={**settings, "XDG_CACHE_HOME": str(tmp_path)}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        try:
            assert process.stdout is not None
            uri = process.stdout.readline().decode().strip()
            skills = SkillServer(uri)
            source = skills.versions("@acme.ai/review")[2]["source"].removeprefix("mlflow-artifacts:/")
            answer = requests.get(f"{uri}/api/2.0/mlflow-artifacts/artifacts/{source}/SKILL.md", timeout=60)
            assert answer.content == OF_ACME["SKILL.md"]
            with pytest.raises(RuntimeError, match="read-only"):
                skills.send("POST", "/review/tags", json={"key": "a", "value": "b"})
        finally:
            process.terminate()


def _in_environment_of(version: str, *arguments: str) -> None:
    command, settings = _command(version, *arguments)
    subprocess.run(command, check=True, env=settings, capture_output=True)


def _command(version: str, *arguments: str) -> tuple[list[str], dict[str, str]]:
    """Return the command with the MLflow of a version, and what else it needs from where the tests have it."""
    others = [path for path in sys.path if path.endswith(("site-packages", "archive", "cli"))]
    code = f"import sys; sys.path += {others!r}; from mlflow_archive_cli.main import main; main()"
    settings = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    return [environment(version), "-W", "ignore", "-c", code, *arguments], settings
