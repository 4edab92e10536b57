"""Workspaces: each into its own on a server that has them, behind its name elsewhere; and servers with a login."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mlflow_archive.errors import TargetError
from mlflow_archive.flow.chunk import Chunk
from mlflow_archive.flow.copy import copy
from mlflow_archive.flow.report import Report
from mlflow_archive.format.refusals import WORKSPACE_REFUSED
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.reader.source import ArchiveSource
from mlflow_archive.sinks.replay import ReplayOptions, WorkspaceSink, open_target
from mlflow_archive.sinks.replay.locate import locate_replay
from mlflow_archive.sinks.replay.places.routing import Router
from tests.sinks.filled_servers import export
from tests.support.chunks import ChunkSource, chunk, experiment, pairs, run
from tests.support.filling.http import Http
from tests.support.login import PASSWORD, USER, server_with_login
from tests.support.mlflow_server import MlflowServer, running_server

A, B = "a" * 32, "b" * 32
TEAM = "team-a"
ENABLED = ("--enable-workspaces",)


@dataclass(frozen=True, kw_only=True)
class World:
    """An archive of a server with two workspaces, and servers to bring it to."""

    archive: Path
    enabled: MlflowServer
    plain: MlflowServer

    def replay(self, server: MlflowServer, *, workspace: str | None = None, **options: Any) -> Report:
        with open_archive(self.archive) as opened:
            sink = locate_replay(server.uri, opened, options=ReplayOptions(**options, workspace=workspace))
            return copy(ArchiveSource(opened), sink, jobs=2)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("workspaces")
    archive = folder / "archive.mlfa"
    with running_server(folder / "source", options=ENABLED) as source:
        Http(uri=source.uri).post("3.0/mlflow/workspaces", name=TEAM, description="About ü")
        for workspace in ("default", TEAM):
            _fill(_within(source, workspace), workspace)
        export(source.backend, archive)
    with ExitStack() as stack:
        enabled = stack.enter_context(running_server(folder / "enabled", options=ENABLED))
        plain = stack.enter_context(running_server(folder / "plain"))
        yield World(archive=archive, enabled=enabled, plain=plain)


def _within(server: MlflowServer, workspace: str | None) -> Http:
    return Http(uri=server.uri, headers={"X-MLFLOW-WORKSPACE": workspace} if workspace else {})


def _fill(http: Http, text: str) -> None:
    """Make things that have the same names in each workspace, and say ``text`` somewhere."""
    made = http.post("2.0/mlflow/experiments/create", name="shared", tags=[{"key": "from", "value": text}])
    experiment_id = made["experiment_id"]
    created = http.post("2.0/mlflow/runs/create", experiment_id=experiment_id, start_time=1, run_name=f"run of {text}")
    run_id = created["run"]["info"]["run_id"]
    http.post("2.0/mlflow/runs/log-batch", run_id=run_id, metrics=[{"key": "m", "value": 1, "timestamp": 1, "step": 0}])
    http.post("3.0/mlflow/issues", experiment_id=experiment_id, name="issue", description=text, source_run_id=run_id)
    http.post("3.0/mlflow/mcp-servers", name="io.example/same", description=text)
    body = {"budget_unit": "USD", "duration": {"unit": "DAYS", "value": 1}, "budget_action": "ALERT"}
    amount = len(text)
    http.post("3.0/mlflow/gateway/budgets/create", **body, budget_amount=amount, target_scope="WORKSPACE")


def _seen(http: Http) -> dict[str, Any]:
    """Return what a workspace holds: experiment to texts in its runs and issues, MCP servers and budgets."""
    found: dict[str, Any] = {}
    for entry in http.post("2.0/mlflow/experiments/search", max_results=100)["experiments"]:
        experiment_id = entry["experiment_id"]
        runs = http.post("2.0/mlflow/runs/search", experiment_ids=[experiment_id], max_results=100).get("runs", [])
        issues = http.post("3.0/mlflow/issues/search", experiment_id=experiment_id).get("issues", [])
        names = {item["info"]["run_id"]: item["info"]["run_name"] for item in runs}
        texts = [(issue["description"], names[issue["source_run_id"]]) for issue in issues]
        if entry["name"] != "Default":
            found[entry["name"]] = (sorted(names.values()), sorted(texts))
    servers = http.send("GET", "3.0/mlflow/mcp-servers")["mcp_servers"]
    found |= {server["name"]: server["description"] for server in servers}
    budgets = http.send("GET", "3.0/mlflow/gateway/budgets/list?max_results=100").get("budget_policies", [])
    return {**found, "budgets": sorted(budget["budget_amount"] for budget in budgets)}


def _expected(text: str, *, experiment: str = "shared", server: str = "io.example/same") -> dict[str, Any]:
    of_run = f"run of {text}"
    return {experiment: ([of_run], [(text, of_run)]), server: text, "budgets": [float(len(text))]}


def _both(prefixed: dict[str, Any], plain: dict[str, Any]) -> dict[str, Any]:
    return {**prefixed, **plain, "budgets": sorted([*prefixed["budgets"], *plain["budgets"]])}


BEHIND = _expected(TEAM, experiment=f"{TEAM}/shared", server=f"{TEAM}.io.example/same")


def _outcomes(report: Report) -> dict[str, set[str]]:
    done: Any = report.details["outcomes"]
    return {kind: {what for what, number in counts.items() if number} for kind, counts in done.items()}


class TestServerWithWorkspaces:
    def test_a_dry_run_says_what_it_would_make_and_makes_nothing(self, world: World, tmp_path: Path) -> None:
        with running_server(tmp_path, options=ENABLED) as empty:
            report = world.replay(empty, dry_run=True)
            assert report.gaps == []
            assert report.details["ids"]["workspace"] == {TEAM: TEAM}  # type: ignore[index]
            assert report.counts["created"] == 2
            assert set().union(*_outcomes(report).values()) == {"created"}
            listed = Http(uri=empty.uri).send("GET", "3.0/mlflow/workspaces")["workspaces"]
            assert [entry["name"] for entry in listed] == ["default"]

    def test_each_goes_into_its_own_and_twice_changes_nothing(self, world: World) -> None:
        first = world.replay(world.enabled)
        assert first.gaps == []
        for workspace in ("default", TEAM):
            assert _seen(_within(world.enabled, workspace)) == _expected(workspace)
        listed = Http(uri=world.enabled.uri).send("GET", "3.0/mlflow/workspaces")["workspaces"]
        assert {entry["name"]: entry["description"] for entry in listed}[TEAM] == "About ü"
        second = world.replay(world.enabled)
        assert (second.counts["created"], second.counts["updated"], second.counts["skipped"]) == (0, 0, 2)
        assert set(_outcomes(second)) >= {"workspace", "issue", "mcp_server", "budget_policy"}
        assert all(done == {"skipped"} for done in _outcomes(second).values())
        for workspace in ("default", TEAM):
            assert _seen(_within(world.enabled, workspace)) == _expected(workspace)

    def test_all_can_go_into_one(self, world: World) -> None:
        report = world.replay(world.enabled, workspace="team-b")
        assert report.gaps == []
        assert _seen(_within(world.enabled, "team-b")) == _both(BEHIND, _expected("default"))
        assert all(done == {"skipped"} for done in _outcomes(world.replay(world.enabled, workspace="team-b")).values())


class TestServerWithoutWorkspaces:
    def test_names_of_others_come_behind_their_workspace(self, world: World) -> None:
        report = world.replay(world.plain)
        assert report.gaps == []
        assert _seen(_within(world.plain, None)) == _both(BEHIND, _expected("default"))
        notes: Any = report.details["notes"]
        assert notes == [f"the target has no workspaces; what was in '{TEAM}' is there, with '{TEAM}' before its name"]
        assert all(done == {"skipped"} for done in _outcomes(world.replay(world.plain)).values())

    def test_one_that_is_wanted_is_an_error(self, world: World) -> None:
        with pytest.raises(TargetError, match="has no workspaces; start it with --enable-workspaces"):
            world.replay(world.plain, workspace="team-b")

    def test_the_only_one_keeps_its_names(self, tmp_path: Path) -> None:
        uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
        rows = [experiment("7", "mine", workspace=TEAM)]
        source = ChunkSource((0, [chunk(workspaces=[{"name": TEAM}])]), (1, [chunk(experiments=rows)]))
        copy(source, WorkspaceSink(open_target(uri, artifact_root=str(tmp_path)), only=TEAM))
        with closing(open_target(uri)) as target:
            assert {entry.name for entry in target.experiments()} == {"Default", "mine"}


def test_a_workspace_that_is_refused_takes_along_what_is_in_it(world: World) -> None:
    reserved = "api"
    first = chunk(experiments=[experiment("5", "shared"), experiment("6", "lost", workspace=reserved)])
    runs = chunk(runs=[run(A, "6", run_name="lost")])
    source = ChunkSource((0, [chunk(workspaces=[{"name": reserved}])]), (1, [first]), (2, [runs]))
    report = copy(source, WorkspaceSink(open_target(world.enabled.uri)))
    assert [(gap.owner_kind, gap.code) for gap in report.gaps] == [
        ("workspace", WORKSPACE_REFUSED),
        ("experiment", WORKSPACE_REFUSED),
        ("run", WORKSPACE_REFUSED),
    ]
    assert report.gaps[2].reason == f"1 run: the target did not take their workspace '{reserved}'"


class TestRouter:
    def _parts(self, router: Router, *chunks: Chunk) -> list[tuple[str, dict[str, int], bool]]:
        return [
            (workspace, {name: rows.num_rows for name, rows in part.tables.items() if rows.num_rows}, part.complete)
            for given in chunks
            for workspace, part in router.split(given)
        ]

    def test_runs_that_go_on_end_in_every_workspace(self) -> None:
        router = Router()
        rows = [experiment("1", "x"), experiment("2", "y", workspace=TEAM)]
        self._parts(router, chunk(experiments=rows))
        begun = chunk(runs=[run(A, "1"), run(B, "2")], params=[*pairs(A, {"p": "1"}), *pairs(B, {"p": "1", "q": "2"})])
        more = chunk(metrics=[{"run_id": B, "key": "m", "step": 0, "timestamp": 0, "value": 1.0}])
        begun = Chunk(tables=begun.tables, complete=False)
        assert self._parts(router, begun, more) == [
            ("default", {"runs": 1, "params": 1}, False),
            (TEAM, {"runs": 1, "params": 2}, False),
            ("default", {}, True),
            (TEAM, {"metrics": 1}, True),
        ]

    def test_what_is_in_no_workspace_is_passed_on_as_it_is(self) -> None:
        given = chunk(runs=[run(A, "1")], params=pairs(A, {"p": "1"}))
        ((workspace, part),) = Router().split(given)
        assert workspace == "default"
        assert all(part.tables[name] is rows for name, rows in given.tables.items())


def test_a_server_with_a_login(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", USER)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    with server_with_login(tmp_path) as server:
        assert world.replay(server).gaps == []
        with closing(open_target(server.uri)) as target:
            assert {entry.name for entry in target.experiments()} == {"Default", "shared", f"{TEAM}/shared"}
        assert all(done == {"skipped"} for done in _outcomes(world.replay(server)).values())
