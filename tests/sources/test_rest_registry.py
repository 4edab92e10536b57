"""The registry over the API: numbers, two kinds of search, aliases, files of versions, selection by model."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from mlflow import MlflowClient

from mlflow_archive.errors import SelectionError, ServerError
from mlflow_archive.format import gaps
from mlflow_archive.kinds import LOGGED_MODEL, REGISTERED_MODEL, RUN, WEBHOOK
from mlflow_archive.selecting.model_versions import PROMPT_EXPERIMENTS
from mlflow_archive.sources.rest.registry import registry
from tests.sources.rest_reading import files, ids, read
from tests.support.bad_network import bad_network
from tests.support.everything import Filled
from tests.support.filling.registry import DELETED_VERSIONS, LAST_VERSION, fill_unreachable
from tests.support.filling.runs import MODEL_FILES
from tests.support.mlflow_server import MlflowServer, running_server
from tests.support.reading import Read

Everything = tuple[MlflowServer, Filled]


@pytest.fixture(scope="module")
def found(everything: Everything) -> Read:
    return read(everything[0].uri, kinds=(RUN, LOGGED_MODEL, REGISTERED_MODEL))


def test_versions_have_their_numbers(found: Read) -> None:
    numbers = [row["version"] for row in found.rows("model_versions", name="many")]
    assert numbers == [number for number in range(1, LAST_VERSION + 1) if number not in DELETED_VERSIONS]


def test_prompts_come_with_models(everything: Everything, found: Read) -> None:
    _, filled = everything
    assert ids(found, "registered_models", "name") == {*filled.registry.models, *filled.registry.prompts}
    text = {
        r["version"]: r["value"] for r in found.rows("model_version_tags", name="text-prompt", key="mlflow.prompt.text")
    }
    assert text == {number: f"Hello {{{{name}}}}, {number}" for number in filled.registry.versions["text-prompt"]}


def test_aliases(found: Read) -> None:
    aliases = {row["alias"]: row["version"] for row in found.rows("registered_model_aliases", name="many")}
    assert aliases == {"champion": 12, "challenger": 9, "first": 1, "again": 12}


def test_small_pages_give_the_same(everything: Everything, found: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "PAGE", 1)
    monkeypatch.setattr(registry, "_VERSIONS_PAGE", 2)
    small = read(everything[0].uri, kinds=(REGISTERED_MODEL,))
    for name in ("registered_models", "model_versions", "model_version_tags", "registered_model_tags"):
        assert sorted(map(str, small.tables[name])) == sorted(map(str, found.tables[name]))


def test_files_of_versions_are_those_of_runs_and_models(everything: Everything, found: Read) -> None:
    _, filled = everything
    assert {file.owner_kind for file in found.artifacts} == {RUN, LOGGED_MODEL}
    held = files(found, LOGGED_MODEL, filled.runs.models["shared"])
    assert held == {**MODEL_FILES, "name.txt": b"shared"}


def test_without_runs_and_models_versions_bring_their_files(everything: Everything) -> None:
    server, _ = everything
    found = read(server.uri, kinds=(REGISTERED_MODEL,))
    held = files(found, REGISTERED_MODEL, "many")
    assert held["1/MLmodel"] == MODEL_FILES["MLmodel"]
    assert held["2/MLmodel"] == b"flavors: {}\n"
    numbers = [number for number in range(1, LAST_VERSION + 1) if number not in DELETED_VERSIONS]
    assert {path.partition("/")[0] for path in held} == set(map(str, numbers))
    assert found.tables["gaps"] == []
    assert files(
        read(server.uri, kinds=(REGISTERED_MODEL,), artifact_globs=("*/MLmodel",)), REGISTERED_MODEL, "few"
    ) == {"1/MLmodel": MODEL_FILES["MLmodel"]}


def test_a_version_whose_files_are_gone_is_a_gap(everything: Everything) -> None:
    """Also where a run carries it: the run does not know of it."""
    server, filled = everything
    with stored_at(server, "few", f"runs:/{filled.runs.runs['parent']}/nothing"):
        found = read(server.uri)
    assert ("few", "1", gaps.ARTIFACT_MISSING) in found.gaps()


def test_what_a_server_says_carries_no_other_files_away(everything: Everything, tmp_path: Path) -> None:
    """A folder of this machine that only the server names is read if it holds a model."""
    server, _ = everything
    (tmp_path / "private.key").write_bytes(b"key")
    with stored_at(server, "few", str(tmp_path)):
        found = read(server.uri, kinds=(REGISTERED_MODEL,))
        assert "1/private.key" not in files(found, REGISTERED_MODEL, "few")
        assert ("few", "1", gaps.ARTIFACT_LISTING) in found.gaps()
        (tmp_path / "MLmodel").write_bytes(b"flavors: {}")
        assert set(files(read(server.uri, kinds=(REGISTERED_MODEL,)), REGISTERED_MODEL, "few")) == {
            "1/MLmodel",
            "1/private.key",
        }


@contextmanager
def stored_at(server: MlflowServer, name: str, location: str) -> Iterator[None]:
    """Let the database say that version 1 of a model is kept elsewhere, as an older registry would."""
    query = "UPDATE model_versions SET storage_location = ? WHERE name = ? AND version = 1"
    with closing(sqlite3.connect(server.database, timeout=30)) as database:
        [[before]] = database.execute(
            "SELECT storage_location FROM model_versions WHERE name = ? AND version = 1", (name,)
        )
        with database:
            database.execute(query, (location, name))
        try:
            yield
        finally:
            with database:
                database.execute(query, (before, name))


def test_files_that_lie_under_nothing_belong_to_the_registered_model(everything: Everything, tmp_path: Path) -> None:
    server, _ = everything
    (server.artifacts / "old registry" / "few").mkdir(parents=True)
    (server.artifacts / "old registry" / "few" / "model.bin").write_bytes(b"old")
    with stored_at(server, "few", "mlflow-artifacts:/old registry/few"):
        found = read(server.uri)
    assert files(found, REGISTERED_MODEL, "few") == {"1/model.bin": b"old"}
    (tmp_path / "local.bin").write_bytes(b"here")
    with stored_at(server, "few", "s3://gone/few"):
        mapped = read(server.uri, artifact_map=[("s3://gone/few", str(tmp_path))])
    assert files(mapped, REGISTERED_MODEL, "few") == {"1/local.bin": b"here"}


def test_a_version_out_of_reach_is_a_gap(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        client = MlflowClient(server.uri)
        name = fill_unreachable(client)
        client.create_registered_model("it's a model")
        found = read(server.uri)
    assert {(row["owner_kind"], *gap) for row, gap in zip(found.tables["gaps"], found.gaps(), strict=True)} == {
        (REGISTERED_MODEL, name, "1", gaps.ARTIFACT_LISTING)
    }
    assert ids(found, "registered_models", "name") == {name, "it's a model"}


def test_selection_by_model_brings_what_it_stands_on(everything: Everything) -> None:
    server, filled = everything
    runs, models = filled.runs.runs, filled.runs.models
    found = read(server.uri, models=("man*",))
    assert ids(found, "registered_models", "name") == {"many"}
    assert ids(found, "runs", "run_id") == {runs["parent"], runs["deleted"]}
    assert ids(found, "logged_models", "model_id") == {models["shared"]}
    assert ids(found, "experiments", "name") == {"main"}
    for name in ("traces", "issues", "evaluation_datasets", "gateway_endpoints", "webhooks", "scorers", "mcp_servers"):
        assert found.tables[name] == []
    few = read(server.uri, models=("few",))
    assert (ids(few, "runs", "run_id"), ids(few, "logged_models", "model_id")) == (set(), {models["alone"]})
    assert ids(few, "experiments", "name") == {"elsewhere"}
    prompt = read(server.uri, models=("chat-prompt",))
    assert ids(prompt, "registered_models", "name") == {"chat-prompt"}
    [named] = [row["value"] for row in prompt.tables["registered_model_tags"] if row["key"] == PROMPT_EXPERIMENTS]
    assert ids(prompt, "experiments", "experiment_id") == {text for text in named.split(",") if text} != set()


@pytest.mark.parametrize("pattern", ["no such model", "no such*"])
def test_a_model_that_is_not_there_is_refused(everything: Everything, pattern: str) -> None:
    with pytest.raises(SelectionError, match=r"no registered model of .* matches 'no such"):
        read(everything[0].uri, models=("many", pattern), on_missing="fail")


def test_deleted_runs_can_be_left_out_of_what_a_model_stands_on(everything: Everything) -> None:
    server, filled = everything
    found = read(server.uri, models=("many",), deleted=False)
    assert ids(found, "runs", "run_id") == {filled.runs.runs["parent"]}


def test_a_server_that_knows_no_prompts(everything: Everything) -> None:
    """It refuses the filter, or knows no such tag: then there are none."""
    server, filled = everything
    with bad_network(server.uri) as network:
        network.faults = {"is_prompt": ["400"] * 1000}
        found = read(network.uri, kinds=(REGISTERED_MODEL,), artifacts=False)
    assert ids(found, "registered_models", "name") == set(filled.registry.models)
    assert found.tables["gaps"] == []


def test_places_of_versions_that_the_server_does_not_show_are_gaps(everything: Everything) -> None:
    with bad_network(everything[0].uri) as network:
        network.faults = {"get-download-uri?name=many&version=12": ["403"]}
        refused = read(network.uri, kinds=(REGISTERED_MODEL,), artifacts=False)
    assert refused.gaps() == {("many", "12/storage_location", gaps.FIELD_UNREADABLE)}
    [row] = refused.rows("model_versions", name="many", version=12)
    assert row["storage_location"] == row["source"]


def test_a_run_that_the_server_refuses_is_not_left_out_of_what_a_model_stands_on(everything: Everything) -> None:
    server, _ = everything
    with bad_network(server.uri) as network:
        network.faults = {"runs/get": ["403"] * 99}
        with pytest.raises(ServerError, match="not permitted"):
            read(network.uri, models=("many",))


def test_webhooks_without_secrets(everything: Everything) -> None:
    server, filled = everything
    found = read(server.uri, kinds=(WEBHOOK,))
    rows = {row["webhook_id"]: (row["name"], row["url"], row["status"]) for row in found.tables["webhooks"]}
    assert rows == {
        filled.registry.webhooks["active"]: ("active", "https://127.0.0.1:9/hook", "ACTIVE"),
        filled.registry.webhooks["disabled"]: ("disabled", "https://127.0.0.1:9/", "DISABLED"),
    }


def test_webhooks_that_the_server_can_no_longer_decrypt_are_gaps(tmp_path: Path) -> None:
    """Without a key of its own a server makes one at each start, and secrets of before cannot be read."""
    with running_server(tmp_path) as server:
        client = MlflowClient(server.uri)
        for number in range(4):
            secret = "old" if number == 1 else None
            client.create_webhook(f"hook-{number}", "https://127.0.0.1:9/", ["prompt.created"], secret=secret)
    with running_server(tmp_path) as server:
        found = read(server.uri, kinds=(WEBHOOK,))
    # The list is newest first; a page of one row reads the next one too.
    assert ids(found, "webhooks", "name") == {"hook-0", "hook-3"}
    assert found.gaps() == {("", "row 1", gaps.OBJECT_UNREADABLE), ("", "row 2", gaps.OBJECT_UNREADABLE)}
