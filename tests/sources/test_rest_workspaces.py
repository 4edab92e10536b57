"""Servers that keep workspaces apart, and servers that want a password."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from mlflow_archive.errors import SelectionError, ServerError
from mlflow_archive.format import gaps
from mlflow_archive.kinds import EXPERIMENT, IDENTITIES, MCP_SERVER, REGISTERED_MODEL, TABLES, TRACE, WORKSPACE
from mlflow_archive.reader.archive import open_archive
from tests.sources.rest_reading import files, ids, read
from tests.sources.test_unknown_fields import spoiled, unknown
from tests.support.bad_network import bad_network
from tests.support.everything import KEY, Filled, copy_everything, fill
from tests.support.filling.runs import MODEL_FILES
from tests.support.login import PASSWORD, USER, server_with_login
from tests.support.mlflow_server import MlflowServer, running_server
from tests.support.reading import Read
from tests.support.restoring import content, export


@pytest.fixture(scope="module")
def divided(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[MlflowServer, Filled]]:
    """A server with workspaces, of which ``team`` holds everything and ``default`` and ``empty`` next to nothing."""
    folder = tmp_path_factory.mktemp("workspaces")
    with (
        running_server(folder / "server", options=("--enable-workspaces",)) as server,
        pytest.MonkeyPatch.context() as env,
    ):
        for name in ("team", "empty"):
            body = {"name": name, "description": f"The workspace {name}"}
            assert requests.post(f"{server.uri}/api/3.0/mlflow/workspaces", json=body, timeout=30).ok
        model = {"name": "few", "description": "of the default workspace"}
        assert requests.post(f"{server.uri}/api/2.0/mlflow/registered-models/create", json=model, timeout=30).ok
        env.setenv("MLFLOW_WORKSPACE", "team")
        filled = fill(server.uri, folder / "files")
        env.delenv("MLFLOW_WORKSPACE")
        yield server, filled


@pytest.fixture(scope="module")
def found(divided: tuple[MlflowServer, Filled]) -> Read:
    return read(divided[0].uri)


def test_every_workspace_is_read(divided: tuple[MlflowServer, Filled], found: Read) -> None:
    _, filled = divided
    assert {row["name"] for row in found.tables["workspaces"]} == {"default", "team", "empty"}
    experiments = {(row["workspace"], row["name"]) for row in found.tables["experiments"]}
    assert experiments >= {("team", "main"), ("default", "Default")}
    models = {(row["workspace"], row["name"]) for row in found.tables["registered_models"]}
    assert {("default", "few"), ("team", "few"), ("team", "many")} <= models
    assert ids(found, "traces", "trace_id") == set(filled.traces.traces.values())
    for name in (
        "gateway_endpoints",
        "webhooks",
        "evaluation_datasets",
        "mcp_servers",
        "budget_policies",
        "guardrails",
    ):
        assert {row["workspace"] for row in found.tables[name]} == {"team"}, name


def test_unknown_fields_of_all_workspaces_add_up(divided: tuple[MlflowServer, Filled], found: Read) -> None:
    with spoiled(divided[0].uri) as uri:
        counts = unknown(read(uri, artifacts=False))
    for kind in (WORKSPACE, EXPERIMENT, REGISTERED_MODEL):
        assert counts[kind, "later"] == f"{len(found.rows(IDENTITIES[kind].name))} times"


def test_files_come_through_the_proxy_of_their_workspace(divided: tuple[MlflowServer, Filled], found: Read) -> None:
    _, filled = divided
    shared = filled.runs.models["shared"]
    assert files(found, "logged_model", shared) == {**MODEL_FILES, "name.txt": b"shared"}
    assert set(files(found, TRACE, filled.traces.traces["old"])) == {"traces.json"}


def test_owners_outside_of_the_default_workspace_are_named_with_it(divided: tuple[MlflowServer, Filled]) -> None:
    found = read(divided[0].uri, kinds=(REGISTERED_MODEL, MCP_SERVER))
    assert files(found, REGISTERED_MODEL, "team/few")["1/MLmodel"] == MODEL_FILES["MLmodel"]


def test_rows_are_those_of_the_database(divided: tuple[MlflowServer, Filled], tmp_path: Path) -> None:
    server, _ = divided
    api, direct = export(server.uri, tmp_path / "api.mlfa"), export(server.backend, tmp_path / "db.mlfa")
    with open_archive(api) as one, open_archive(direct) as other:
        for name in (
            "workspaces",
            "experiments",
            "registered_model_tags",
            "registered_model_aliases",
            "mcp_server_tags",
        ):
            assert one.table(name).to_pylist() == other.table(name).to_pylist(), name
        for name, table in TABLES.items():
            if "workspace" in table.column_names:
                assert set(one.table(name)["workspace"].to_pylist()) == set(other.table(name)["workspace"].to_pylist())


def test_one_workspace_can_be_named(divided: tuple[MlflowServer, Filled], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_WORKSPACE", "default")
    found = read(divided[0].uri)
    assert {row["name"] for row in found.tables["workspaces"]} == {"default"}
    assert found.tables["traces"] == []
    assert [row["description"] for row in found.tables["registered_models"]] == ["of the default workspace"]
    monkeypatch.setenv("MLFLOW_WORKSPACE", "nobody")
    with pytest.raises((SelectionError, ServerError)):
        read(divided[0].uri)


def test_a_server_that_does_not_say_whether_it_has_workspaces_is_read_with_a_gap(
    divided: tuple[MlflowServer, Filled],
) -> None:
    with bad_network(divided[0].uri) as network:
        network.faults = {"server-info": ["403"]}
        found = read(network.uri)
    assert ("", "", gaps.OBJECT_UNREADABLE) in found.gaps()
    assert [row["owner_kind"] for row in found.rows("gaps", owner_id="", path="")] == ["workspace"]
    assert ids(found, "registered_models", "name") == {"few"}


@pytest.mark.parametrize("rows", ["[]", '[{"description": "no name"}]'])
def test_a_user_who_sees_no_workspace_is_told(divided: tuple[MlflowServer, Filled], rows: str) -> None:
    answer = f'{{"workspaces": {rows}}}'.encode()
    with bad_network(divided[0].uri) as network:
        network.change = lambda path, content: answer if path.endswith("/workspaces") else content
        with pytest.raises(ServerError, match="shows this user none"):
            read(network.uri)


def test_selections_reach_over_workspaces(divided: tuple[MlflowServer, Filled]) -> None:
    server, filled = divided
    found = read(server.uri, models=("few",))
    assert {(row["workspace"], row["name"]) for row in found.tables["registered_models"]} == {
        ("default", "few"),
        ("team", "few"),
    }
    assert ids(found, "logged_models", "model_id") == {filled.runs.models["alone"]}
    run = filled.runs.runs["child"]
    assert ids(read(server.uri, runs=(run,)), "runs", "run_id") == {run}
    assert ids(read(server.uri, experiments=("elsewhere",)), "experiments", "name") == {"elsewhere"}


def test_a_server_that_wants_a_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gives the same, behind the password, as the database behind it."""
    filled = copy_everything(tmp_path / "s")
    with server_with_login(tmp_path / "s", environment=KEY) as server:
        with pytest.raises(ServerError, match="wants other credentials"):
            read(server.uri)
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", USER)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
        api, direct = export(server.uri, tmp_path / "api.mlfa"), export(server.backend, tmp_path / "db.mlfa")
    one, other = content(api), content(direct)
    for name in ("spans", "assessments", "registered_model_tags", "gateway_endpoint_tags", "mcp_servers", "issues"):
        assert one[name] == other[name] != {}, name
    with open_archive(api) as archive:
        assert {row["owner_id"] for row in archive.table("gaps").to_pylist()} == {
            filled.traces.traces["old"],
            filled.evaluation.scorers["lost"],
            filled.runs.experiments["main"],  # of whose label schemas only some are shown
        }
