"""A server of each version, filled by its own client: out over the API and out of its database, and into the newest."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mlflow_archive.flow.chunk import Gap
from mlflow_archive.flow.copy import copy
from mlflow_archive.flow.report import Report
from mlflow_archive.reader.archive import Archive, open_archive
from mlflow_archive.sources.locate import locate_source
from mlflow_archive.writer.export import ArchiveSink
from tests.matrix.environments import NEWEST, VERSIONS, environment
from tests.matrix.test_kinds import held_in, told
from tests.sinks.filled_servers import replay
from tests.support.mlflow_server import MlflowServer, running_server


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was made in a server of a version, and its archives, over the API and from the database."""

    version: str
    made: dict[str, int]
    over_api: Path
    from_database: Path
    gaps: list[Gap]


@pytest.fixture(scope="module", params=VERSIONS)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder, python = tmp_path_factory.mktemp(request.param), environment(request.param)
    with running_server(folder / "server", python=python) as server:
        script = Path(__file__).with_name("fill_with_client.py")
        done = subprocess.run([python, script, server.uri], check=True, capture_output=True, text=True, cwd=folder)
        (line,) = (line for line in done.stdout.splitlines() if line.startswith("made "))
        gaps = [*_export(server.uri, folder / "api.mlfa").gaps]
        report = _export(server.backend, folder / "database.mlfa", artifacts_destination=str(server.artifacts))
    return Exported(
        version=request.param,
        made=json.loads(line.removeprefix("made ")),
        over_api=folder / "api.mlfa",
        from_database=folder / "database.mlfa",
        gaps=[*gaps, *report.gaps],
    )


@pytest.fixture
def newest(tmp_path: Path) -> Iterator[MlflowServer]:
    """A server for each import, as traces keep their ids."""
    with running_server(tmp_path, python=environment(NEWEST)) as server:
        yield server


def _export(uri: str, archive: Path, **options: Any) -> Report:
    return copy(locate_source(uri, **options), ArchiveSink(archive, tool="test 1", clock_ms=lambda: 0))


def test_what_it_has_is_exported(exported: Exported) -> None:
    assert exported.gaps == []
    assert held_in(exported.over_api) == exported.made
    assert held_in(exported.from_database) == exported.made


@pytest.mark.parametrize("way", ["over_api", "from_database"])
def test_values_are_those_that_were_made(exported: Exported, way: str) -> None:
    with open_archive(getattr(exported, way)) as archive:
        versions = {row["version"]: row for row in _rows(archive, "model_versions") if row["name"] == "registered"}
        assert {number: row["current_stage"] for number, row in versions.items() if number != 2} == {
            1: "Staging",
            3: "None",
        }
        assert [(row["alias"], row["version"]) for row in _rows(archive, "registered_model_aliases")][:1] == [
            ("live", 3)
        ]
        assert sorted(row["run_name"] for row in _rows(archive, "runs")) == ["child", "deleted", "parent"]
        assert len(_rows(archive, "metrics")) == 9
        files = {(row["owner_kind"], row["path"]) for row in _rows(archive, "artifacts")}
        assert ("run", "model/MLmodel") in files
        assert (("logged_model", "MLmodel") in files) == ("logged_model" in exported.made)
        has_spans = exported.version in ("3.17", NEWEST)  # older servers keep them in a file alone
        assert sorted(row["name"] for row in _rows(archive, "spans")) == (["root", "step"] if has_spans else [])
        if not has_spans:  # else the client writes it only where it was faster than the spans on their way
            assert (("trace", "traces.json") in files) == ("trace" in exported.made)


@pytest.mark.parametrize("way", ["over_api", "from_database"])
def test_the_newest_takes_all_of_it(exported: Exported, newest: MlflowServer, way: str) -> None:
    archive = getattr(exported, way)
    first = replay(archive, newest.uri)
    assert first.gaps == []
    assert told(first) == exported.made
    again = replay(archive, newest.uri)
    outcomes: Any = again.details["outcomes"]
    assert (again.counts["created"], again.counts["updated"]) == (0, 0)
    assert all(not done["created"] and not done["updated"] for done in outcomes.values())


def _rows(archive: Archive, table: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = archive.table(table).to_pylist()
    return found
